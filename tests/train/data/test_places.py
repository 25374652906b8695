"""Blocks of nearby sites: neighbours together, sites whole, the same each time."""

from dataclasses import replace

import numpy as np

from deepsalt.train.data.places import BLOCKS, blocks, with_blocks
from tests.train.soils import soil_table


def scattered(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(84.0, 85.0, count), rng.uniform(40.0, 41.0, count)


def test_sites_are_dealt_into_blocks() -> None:
    lon, lat = scattered(60)
    found = blocks(lon, lat, np.arange(60).astype(str))
    assert np.unique(found).size == BLOCKS


def test_clusters_of_sites_are_blocks() -> None:
    middle = np.repeat(np.arange(5.0), 6)
    rng = np.random.default_rng(1)
    lon, lat = middle + rng.normal(0, 0.001, 30), 40 + middle + rng.normal(0, 0.001, 30)
    found = blocks(lon, lat, np.arange(30).astype(str))
    for name in np.unique(found):
        assert np.unique(middle[found == name]).size == 1


def test_a_site_is_never_split() -> None:
    lon, lat = scattered(60)
    site = (np.arange(60) // 4).astype(str)
    found = blocks(lon, lat, site)
    for name in np.unique(site):
        assert np.unique(found[site == name]).size == 1


def test_a_few_sites_are_a_block_each() -> None:
    lon, lat = scattered(4)
    assert np.unique(blocks(lon, lat, np.arange(4).astype(str))).size == 4


def test_sites_of_one_field_are_one_block() -> None:
    lon, lat = scattered(30)
    found = blocks(84.0 + (lon - 84.0) / 200, 40 + (lat - 40) / 200, np.arange(30).astype(str))
    assert set(found) == {"block 0"}


def test_blocks_reach_over_180_degrees() -> None:
    lon = np.array([179.99, -179.99, *np.linspace(-60, 60, BLOCKS - 1)])
    found = blocks(lon, np.zeros(lon.size), np.arange(lon.size).astype(str))
    assert found[0] == found[1]


def test_tables_share_their_blocks() -> None:
    soils = soil_table(40, 10)
    place = np.stack(scattered(40), axis=1)
    first = replace(soils, position=place, group=soils.sample)
    second = first.take(np.arange(10))
    one, other, laboratory = with_blocks([first, second, soils])
    assert np.array_equal(one.group[:10], other.group)
    assert np.array_equal(one.region, one.group)
    assert laboratory is soils
