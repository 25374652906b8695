"""Scenes all over a continent, as a catalogue lists them: Items without files behind them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from deepsalt.grid.crs import footprint
from deepsalt.scenes.enmap import LAYERS
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import Acquisition, Asset

WEST, SOUTH, EAST, NORTH = -15.0, -33.0, 49.0, 36.0
"""Africa, degrees."""
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
_BYTES = 380_000_000


def scenes(number: int, *, size_px: int = 1200, seed: int = 1) -> Iterator[Acquisition]:
    """Yield EnMAP scenes at random places of Africa, three deep at some of them.

    Parameters
    ----------
    number
        How many.
    size_px
        Edge of each, pixels; edges differ by up to a twentieth, as they do in the archive.
    seed
        Of places and sizes.
    """
    rng = np.random.default_rng(seed)
    bands = sensor_bands("enmap")
    lon, lat = WEST, SOUTH
    for index in range(number):
        if index % 3 != 2:  # every third is a later look at the place of the one before
            lon, lat = rng.uniform(WEST, EAST), rng.uniform(SOUTH, NORTH)
        height, width = (size_px + int(n) for n in rng.integers(0, 1 + size_px // 20, 2))
        grid = utm_grid(lon, lat, height, width)
        start = START + timedelta(hours=index)
        name = f"ENMAP01-____L2A-DT{index:010}_{start:%Y%m%dT%H%M%SZ}_001_V010502_{start:%Y%m%dT%H%M%SZ}"
        yield Acquisition(
            collection="enmap-l2a",
            scene_id=name,
            acquisition_id=f"DT{index:010}_001",
            version="01.05.02",
            sensor="enmap",
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
                Asset(role, f"/archive/{name}/{name}-{layer}.TIF", _BYTES if role == "image" else 1000)
                for role, layer in LAYERS.items()
            ),
            footprint=footprint(grid, points_per_edge=1),
            sun_elevation_deg=45.0,
            cloud_cover_pct=float(index % 20),
            overall_quality=0,
        )
