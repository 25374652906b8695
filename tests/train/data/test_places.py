"""Blocks of nearby sites: neighbours together, sites whole, as large as residuals are alike."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.grid import on_sphere
from deepsalt.train.data.places import (
    BLOCKS,
    MIN_BLOCKS,
    VARIOGRAM_SITES,
    Blocks,
    blocks,
    with_blocks,
)
from deepsalt.train.data.variogram import practical_range_m
from tests.train.soils import soil_table


def scattered(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(84.0, 85.0, count), rng.uniform(40.0, 41.0, count)


def alike(
    count: int, range_km: float, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places on 50 x 50 km, and values of which 70 % are alike within a practical range."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.0, 50.0, (2, count))
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    covariance = 0.7 * np.exp(-3.0 * apart / max(range_km, 1e-3)) + 0.3 * np.eye(count)
    values = np.linalg.cholesky(covariance) @ rng.normal(size=count)
    return 84.0 + x / 85.0, 40.0 + y / 111.0, values


def of_values(count: int, range_km: float, seed: int = 0) -> Blocks:
    lon, lat, values = alike(count, range_km, seed=seed)
    return blocks(lon, lat, np.arange(count).astype(str), values)


def test_sites_are_dealt_into_blocks() -> None:
    lon, lat = scattered(60)
    found = blocks(lon, lat, np.arange(60).astype(str))
    assert np.unique(found.name).size == found.count == BLOCKS


def test_clusters_of_sites_are_blocks() -> None:
    middle = np.repeat(np.arange(5.0), 6)
    rng = np.random.default_rng(1)
    lon, lat = middle + rng.normal(0, 0.001, 30), 40 + middle + rng.normal(0, 0.001, 30)
    found = blocks(lon, lat, np.arange(30).astype(str)).name
    for name in np.unique(found):
        assert np.unique(middle[found == name]).size == 1


def test_a_site_is_never_split() -> None:
    lon, lat = scattered(60)
    site = (np.arange(60) // 4).astype(str)
    found = blocks(lon, lat, site).name
    for name in np.unique(site):
        assert np.unique(found[site == name]).size == 1


def test_a_few_sites_are_a_block_each() -> None:
    lon, lat = scattered(4)
    assert blocks(lon, lat, np.arange(4).astype(str)).count == 4


def test_sites_of_one_field_are_one_block() -> None:
    lon, lat = scattered(30)
    found = blocks(84.0 + (lon - 84.0) / 200, 40 + (lat - 40) / 200, np.arange(30).astype(str))
    assert set(found.name) == {"block 0"}
    assert found.sentence == "all sites lie within 1 km: one block"


def test_blocks_reach_over_180_degrees() -> None:
    lon = np.array([179.99, -179.99, *np.linspace(-60, 60, BLOCKS - 1)])
    found = blocks(lon, np.zeros(lon.size), np.arange(lon.size).astype(str)).name
    assert found[0] == found[1]


def test_tables_share_their_blocks() -> None:
    soils = soil_table(40, 10)
    place = np.stack(scattered(40), axis=1)
    first = replace(soils, position=place, group=soils.sample)
    second = first.take(np.arange(10))
    (one, other, laboratory), said = with_blocks([first, second, soils])
    assert np.array_equal(one.group[:10], other.group)
    assert np.array_equal(one.region, one.group)
    assert laboratory is soils
    assert said == "10 blocks: clusters of coordinates"


def test_windows_that_overlap_are_not_split() -> None:
    lon, lat = scattered(60)
    lon, lat = np.repeat(lon, 2), np.repeat(lat, 2)
    lat[1::2] += 90.0 / 111_000.0
    name = blocks(lon, lat, np.arange(120).astype(str), alike(120, 10.0)[2]).name
    assert np.array_equal(name[::2], name[1::2])


def test_blocks_are_the_smaller_the_less_far_residuals_are_alike() -> None:
    near, far = ([of_values(300, km, seed).count for seed in range(5)] for km in (10.0, 30.0))
    assert np.median(near) > np.median(far) >= MIN_BLOCKS


def test_a_few_blocks_remain_however_far_residuals_are_alike() -> None:
    assert all(of_values(200, 500.0, seed).count >= MIN_BLOCKS for seed in range(5))


def test_the_sentence_names_the_range() -> None:
    found = of_values(300, 10.0)
    assert found.sentence.startswith(f"{found.count} blocks: residuals are alike within ")
    assert "km (practical range of the variogram)" in found.sentence


def test_sites_too_few_for_a_variogram_are_clusters() -> None:
    found = of_values(VARIOGRAM_SITES - 1, 10.0)
    assert found.count == BLOCKS
    assert "99 labelled sites are too few for a variogram" in found.sentence


def test_sites_without_a_label_do_not_count_for_the_variogram() -> None:
    lon, lat, values = alike(150, 10.0)
    values[: 150 - VARIOGRAM_SITES + 1] = np.nan
    found = blocks(lon, lat, np.arange(150).astype(str), values)
    assert "99 labelled sites are too few" in found.sentence


def test_tables_give_residuals_of_a_simple_model() -> None:
    soils = soil_table(120, 120)
    lon, lat, values = alike(120, 30.0)
    placed = replace(soils, position=np.stack([lon, lat], axis=1), group=soils.sample)
    _, said = with_blocks([placed], lambda features, target: values)
    assert "residuals are alike within" in said


@pytest.mark.parametrize("range_km", [10.0, 20.0])
def test_a_range_is_found_rather_too_long_than_too_short(range_km: float) -> None:
    found = []
    for seed in range(10):
        lon, lat, values = alike(300, range_km, seed=seed)
        found.append(practical_range_m(on_sphere(lon, lat), values) or np.nan)
    assert 0.8 < np.nanmedian(found) / (1000.0 * range_km) < 3.0


def test_values_without_neighbours_alike_have_no_range() -> None:
    lon, lat, _ = alike(150, 0.0)
    points = on_sphere(lon, lat)
    drawn = np.random.default_rng(1).normal(size=(40, 150))
    assert sum(practical_range_m(points, values) is not None for values in drawn) <= 5
