"""PRISMA L2D products (HDF-EOS5), true to format, with known salinity.

Layout and attributes follow the delivered products (REFERENCE: hyperproc, EnMAP-Box and SNAP
readers): cubes as (row, band, column), wavelengths descending, bands that were not acquired with
a centre of 0.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import UsageError
from deepsalt.simulate.geodesy import GSD_M, lonlat_of_pixels, to_lonlat
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.scene import SimulatedScene, Strip, Weather
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import BandTable, PixelGrid

SWATH = "HDFEOS/SWATHS/PRS_L2D_HCO"
VAPOUR_NM = ((1350.0, 1460.0), (1790.0, 1960.0))
"""Windows that are delivered as noise."""

ERR_OK = 0
ERR_INVALID = 1
ERR_NEGATIVE = 2
"""Values of the error matrices."""

_STRIP_PX = 128
_CENTER_DRIFT_NM = 0.15
# Bands listed but not acquired, at the beginning of the VNIR and at the end of the SWIR.
_UNACQUIRED = {"vnir": (3, 0), "swir": (0, 2)}
_SCALES = {"vnir": (0.0008, 1.2031), "swir": (0.0005, 1.1517)}  # reflectance of DN 0 and 65535
# At 30 % albedo: 400 to 500 up to 1300 nm, lower below 700 and above 1600 (Cogliati et al. 2021).
SNR_NM = (400, 450, 700, 760, 800, 940, 1000, 1130, 1200, 1320, 1500, 1650, 2000, 2200, 2450, 2500)
SNR = (120, 220, 400, 200, 430, 150, 460, 150, 460, 400, 250, 300, 130, 170, 70, 30)


@dataclass(frozen=True, slots=True)
class _Arm:
    """One spectrometer: which bands of the scene, in file order, and how they are stored."""

    name: str
    bands: NDArray[np.intp]
    before: int
    after: int
    scale: tuple[float, float]

    @property
    def count(self) -> int:
        return self.before + self.bands.size + self.after

    def listed(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return a per-band list of the file: 0 where a band was not acquired."""
        listed = np.zeros(self.count, dtype=np.float32)
        listed[self.before : self.before + self.bands.size] = values[self.bands]
        return listed


def write_prisma(
    folder: str | Path,
    *,
    landscape: Landscape,
    grid: PixelGrid,
    start: datetime,
    seed: int,
    weather: Weather | None = None,
    tilt_deg: float = 3.0,
) -> Path:
    """Write one PRISMA L2D product.

    Parameters
    ----------
    folder
        Where to write the file.
    landscape
        The ground; `Landscape.truth_on` of any grid gives the truth.
    grid
        UTM grid of 30 m, for example from `utm_grid`.
    start
        Begin of the acquisition, UTC.
    seed
        Clouds, noise and band drift: the same seed is the same pixels.
    weather
        Clouds and sun; the defaults when None. L2D delivers no cloud mask.
    tilt_deg
        Angle between swath and grid, degrees.

    Returns
    -------
    Path
        The ``.he5`` file, named like the product.

    Raises
    ------
    UsageError
        The grid is not a 30 m UTM grid.
    """
    if grid.transform[0] != GSD_M or not grid.crs.startswith(("EPSG:326", "EPSG:327")):
        raise UsageError(f"PRISMA L2D products have 30 m UTM grids, not {grid.crs}; use utm_grid")
    weather = weather or Weather()
    start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    stop = start + timedelta(seconds=4.3 * grid.height / 1000)
    rng = np.random.default_rng([seed, 6])
    table = sensor_bands("prisma")
    shift = np.round(rng.normal(0.0, _CENTER_DRIFT_NM), 4)
    bands = replace(table, centers_nm=tuple((np.array(table.centers_nm) + shift).tolist()))
    scene = SimulatedScene(
        landscape,
        grid,
        bands,
        start=start,
        seed=seed,
        weather=weather,
        tilt_deg=tilt_deg,
        snr_at_30=np.interp(bands.centers_nm, SNR_NM, SNR),
    )
    path = Path(folder) / f"PRS_L2D_STD_{start:%Y%m%d%H%M%S}_{stop:%Y%m%d%H%M%S}_0001.he5"
    path.parent.mkdir(parents=True, exist_ok=True)
    arms = [_arm(name, bands) for name in ("vnir", "swir")]
    with h5py.File(path, "w") as file:
        inside, cloudy = _write_cubes(file, scene, arms, rng)
        _write_geometry(file, grid, inside, weather, start=start, stop=stop)
        _write_attributes(file, grid, bands, arms)
        attributes = {
            "Product_Name": np.bytes_(path.name),
            "Product_StartTime": np.bytes_(_time(start)),
            "Product_StopTime": np.bytes_(_time(stop)),
            "Sun_zenith_angle": np.float32(90.0 - weather.sun_elevation_deg),
            "Sun_azimuth_angle": np.float32(weather.sun_azimuth_deg),
            "Cloudy_pixels_percentage": np.float32(100.0 * cloudy / max(inside.sum(), 1)),
        }
        file.attrs.update(attributes)
    return path


def _arm(name: str, bands: BandTable) -> _Arm:
    members = [i for i, band in enumerate(bands.names) if band.startswith(name)]
    return _Arm(name, np.array(members[::-1]), *_UNACQUIRED[name], scale=_SCALES[name])


def _write_cubes(
    file: h5py.File, scene: SimulatedScene, arms: list[_Arm], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], int]:
    """Write both cubes and their error matrices; return the swath (h, w) and cloudy pixels."""
    fields = file.create_group(f"{SWATH}/Data Fields")
    grid = scene.grid
    for arm in arms:
        shape = (grid.height, arm.count, grid.width)
        fields.create_dataset(f"{arm.name.upper()}_Cube", shape, np.uint16)
        fields.create_dataset(f"{arm.name.upper()}_PIXEL_L2_ERR_MATRIX", shape, np.uint8)
    inside = np.zeros((grid.height, grid.width), dtype=np.bool_)
    cloudy = 0
    centers = np.array(scene.bands.centers_nm)
    vapour = np.flatnonzero(np.any([(centers > a) & (centers < b) for a, b in VAPOUR_NM], axis=0))
    for strip in scene.strips(_STRIP_PX):
        inside[strip.rows] = strip.inside
        cloudy += int(np.count_nonzero(strip.cloud))
        noise = rng.standard_normal((vapour.size, *strip.inside.shape), dtype=np.float32)
        strip.reflectance[vapour] += np.float32(0.15) * noise
        for arm in arms:
            _write_arm(fields, strip, arm)
    return inside, cloudy


def _write_arm(fields: h5py.Group, strip: Strip, arm: _Arm) -> None:
    low, high = arm.scale
    reflectance = strip.reflectance[arm.bands]
    numbers = np.round((reflectance - np.float32(low)) * np.float32(65535.0 / (high - low)))
    errors = np.full(numbers.shape, ERR_OK, dtype=np.uint8)
    errors[numbers < 1.0] = ERR_NEGATIVE
    errors[np.isnan(numbers)] = ERR_INVALID
    # Where there is an error the delivered number is 0.
    stored = np.where(errors, 0.0, np.minimum(numbers, 65535.0)).astype(np.uint16)
    acquired = slice(arm.before, arm.before + arm.bands.size)
    cube = np.zeros((arm.count, *strip.inside.shape), dtype=np.uint16)
    matrix = np.zeros(cube.shape, dtype=np.uint8)
    cube[acquired], matrix[acquired] = stored, errors
    fields[f"{arm.name.upper()}_Cube"][strip.rows] = cube.transpose(1, 0, 2)
    fields[f"{arm.name.upper()}_PIXEL_L2_ERR_MATRIX"][strip.rows] = matrix.transpose(1, 0, 2)


def _write_geometry(
    file: h5py.File,
    grid: PixelGrid,
    inside: NDArray[np.bool_],
    weather: Weather,
    *,
    start: datetime,
    stop: datetime,
) -> None:
    """Write positions and angles per pixel; angles are 0 outside the swath."""
    longitude, latitude = lonlat_of_pixels(grid)
    place = file.create_group(f"{SWATH}/Geolocation Fields")
    place["Latitude"], place["Longitude"] = latitude, (longitude + 180.0) % 360.0 - 180.0
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    day = timedelta(days=1)
    place["Time"] = np.linspace((start - epoch) / day, (stop - epoch) / day, grid.height)
    angles = file.create_group(f"{SWATH}/Geometric Fields")
    across = np.linspace(-1.0, 1.0, grid.width, dtype=np.float32)
    for name, center, spread in (
        ("Solar_Zenith_Angle", 90.0 - weather.sun_elevation_deg, 0.12),
        ("Observing_Angle", 5.9, 1.3),
        ("Rel_Azimuth_Angle", 56.4, 0.5),
    ):
        field = np.float32(center) + np.float32(spread) * across
        angles[name] = (field * inside).astype(np.float32)


def _write_attributes(file: h5py.File, grid: PixelGrid, bands: BandTable, arms: list[_Arm]) -> None:
    """Write bands, scales and georeference; corners are centres of pixels."""
    for arm in arms:
        title = arm.name.capitalize()
        centers = arm.listed(np.array(bands.centers_nm))
        file.attrs[f"List_Cw_{title}"] = centers
        file.attrs[f"List_Fwhm_{title}"] = arm.listed(np.array(bands.fwhm_nm))
        file.attrs[f"List_Cw_{title}_Flags"] = (centers > 0).astype(np.uint8)
        file.attrs[f"L2Scale{title}Min"] = np.float32(arm.scale[0])
        file.attrs[f"L2Scale{title}Max"] = np.float32(arm.scale[1])
    a, _, west, _, e, top = grid.transform
    right, bottom = grid.width - 0.5, grid.height - 0.5
    corners = {"UL": (0.5, 0.5), "UR": (right, 0.5), "LL": (0.5, bottom), "LR": (right, bottom)}
    for corner, (column, row) in corners.items():
        longitude, latitude = to_lonlat(grid, np.array([column]), np.array([row]))
        file.attrs[f"Product_{corner}corner_easting"] = west + a * column
        file.attrs[f"Product_{corner}corner_northing"] = top + e * row
        file.attrs[f"Product_{corner}corner_lat"] = float(latitude[0])
        file.attrs[f"Product_{corner}corner_long"] = float((longitude[0] + 180.0) % 360.0 - 180.0)
    code = int(grid.crs.removeprefix("EPSG:"))
    file.attrs["Epsg_Code"] = np.int32(code)
    file.attrs["Projection_Id"] = np.bytes_(str(code % 100))
    file.attrs["Projection_Name"] = np.bytes_("UTM")
    file.attrs["Reference_Ellipsoid"] = np.bytes_("WGS84")
    file.attrs["Processing_Level"] = np.bytes_("2D")
    file.attrs["Processor_Version"] = np.bytes_("3.10-0")
    file.attrs["Comment"] = np.bytes_("simulated by deepsalt, not a measurement")
    information = file.create_group("HDFEOS INFORMATION")
    information.attrs["HDFEOSVersion"] = np.bytes_("HDFEOS_5.1.15")


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}"
