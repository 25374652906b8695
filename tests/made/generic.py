"""Tiny GeoTIFF and ENVI cubes that carry a wavelength and FWHM per band."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from tests.made.enmap import write_tiff

CENTERS = (460.0, 660.0, 860.0, 1610.0, 2200.0)
WIDTHS = (8.0, 8.0, 9.0, 10.0, 12.0)


def band_tags(unit: str | None = "nm", scale: float = 1.0) -> list[dict[str, str]]:
    return [
        {"wavelength": str(c * scale), "fwhm": str(w * scale), "bbl": str(int(i != 2))}
        | ({"wavelength_units": unit} if unit else {})
        for i, (c, w) in enumerate(zip(CENTERS, WIDTHS, strict=True))
    ]


def pixels(dtype: str = "float32", seed: int = 3) -> NDArray[np.generic]:
    return np.random.default_rng(seed).integers(100, 5000, (5, 20, 24)).astype(dtype)


def cube(path: Path, **options: object) -> Path:
    settings = {"nodata": -9999, "band_tags": band_tags(), "block": 16} | options
    dtype = str(settings.pop("dtype", "float32"))
    return write_tiff(path, pixels(dtype), **settings)  # type: ignore[arg-type]


def envi(path: Path, *, extra: str = "", units: str = "Nanometers", factor: float = 1.0) -> Path:
    """Write an ENVI cube (path of the data file) with its header."""
    profile = {"crs": "EPSG:32633", "transform": Affine(30, 0, 366015, 0, -30, 5809965)}
    with rasterio.open(
        path, "w", driver="ENVI", count=5, height=20, width=24, dtype="int16", **profile
    ) as raster:
        raster.write(pixels("int16"))
    with path.with_suffix(".hdr").open("a") as header:
        header.write(
            f"wavelength units = {units}\n"
            f"wavelength = {{{', '.join(str(c * factor) for c in CENTERS)}}}\n"
            f"fwhm = {{{', '.join(str(w * factor) for w in WIDTHS)}}}\n"
            "bbl = {1, 1, 0, 1, 1}\ndata ignore value = -9999\n" + extra
        )
    return path
