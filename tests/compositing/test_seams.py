"""Borders of scenes that saw the same ground through differing atmospheres."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
import xarray as xr

from deepsalt.compositing import composite
from deepsalt.grid import MosaicGrid
from deepsalt.model.load import model_ref
from deepsalt.predict.cube import predict_spectra
from deepsalt.simulate.atmosphere import AtmosphereConfig, draw_sky, look_through
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.scene import SimulatedScene, Weather
from deepsalt.simulate.specimens import GRID_NM
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import Floats, PixelGrid, QualityFlag
from tests.store.builders import acquisition, add_product, layers, make_store

WIDTH, HEIGHT, STEP = 130, 60, 45
CORNER = (582015.0, 4600035.0)  # zone 41, in the desert that the demo shows


def grid_at(column: int, width: int = WIDTH) -> PixelGrid:
    x, y = CORNER
    return PixelGrid("EPSG:32641", (30.0, 0.0, x + 30 * column, 0.0, -30.0, y), HEIGHT, width)


def seen_scene(land: Landscape, grid: PixelGrid, seed: int) -> xr.Dataset:
    """Return the layers of a scene: its own noise and its own errors of the atmosphere."""
    bands = sensor_bands("enmap")
    start = datetime(2024, 6, 1 + seed, 7, tzinfo=UTC)
    clear = Weather(cloud=0.0, cirrus=0.0, haze=0.0)
    scene = SimulatedScene(land, grid, bands, start=start, seed=seed, weather=clear, tilt_deg=0.0)
    ground = next(scene.strips(grid.height)).reflectance.reshape(len(bands), -1).T
    sky = draw_sky(np.random.default_rng(seed), GRID_NM, AtmosphereConfig(), "enmap")
    flat = np.stack([np.zeros_like(GRID_NM), np.ones_like(GRID_NM)])
    path, top = look_through(sky, flat, np.zeros(2), grid_nm=GRID_NM, bands=bands)
    found = predict_spectra(path + ground * (top - path), bands, model_ref())
    ds = layers(grid, salinity=1.0)
    for name in ("salinity", "salinity_lower", "salinity_upper"):
        ds[name].values[:] = found[name].reshape(grid.height, grid.width)
    return ds


@dataclass(frozen=True)
class Pair:
    """Two overlapping scenes, the second further east, and their mosaic; (HEIGHT, columns)."""

    first: xr.Dataset
    second: xr.Dataset
    mosaic: xr.Dataset

    def without_feather(self) -> Floats:
        """Return the mean that weighs by intervals alone."""
        total, weights = np.zeros((2, HEIGHT, STEP + WIDTH))
        for ds, first in ((self.first, 0), (self.second, STEP)):
            z = {k: np.log1p(v.values.astype(np.float64)) for k, v in ds.data_vars.items()}
            weight = np.maximum(z["salinity_upper"] - z["salinity_lower"], 0.02) ** -2
            total[:, first : first + WIDTH] += weight * z["salinity"]
            weights[:, first : first + WIDTH] += weight
        return np.asarray(np.expm1(total / weights))

    def step(self, values: Floats) -> float:
        """Return by how much values jump at both borders more than the ground does, dS/m."""
        west = np.diff(values[:, STEP - 1 : STEP + 1]) - np.diff(
            self.first.salinity.values[:, STEP - 1 : STEP + 1]
        )
        east = np.diff(values[:, WIDTH - 1 : WIDTH + 1]) - np.diff(
            self.second.salinity.values[:, WIDTH - STEP - 1 : WIDTH - STEP + 1]
        )
        return float(np.abs(np.concatenate([west, east])).mean())

    def disagreement(self) -> float:
        return float(np.nanmean(self.mosaic.disagreement.values))


@pytest.fixture(scope="module", params=[1, 2, 3])
def pair(request: pytest.FixtureRequest) -> Pair:
    store, land = make_store(grid=MosaicGrid()), Landscape(7, 60.0, 41.5)
    grids = [grid_at(0), grid_at(STEP)]
    scenes = [seen_scene(land, grid, 2 * request.param + i) for i, grid in enumerate(grids)]
    names = [add_product(store, acquisition(f"s{i}", grid=grids[i]), scenes[i]) for i in range(2)]
    return Pair(*scenes, composite(store, names, grid_at(0, STEP + WIDTH)))


def test_a_border_steps_by_far_less_than_its_scenes_disagree(pair: Pair) -> None:
    assert pair.step(pair.mosaic.salinity.values) < 0.2 * pair.disagreement()


def test_without_the_feather_borders_step_visibly(pair: Pair) -> None:
    """Otherwise the claim above would hold for scenes that do not differ."""
    assert pair.step(pair.without_feather()) > 5 * pair.step(pair.mosaic.salinity.values)


def flat(grid: PixelGrid, salinity: float, *, cloud: slice | None = None) -> xr.Dataset:
    ds = layers(grid, salinity=salinity)
    if cloud is not None:
        ds.quality_flags.values[cloud, cloud] = QualityFlag.CLOUD
    return ds


def largest_step(scenes: list[tuple[PixelGrid, xr.Dataset]]) -> float:
    """Return the largest difference of neighbours in the mosaic, log1p(dS/m).

    Away from the edges that all scenes share: there all weights fade alike.
    """
    store = make_store(grid=MosaicGrid())
    names = [
        add_product(store, acquisition(f"s{i}", grid=grid), ds)
        for i, (grid, ds) in enumerate(scenes)
    ]
    z = np.log1p(composite(store, names, grid_at(0)).salinity.values)[20:40, 20:110]
    return float(max(np.abs(np.diff(z, axis=axis)).max() for axis in (0, 1)))


def test_the_edge_of_a_cloud_leaves_no_step() -> None:
    grid = grid_at(0)
    scenes = [(grid, flat(grid, 2.0)), (grid, flat(grid, 6.0, cloud=slice(25, 35)))]
    plain = (np.log1p(6.0) - np.log1p(2.0)) / 2
    assert largest_step(scenes) < 0.15 * plain


@pytest.mark.parametrize("third", [4.5, 40.0], ids=["a good third scene", "a bad third scene"])
def test_nothing_jumps_where_a_third_scene_begins(third: float) -> None:
    """There the rule changes from that of two scenes to that of three."""
    whole, part = grid_at(0), grid_at(60, 70)
    scenes = [(whole, flat(whole, 2.0)), (whole, flat(whole, 3.0)), (part, flat(part, third))]
    plain = abs(np.log1p(third) - np.log1p([2.0, 3.0]).mean()) / 3
    assert largest_step(scenes) < 0.15 * plain
