"""A tiny PRISMA L2D file, true in paths, attributes and axis order."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

NAME = "PRS_L2D_STD_20240402102837_20240402102842_0001.he5"
UL_CENTRE = (500_115.0, 5_950_200.0)
SWATH = "HDFEOS/SWATHS/PRS_L2D_HCO"
UNACQUIRED = {"Vnir": [0, 1, 65], "Swir": [171, 172]}


def centers(word: str) -> NDArray[np.float32]:
    """Return centres of a detector, nm, running down, 0 where not acquired."""
    low, high, count = {"Vnir": (402.0, 973.0, 66), "Swir": (943.0, 2497.0, 173)}[word]
    values = np.linspace(high, low, count).astype(np.float32)
    values[UNACQUIRED[word]] = 0
    return values


def write_prisma(
    path: Path,
    *,
    shape: tuple[int, int] = (50, 60),
    cubes: dict[str, NDArray[np.uint16]] | None = None,
    errors: dict[str, NDArray[np.uint8]] | None = None,
    zenith: NDArray[np.float32] | None = None,
    chunks: tuple[int, int, int] | None = None,
    attributes: dict[str, object] | None = None,
) -> Path:
    """Write the file; `attributes` replaces attributes, None removes one."""
    rng = np.random.default_rng(5)
    rows, columns = shape
    with h5py.File(path, "w") as file:
        for word, count in (("Vnir", 66), ("Swir", 173)):
            detector = word.upper()
            given = (cubes or {}).get(detector)
            cube = rng.integers(1, 60000, (rows, count, columns), dtype=np.uint16)
            cube = cube if given is None else given
            matrix = (errors or {}).get(detector, np.zeros((rows, count, columns), np.uint8))
            fields = f"{SWATH}/Data Fields"
            options = {"chunks": chunks, "compression": "gzip" if chunks else None}
            file.create_dataset(f"{fields}/{detector}_Cube", data=cube, **options)
            file.create_dataset(f"{fields}/{detector}_PIXEL_L2_ERR_MATRIX", data=matrix, **options)
            file.attrs[f"List_Cw_{word}"] = centers(word)
            file.attrs[f"List_Fwhm_{word}"] = np.where(centers(word) > 0, 11.0, 0.0)
            file.attrs[f"List_Cw_{word}_Flags"] = (centers(word) > 0).astype(np.uint8)
        angles = np.full(shape, 50.0, np.float32) if zenith is None else zenith
        file[f"{SWATH}/Geometric Fields/Solar_Zenith_Angle"] = angles
        file.attrs.update(_attributes(shape))
        for name, value in (attributes or {}).items():
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value
    return path


def _attributes(shape: tuple[int, int]) -> dict[str, object]:
    east, north = UL_CENTRE
    return {
        "L2ScaleVnirMin": np.float32(-0.02),
        "L2ScaleVnirMax": np.float32(1.25),
        "L2ScaleSwirMin": np.float32(0.01),
        "L2ScaleSwirMax": np.float32(0.9),
        "Epsg_Code": np.int32(32632),
        "Product_ULcorner_easting": np.float64(east),
        "Product_ULcorner_northing": np.float64(north),
        "Product_LRcorner_easting": np.float64(east + 30 * (shape[1] - 1)),
        "Product_LRcorner_northing": np.float64(north - 30 * (shape[0] - 1)),
        "Sun_zenith_angle": np.float32(50.2),
        "Cloudy_pixels_percentage": np.float32(2.5),
        "Product_StartTime": b"2024-04-02T10:28:37.932000",
        "Product_StopTime": b"2024-04-02T10:28:42.237689",
        "Processing_Level": b"2D",
    }
