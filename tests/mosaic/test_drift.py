"""A version unlike those before waits for a person; seasons, clouds and new ground do not."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
import xarray as xr

from deepsalt.layers import CHANCE, SCENE_LAYERS
from deepsalt.mosaic import Builder, all_period_tiles
from deepsalt.mosaic.drift import LEAST_VERSIONS, Drift, Figures, unlike
from deepsalt.store import Period, Store
from deepsalt.types import PixelGrid, QualityFlag, Report
from deepsalt.validate import Limits
from deepsalt.versions import HELD_FACT, Built, held, open_repository
from tests.campaign import examples
from tests.store.builders import (
    acquisition,
    add_product,
    chances,
    hide,
    layers,
    make_store,
    scene_grid,
)

LIMITS = Limits(max_lost=0.2, max_shift=2.0)
TILE = 64 * 64
EDGE = 60
DAYS = examples(120, 365)


def cells(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_only_cells_that_differ_count_for_a_shift() -> None:
    found = Drift.of(cells(2, 2, 2, 2), cells(2, 2, 2, 8))
    assert found.changed == 1
    assert found.shift == pytest.approx(4, rel=0.05)


def test_cells_without_an_estimate_now_are_lost() -> None:
    found = Drift.of(cells(2, 2, np.nan), cells(2, np.nan, 2))
    assert (found.estimated, found.lost) == (2, 1)


def test_differences_below_the_lowest_break_of_the_map_are_none() -> None:
    assert Drift.of(cells(0.05), cells(0.45)).shift == 1


@pytest.mark.parametrize("factor", [1.2, 1.5, 2.0, 5.0])
def test_a_shift_is_the_factor_of_the_distribution(factor: float) -> None:
    drawn = np.random.default_rng(0).lognormal(1.5, 0.5, (100, 100)).astype(np.float32)
    assert Drift.of(drawn, drawn * np.float32(factor)).shift == pytest.approx(factor, rel=0.05)


def test_drifts_of_two_halves_add_up_to_that_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    before, after = (rng.lognormal(1, 1, (8, 8)).astype(np.float32) for _ in range(2))
    whole = Drift.of(before, after)
    halves = Drift.of(before[:4], after[:4]) + Drift.of(before[4:], after[4:])
    assert (whole.shift, whole.changed) == (halves.shift, halves.changed)


def figures(**changes: float) -> Figures:
    return Figures(**{"lost": 0.0, "shift": 1.1, "missing": 0.4, **changes})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (figures(lost=0.5), "50% of a tile's estimates are lost, usually 0%, at most 20%"),
        (figures(shift=3.0), "moved by a factor of 3.0, usually 1.1, at most 2.0"),
        (figures(missing=0.98), "98% of the cells measured have no estimate, usually 40%"),
        (figures(), ""),
    ],
    ids=["lost", "shift", "missing", "as usual"],
)
def test_a_version_is_compared_with_those_before(found: Figures, said: str) -> None:
    assert said in unlike(found, [figures()] * LEAST_VERSIONS, LIMITS)
    assert bool(unlike(found, [figures()] * LEAST_VERSIONS, LIMITS)) == bool(said)


def test_with_few_versions_no_share_is_unusual() -> None:
    assert not unlike(figures(missing=1.0), [figures()] * (LEAST_VERSIONS - 1), LIMITS)


def test_what_people_published_is_usual() -> None:
    assert not unlike(figures(shift=2.5), [figures(shift=1.5)] * 5, LIMITS)


def test_without_limits_nothing_is_unlike() -> None:
    assert not unlike(figures(lost=1.0, shift=99.0, missing=1.0), [figures()] * 9, Limits())


def test_clouds_of_one_scene_are_no_figure() -> None:
    clouded = (Report(TILE, 0, ()), Drift.none())
    assert math.isnan(Figures.of([clouded], TILE, 1).missing)
    assert Figures.of([clouded], TILE, 9).missing == 1


def test_a_sliver_of_a_tile_has_no_figures() -> None:
    drift = Drift.of(cells(2, 2), cells(np.nan, 9))
    found = Figures.of([(Report(TILE, 2, (("outside", TILE - 2),)), drift)], TILE, 9)
    assert (found.lost, found.shift, math.isnan(found.missing)) == (0, 1, True)


def build(store: Store, limits: Limits = LIMITS) -> Built:
    with ThreadPoolExecutor(2) as pool:
        return Builder(store, pool, limits)(all_period_tiles(store), why="test")


def test_a_version_that_loses_estimates_is_held_with_the_reason() -> None:
    store = make_store()
    add_product(store, acquisition("a", version="1"), seed=1)
    first = build(store)
    cloudy = layers(scene_grid(), seed=2)
    cloudy["quality_flags"][:] = QualityFlag.CLOUD
    hide(cloudy)
    add_product(store, acquisition("a", version="2"), cloudy)
    second = build(store)
    assert (first.held, second.held) == (False, True)
    assert "100% of a tile's estimates are lost" in second.why_held
    mosaic = open_repository(store.objects)
    assert mosaic.head() == first.versions[0]
    assert [each.facts[HELD_FACT] for each in held(mosaic)] == [second.why_held]


def test_new_ground_is_not_held() -> None:
    store = make_store()
    for number in range(8):
        add_product(store, acquisition(f"n{number}", grid=scene_grid(column=60 * number)), seed=9)
        assert not build(store).held


def test_a_held_tile_is_composed_to_the_same_bits() -> None:
    one, two = make_store(), make_store()
    for store, limits in ((one, LIMITS), (two, Limits())):
        add_product(store, acquisition("a"), layers(scene_grid(), salinity=2.0))
        build(store, limits)
        add_product(store, acquisition("b"), layers(scene_grid(), salinity=90.0))
    first, second = build(one), build(two, Limits())
    assert (first.held, second.held) == (True, False)
    assert first.versions[0].totals == second.versions[0].totals


@dataclass
class Year:
    """A region that a satellite visits for a year; a build after each one to three scenes.

    Salinity rises and falls with the season by `amplitude`; plants hide up to 60 % of it in summer;
    clouds hide anything from nothing to all. A scene is wrong as a whole by 15 % and at each pixel
    by 30 %.
    """

    seed: int
    layout: str
    amplitude: float = 1.4
    store: Store = field(init=False)
    day: int = 0
    scenes: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.store = make_store(layout=self.layout)
        self.ground = np.exp(self._smooth(100) * 0.8 + 1.2)

    def _smooth(self, size: int) -> np.ndarray:
        coarse = self.rng.normal(size=(size // 20 + 2,) * 2)
        steps = np.linspace(0, size // 20, size)
        low = steps.astype(int)
        part = steps - low
        rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
        return rows[:, low] * (1 - part) + rows[:, low + 1] * part

    def scene(self, *, factor: float = 1.0, cloud: float | None = None) -> None:
        """Let a scene come in."""
        row, column = self.rng.integers(0, 30, 2) if cloud is None else (0, 0)
        grid = scene_grid(row=int(row), column=int(column), height=EDGE, width=EDGE)
        shape = (EDGE, EDGE)
        lognormal = self.rng.lognormal
        season = math.sin(2 * math.pi * self.day / 365)
        value = self.ground[row : row + EDGE, column : column + EDGE] * self.amplitude**season
        value = value * factor * lognormal(0, 0.15) * lognormal(0, 0.3, shape)
        share = self.rng.beta(0.5, 0.7) if cloud is None else cloud
        flags = np.zeros(shape, np.uint16)
        plants = self.rng.random(shape) < 0.1 + 0.5 * max(season, 0)
        flags[plants] = QualityFlag.GREEN_VEGETATION
        flags[: round(EDGE * share)] = QualityFlag.CLOUD
        start = datetime(2024, 1, 1, 10, tzinfo=UTC) + timedelta(days=self.day)
        acq = acquisition(f"s{self.scenes}", grid=grid)
        object.__setattr__(acq, "start", start)
        object.__setattr__(acq, "end", start)
        add_product(self.store, acq, product(grid, np.minimum(value, 90), flags))
        self.scenes += 1

    def build(self) -> Built:
        first = date(2024, 1, 1) + timedelta(days=self.day - self.day % 30)
        period = Period.all() if self.layout == "all" else Period(first, first + timedelta(days=29))
        with ThreadPoolExecutor(2) as pool:
            asked = all_period_tiles(self.store, period)
            return Builder(self.store, pool, LIMITS)(asked, why="test")


def product(grid: PixelGrid, value: np.ndarray, flags: np.ndarray) -> xr.Dataset:
    z = np.log1p(value)
    data = {
        "salinity": value,
        "salinity_lower": np.expm1(np.maximum(z - 0.5, 0)),
        "salinity_upper": np.expm1(z + 0.5),
    }
    shown = {k: np.where(flags, np.nan, v).astype(np.float32) for k, v in data.items()}
    shown |= {CHANCE: chances(shown["salinity"]), "quality_flags": flags}
    ds = xr.Dataset({layer.name: (layer.dims, shown[layer.name]) for layer in SCENE_LAYERS})
    for layer in SCENE_LAYERS:
        ds[layer.name].attrs.update(layer.attributes())
    ds["salinity"].attrs["ec_method"] = "EC 1:2"
    return ds


def pass_by(year: Year, *, days: int = DAYS) -> list[Built]:
    """Let scenes come in and build, every few days."""
    built = []
    while year.day < days:
        for _ in range(year.rng.integers(1, 4)):
            year.scene()
        built.append(year.build())
        year.day += int(year.rng.integers(2, 9))
    return built


def told(built: Sequence[Built]) -> list[str]:
    return [each.why_held for each in built if each.held]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["all", "dated"])
def test_an_honest_year_is_rarely_held(layout: str) -> None:
    count, reasons = 0, []
    for seed in range(examples(2, 5)):
        built = pass_by(Year(seed, layout))
        count += len(built)
        reasons += told(built)
    print(f"{layout}: {len(reasons)} of {count} honest versions are held", reasons)
    assert len(reasons) <= count / 100


@pytest.mark.parametrize(
    ("honest", "factor", "is_held"),
    [(1, 10.0, True), (1, 0.1, True), (1, 1.5, False), (2, 20.0, False), (8, 10.0, False)],
    ids=["high", "low", "as seasons do", "outvoted by two", "outvoted by many"],
)
def test_a_scene_wrong_by_a_factor_is_held_where_it_counts(
    honest: int, factor: float, is_held: bool
) -> None:
    year = Year(1, "all")
    for _ in range(honest):
        year.scene(cloud=0.0)
    year.build()
    year.scene(factor=factor, cloud=0.0)
    built = year.build()
    print(honest, factor, built.versions[0].facts["figures"])
    # From three scenes on a mosaic hardly counts one that is unlike the others: nothing moves.
    assert built.held == is_held
