"""Bands, scale and time of a GeoTIFF or ENVI cube, from the usual places.

Searched in this order: tags of each band (`wavelength`, `fwhm`, `bbl`), GDAL's IMAGERY domain of
each band (`CENTRAL_WAVELENGTH_UM`, `FWHM_UM`), lists in the ENVI header or the file's own tags
(``{400.1, 405.3, ...}``). Names in any letter case.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rasterio.io import DatasetReader

from deepsalt.errors import FormatError
from deepsalt.scenes.base import utc_time
from deepsalt.types import BandTable

_WAVELENGTH = ("wavelength", "center_wavelength", "central_wavelength", "wavelength_nm")
_FWHM = ("fwhm", "full_width_half_max", "fwhm_nm")
_GOOD = ("bbl", "usable", "good_wavelengths")
_START = (
    "start_time",
    "start_datetime",
    "acquisition_time",
    "acquisition_datetime",
    "acquisitiondatetime",
    "acquisition_date",
    "datetime",
    "tifftag_datetime",
)
_END = ("end_time", "stop_time", "end_datetime")
_VERSION = ("processing_version", "processor_version", "version")

_MICROMETRES_BELOW = 100.0
"""Without a unit: no sensor has bands at 100 nm or less, and none of ours beyond 100 um."""

_LOG = logging.getLogger(__name__)


class Tags:
    """Tags of a raster file, of the file and of its bands.

    Parameters
    ----------
    raster
        Open GeoTIFF or ENVI file.
    """

    def __init__(self, raster: DatasetReader) -> None:
        self.name: str = raster.name
        self.count: int = raster.count
        self.file = _lower({**raster.tags(ns="IMAGERY"), **raster.tags(ns="ENVI"), **raster.tags()})
        self.bands = [_lower(raster.tags(i)) for i in raster.indexes]
        self.imagery = [_lower(raster.tags(i, ns="IMAGERY")) for i in raster.indexes]

    def band_table(self) -> BandTable:
        """Return the bands in file order, in nm.

        Raises
        ------
        FormatError
            Wavelength or FWHM is missing or not a number.
        """
        unit = self._unit()
        centers = self._nanometres(_WAVELENGTH, "central_wavelength_um", unit)
        fwhm = self._nanometres(_FWHM, "fwhm_um", unit)
        if centers is None or fwhm is None:
            raise FormatError(
                f"{self.name} has no {'wavelength' if centers is None else 'FWHM'} per band; "
                "give it as a band tag or, for ENVI, in the header"
            )
        good = self._numbers(_GOOD) or [1.0] * self.count
        return BandTable(
            names=tuple(f"band_{i:03d}" for i in range(1, self.count + 1)),
            centers_nm=tuple(centers),
            fwhm_nm=tuple(fwhm),
            usable=tuple(flag != 0 for flag in good),
        )

    def reflectance_scale(self) -> float | None:
        """Return reflectance per digital number from the ENVI field; None if there is none.

        Raises
        ------
        FormatError
            It is not a positive number.
        """
        text = self.file.get("reflectance_scale_factor")
        if text is None:
            return None
        factor = self._number(text, "reflectance scale factor")
        if factor <= 0:
            raise FormatError(
                f"{self.name} has the reflectance scale factor {text}, which is not positive; "
                f"remove it"
            )
        return 1.0 / factor

    def times(self) -> tuple[datetime | None, datetime | None]:
        """Return start and end of the acquisition, UTC; None if unknown."""
        start = self._time(_START)
        return start, self._time(_END) or start

    def version(self) -> str:
        """Return the processing version; ``0`` if unknown."""
        return next((self.file[key] for key in _VERSION if self.file.get(key)), "0")

    def _unit(self) -> str:
        own = self.bands[0].get("wavelength_units") or self.bands[0].get("wavelength_unit")
        return (own or self.file.get("wavelength_units") or "").strip().lower()

    def _nanometres(self, names: Sequence[str], imagery_name: str, unit: str) -> list[float] | None:
        values = self._numbers(names)
        if values is None:
            values = self._of_bands(self.imagery, (imagery_name,))
            return None if values is None else [1000.0 * value for value in values]
        return [self._factor(unit) * value for value in values]

    def _factor(self, unit: str) -> float:
        """Return nm per unit; without one, centres below 100 can only be micrometres."""
        if unit.startswith(("nm", "nano")):
            return 1.0
        if unit.startswith(("um", "µm", "μm", "micro")):
            return 1000.0
        if unit and unit != "unknown":
            raise FormatError(
                f"{self.name} has wavelengths in {unit!r}; give nanometres or micrometres"
            )
        centers = self._numbers(_WAVELENGTH) or [0.0]
        return 1000.0 if max(centers) < _MICROMETRES_BELOW else 1.0

    def _numbers(self, names: Sequence[str]) -> list[float] | None:
        """Return one number per band, from the bands' own tags or from a list of the file's."""
        own = self._of_bands(self.bands, names)
        if own is not None:
            return own
        for name in names:
            if text := self.file.get(name):
                items = text.strip().strip("{}[]()").split(",")
                if len(items) != self.count:
                    raise FormatError(
                        f"{self.name} lists {len(items)} values of {name} for {self.count} bands; "
                        f"give one per band"
                    )
                return [self._number(item, name) for item in items]
        return None

    def _of_bands(self, tags: list[dict[str, str]], names: Sequence[str]) -> list[float] | None:
        for name in names:
            if all(name in band for band in tags):
                return [self._number(band[name], name) for band in tags]
        return None

    def _number(self, text: str, name: str) -> float:
        words = {"true": 1.0, "false": 0.0}
        try:
            number = words.get(text.strip().lower(), math.nan)
            number = float(text) if math.isnan(number) else number
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise FormatError(f"{self.name} has {text!r} as {name}, expected a number")
        return number

    def _time(self, names: Sequence[str]) -> datetime | None:
        for name in names:
            text = self.file.get(name, "").strip().strip("{}").strip()
            if not text:
                continue
            moment = _parse_time(text)
            if moment is not None:
                return moment
            _LOG.warning("%s has %r as %s, which is not a time; ignored", self.name, text, name)
        return None


def _parse_time(text: str) -> datetime | None:
    return utc_time(text) or _tiff_time(text)


def _tiff_time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _lower(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.lower().replace(" ", "_"): value for key, value in tags.items()}
