"""Scenes all over a continent, as a catalogue lists them: Items without files behind them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from deepsalt.grid.crs import footprint
from deepsalt.scenes.enmap.reader import LAYERS
from deepsalt.simulate.geodesy import GSD_M, utm_grid
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import Acquisition, Asset, PixelGrid

AFRICA = (-15.0, -33.0, 49.0, 36.0)
CENTRAL_ASIA = (46.0, 35.0, 88.0, 52.0)
"""Areas: west, south, east, north, degrees."""
_START = datetime(2024, 1, 1, 9, tzinfo=UTC)
_IMAGE_BYTES, _LAYER_BYTES = 380_000_000, 1_000_000
_DRIFT_NM = 0.3


def continent(
    number: int,
    *,
    size_px: int = 1200,
    seed: int = 1,
    area: tuple[float, float, float, float] = AFRICA,
) -> Iterator[Acquisition]:
    """Yield EnMAP scenes at random places of an area, every third over the one before.

    Sizes differ by up to a twentieth and band centres drift, as they do in the archive.
    """
    rng = np.random.default_rng(seed)
    west, south, east, north = area
    lon, lat = west, south
    for index in range(number):
        if index % 3 != 2:
            lon, lat = rng.uniform(west, east), rng.uniform(south, north)
        height, width = (size_px + int(n) for n in rng.integers(0, 1 + size_px // 20, 2))
        found = _scene(index, utm_grid(lon, lat, width, height))
        drift = rng.uniform(-_DRIFT_NM, _DRIFT_NM)
        centers = tuple(round(center + drift, 4) for center in found.bands.centers_nm)
        yield replace(found, bands=replace(found.bands, centers_nm=centers))


def lattice(number: int, *, size_px: int, spacing_px: int) -> Iterator[Acquisition]:
    """Yield scenes of one UTM zone, in rows, each `spacing_px` from the next."""
    side = int(np.ceil(np.sqrt(number)))
    first = utm_grid(21.0, 10.0, size_px, size_px)
    a, _, west, _, e, top = first.transform
    for index in range(number):
        row, column = divmod(index, side)
        step = spacing_px * GSD_M
        corner = (a, 0.0, west + column * step, 0.0, e, top - row * step)
        yield _scene(index, replace(first, transform=corner), sensor="generic")


def _scene(index: int, grid: PixelGrid, *, sensor: str = "enmap") -> Acquisition:
    bands = sensor_bands("enmap")
    start = _START + timedelta(hours=index)
    name = f"ENMAP01-____L2A-DT{index:010}_{start:%Y%m%dT%H%M%SZ}_001_V010502_20250101T000000Z"
    return Acquisition(
        collection="enmap-l2a",
        scene_id=name,
        acquisition_id=f"DT{index:010}_001",
        version="01.05.02",
        sensor=sensor,
        start=start,
        end=start + timedelta(seconds=4),
        grid=grid,
        bands=bands,
        gain=(1e-4,) * len(bands),
        offset=(0.0,) * len(bands),
        dtype="int16",
        nodata=-32768.0,
        block_shape=(256, 256),
        assets=tuple(
            Asset(
                role,
                f"/archive/{name}/{name}-{layer}.TIF",
                _IMAGE_BYTES if role == "image" else _LAYER_BYTES,
            )
            for role, layer in LAYERS.items()
        ),
        footprint=footprint(grid, points_per_edge=1),
        sun_elevation_deg=45.0,
        cloud_cover_pct=float(index % 20),
        overall_quality=0,
    )
