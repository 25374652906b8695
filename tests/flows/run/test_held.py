"""A version unlike those before is held for a person, once, and can be published."""

from pathlib import Path

import pytest
import xarray as xr

from deepsalt.store import Store
from deepsalt.types import QualityFlag
from deepsalt.versions import held, open_repository
from flows.changes import publish_held
from flows.cli.mosaic.build import mosaic_lines
from flows.config import Checks, MosaicConfig
from flows.run.mosaic import build_at
from tests.store.builders import acquisition, add_product, hide, layers, make_store, scene_grid


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a published version of one scene."""
    store = make_store(tmp_path / "store")
    add_product(store, acquisition("a", version="1"), seed=1)
    build_at(str(store), MosaicConfig())
    return store


def hidden() -> xr.Dataset:
    """Layers of a scene all under clouds."""
    ds = layers(scene_grid(), seed=2)
    ds["quality_flags"][:] = QualityFlag.CLOUD
    hide(ds)
    return ds


def test_a_reprocessing_that_hides_everything_is_held_and_said(store: Store) -> None:
    before = open_repository(store.objects).head()
    add_product(store, acquisition("a", version="2"), hidden())
    result = build_at(str(store), MosaicConfig())
    assert result.held
    assert open_repository(store.objects).head() == before
    said = "\n".join(mosaic_lines(result))
    assert "unlike       the versions before: 100% of a tile's estimates are lost" in said
    assert "`deepsalt mosaic publish STORE" in said


def test_builds_until_a_person_looks_leave_one_held_version(store: Store) -> None:
    add_product(store, acquisition("a", version="2"), hidden())
    build_at(str(store), MosaicConfig())
    add_product(store, acquisition("b", grid=scene_grid(column=300)), seed=3)
    last = build_at(str(store), MosaicConfig())
    assert [each.short for each in held(open_repository(store.objects))] == [last.version]


def test_a_held_version_is_published_by_hand_and_the_next_is_not_held(store: Store) -> None:
    add_product(store, acquisition("a", version="2"), hidden())
    result = build_at(str(store), MosaicConfig())
    publish_held(str(store), result.version)
    add_product(store, acquisition("b", grid=scene_grid(column=300)), seed=3)
    assert not build_at(str(store), MosaicConfig()).held


def test_a_version_held_by_request_stays_beside_one_that_is_unlike(store: Store) -> None:
    add_product(store, acquisition("b", grid=scene_grid(column=300)), seed=3)
    asked = build_at(str(store), MosaicConfig(hold=True))
    add_product(store, acquisition("a", version="2"), hidden())
    last = build_at(str(store), MosaicConfig())
    kept = {each.short for each in held(open_repository(store.objects))}
    assert kept == {asked.version, last.version}


def test_without_limits_nothing_is_held(store: Store) -> None:
    add_product(store, acquisition("a", version="2"), hidden())
    checks = Checks(max_lost_pct=100, max_shift=1e9)
    assert not build_at(str(store), MosaicConfig(checks=checks)).held
