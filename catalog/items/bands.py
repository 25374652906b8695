"""Bands of an Item: wavelengths, widths, scale and offset, in STAC 1.1 and before.

STAC gives wavelengths in micrometres, deepsalt in nanometres, DLR nanometres under STAC's names.
The decimal point is moved in decimal arithmetic, so that 418.416 nm stays 418.416 nm.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

import numpy as np

from catalog.fields import Fields, Table, finite, shown
from deepsalt.errors import FormatError
from deepsalt.types import MAX_BANDS, Acquisition, BandTable

_LONGEST_UM = 50.0  # no band lies above 50 um or below 50 nm: the magnitude tells the unit
_UM_TO_NM = 3  # places of the decimal point
_DECIMALS = 10  # maximum of a wavelength in micrometres, nearly always
_DLR_NAMES = {"scale": "gain", "offset": "offset"}
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True)
class ParsedBands:
    """Bands of an Item and how digital numbers become reflectance (n bands).

    Parameters
    ----------
    names
        Band names, unique.
    centers_nm, fwhm_nm
        Band centres and full widths at half maximum, nm.
    gain, offset
        Reflectance = digital number x gain + offset.
    dtype
        NumPy name of the stored type; None if the Item does not say.
    nodata
        Digital number that means "no measurement".
    nodata_given
        Whether the Item states `nodata`; null states that there is none.
    usable
        Which bands to use; None if the Item does not say.
    """

    names: tuple[str, ...]
    centers_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...]
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    dtype: str | None
    nodata: float | None
    nodata_given: bool
    usable: tuple[bool, ...] | None


def write_bands(acquisition: Acquisition) -> list[dict[str, Any]]:
    """Return the STAC 1.1 band objects of a scene."""
    table = acquisition.bands
    bands = []
    for index, name in enumerate(table.names):
        band: dict[str, Any] = {"name": name}
        for field, exact, nm in (
            ("eo:center_wavelength", "deepsalt:center_nm", table.centers_nm[index]),
            ("eo:full_width_half_max", "deepsalt:fwhm_nm", table.fwhm_nm[index]),
        ):
            band[field] = _shifted(nm, -_UM_TO_NM)
            if _shifted(band[field], _UM_TO_NM) != nm:
                band[exact] = nm  # more digits than micrometres need
        band["raster:scale"] = acquisition.gain[index]
        band["raster:offset"] = acquisition.offset[index]
        band["deepsalt:usable"] = table.usable[index]
        bands.append(band)
    return bands


def write_nodata(nodata: float | None) -> dict[str, float | int | str]:
    """Return the field that gives the nodata number; empty if there is none.

    ``nodata`` is always a number: STAC also allows text, but a table has one type per column, and
    readers of GeoParquet refuse "nan". JSON has no number for NaN and infinity; these are written
    as text in ``deepsalt:nodata``.
    """
    if nodata is None:
        return {}
    if math.isnan(nodata):
        return {"deepsalt:nodata": "nan"}
    if math.isinf(nodata):
        return {"deepsalt:nodata": "inf" if nodata > 0 else "-inf"}
    whole = nodata.is_integer() and abs(nodata) < 2**53
    return {"nodata": int(nodata) if whole else nodata}


def parse_bands(asset: Fields, properties: Fields) -> ParsedBands:
    """Return the bands of an image asset.

    Parameters
    ----------
    asset
        The image asset: ``bands`` (STAC 1.1) or ``eo:bands`` and ``raster:bands`` (before).
    properties
        Properties of the Item, which may hold common fields instead.

    Raises
    ------
    FormatError
        There are no bands, a wavelength, width or scale is missing, or a value is not a number.
    """
    name = "bands" if asset.has("bands") else "eo:bands"
    table = asset.table(name, MAX_BANDS)
    if not table:
        raise FormatError(f"{asset.where} lists no bands; expected a wavelength and FWHM per band")
    older = asset.table("raster:bands", MAX_BANDS) if name == "eo:bands" else None
    if older and len(older) != len(table):
        raise FormatError(
            f"{asset.where} has {len(table)} 'eo:bands' but {len(older)} 'raster:bands'"
        )
    rasters = older or table
    gain = _per_band(rasters, asset, "scale")
    dtype = _common(rasters, asset, "data_type", properties)
    if gain is None and isinstance(dtype, str) and dtype.startswith("float"):
        gain = (1.0,) * len(table)  # STAC: no scale means the values are the quantity itself
    if gain is None:
        raise FormatError(
            f"{asset.where} does not say how {dtype or 'its'} numbers become reflectance; "
            "expected 'raster:scale' per band"
        )
    nodata, given = _nodata(rasters, asset, properties)
    centers_nm, fwhm_nm = _nanometres(table, asset)
    return ParsedBands(
        names=_names(table, asset),
        centers_nm=centers_nm,
        fwhm_nm=fwhm_nm,
        gain=gain,
        offset=_per_band(rasters, asset, "offset") or (0.0,) * len(table),
        dtype=None if dtype is None else str(dtype),
        nodata=nodata,
        nodata_given=given,
        usable=_usable(table),
    )


def band_table(parsed: ParsedBands, where: str) -> BandTable:
    """Return the parsed bands as a `BandTable`, all usable unless the Item says otherwise.

    Raises
    ------
    FormatError
        Wavelengths or widths are impossible.
    """
    usable = parsed.usable or (True,) * len(parsed.names)
    try:
        return BandTable(parsed.names, parsed.centers_nm, parsed.fwhm_nm, usable)
    except FormatError as error:
        raise FormatError(f"{where} has invalid bands: {error}") from error


def _shifted(value: float, places: int) -> float:
    """Return a number times ten to the `places`, with its decimal digits unchanged."""
    text = repr(value)
    # As text it is three times as fast; a catalogue has hundreds of numbers per scene.
    return float(f"{text}e{places}" if "e" not in text else Decimal(text).scaleb(places))


@lru_cache(maxsize=64)  # scenes of one sensor mostly share widths, and often centres
def all_shifted(values: tuple[float, ...], places: int) -> tuple[float, ...]:
    """Return each number divided by ten to the power of `places`, as its digits would be."""
    # A float has only one decimal of at most 15 digits near it, which is the one that repr writes;
    # whole numbers and powers of ten of this size are exact, so their quotient is rounded as the
    # digits would be.
    numbers = np.array(values)
    with np.errstate(over="ignore"):
        whole = np.rint(numbers * 10.0**_DECIMALS)
    if np.abs(whole).max() < 1e15 and np.array_equal(whole / 10.0**_DECIMALS, numbers):
        return tuple((whole / 10.0 ** (_DECIMALS - places)).tolist())
    return tuple(_shifted(value, places) for value in values)


def _names(table: Table, asset: Fields) -> tuple[str, ...]:
    if table.columns and "name" in table.columns:
        names = tuple(map(str, table.columns["name"]))
    else:
        names = tuple(str(band.get("name", number)) for number, band in enumerate(table.rows, 1))
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError(f"{asset.where} has two bands called {twice!r}")
    return names


def _nanometres(table: Table, asset: Fields) -> tuple[tuple[float, ...], tuple[float, ...]]:
    centers = _column(table, asset, "center_wavelength")
    widths = _column(table, asset, "full_width_half_max")
    places = _UM_TO_NM if max(centers) <= _LONGEST_UM else 0
    if not places and min(centers) <= _LONGEST_UM:
        raise FormatError(
            f"{asset.where} has band centres from {min(centers)} to {max(centers)}; "
            "expected all of them in micrometres"
        )
    return (
        _exact(table, "deepsalt:center_nm", all_shifted(centers, places)),
        _exact(table, "deepsalt:fwhm_nm", all_shifted(widths, places)),
    )


def _column(table: Table, asset: Fields, name: str) -> tuple[float, ...]:
    values = table.numbers((f"eo:{name}", name))
    if None in values:
        missing = [str(number) for number, value in enumerate(values, 1) if value is None]
        raise FormatError(
            f"{asset.where} has no {name} for {len(missing)} of {len(values)} bands (first: "
            f"{', '.join(missing[:5])}); expected a wavelength and FWHM per band"
        )
    return cast("tuple[float, ...]", values)


def _exact(table: Table, name: str, values: tuple[float, ...]) -> tuple[float, ...]:
    if table.lacks(name):
        return values
    stated = table.numbers((name,))
    return tuple(v if s is None else s for v, s in zip(values, stated, strict=True))


def _per_band(rasters: Table, asset: Fields, name: str) -> tuple[float, ...] | None:
    """Return scale or offset per band; `enmap:` names are DLR's, one value on the asset is STAC."""
    spellings = (f"raster:{name}", name, f"enmap:{_DLR_NAMES[name]}_of_band")
    common = asset.first_number(spellings)
    values = rasters.numbers(spellings)
    if None in values and common is not None:
        values = tuple(common if value is None else value for value in values)
    if missing := values.count(None):
        if missing == len(values):
            return None
        known = len(values) - missing
        raise FormatError(
            f"{asset.where} has a {name} for {known} of {len(values)} bands; expected all"
        )
    return cast("tuple[float, ...]", values)


def _common(rasters: Table, asset: Fields, name: str, properties: Fields) -> Any:
    """Return a value that all bands share, wherever it is given; None if nowhere."""
    for holder in (asset, properties):
        if name in holder.values:
            return holder.values[name]
    values = {str(band[name]): band[name] for band in rasters.rows if name in band}
    if len(values) > 1:
        raise FormatError(
            f"{asset.where} has bands with different {name}: {', '.join(sorted(values)[:5])}; "
            "expected one for all bands"
        )
    return next(iter(values.values()), None)


def _nodata(rasters: Table, asset: Fields, properties: Fields) -> tuple[float | None, bool]:
    own = asset.text("deepsalt:nodata")
    if own in _SPECIAL:
        return _SPECIAL[own], True
    holders = (asset.values, properties.values, *rasters.rows)
    given = any("nodata" in holder for holder in holders)
    value = _common(rasters, asset, "nodata", properties)
    if not given and properties.has("enmap:nodata"):
        return properties.number("enmap:nodata"), True
    if value is None:
        return None, given
    if isinstance(value, str) and value.lower() in _SPECIAL:
        return _SPECIAL[value.lower()], True
    number = finite(value)
    if number is None:
        raise FormatError(f"{asset.where} has {shown(value)} as 'nodata'; expected a number")
    return number, True


def _usable(table: Table) -> tuple[bool, ...] | None:
    flags = table.flags("deepsalt:usable")
    return None if None in flags else cast("tuple[bool, ...]", flags)
