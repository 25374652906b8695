"""Stores of every schema that was ever fixed open, are read, and go on."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from deepsalt.check import check_store
from deepsalt.products import open_product
from deepsalt.reading import open_mosaic
from deepsalt.store import Store, quarantined, tombstones
from deepsalt.versions import open_repository
from tests.store.builders import add_small, build, make_store, published

HERE = Path(__file__).parent


@pytest.fixture(params=sorted(HERE.glob("store-*.zip")), ids=lambda path: path.stem)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(tmp_path / "store")
    return Store.open(tmp_path / "store")


def test_the_mosaic_of_an_older_store_holds_what_the_same_scenes_give_today(store: Store) -> None:
    today = make_store()
    for name, column in (("a", 0), ("b", 10), ("c", 90)):
        add_small(today, name, column=column)
    build(today)
    then, now = open_mosaic(store), open_mosaic(today)
    for name, layer in now.data_vars.items():
        np.testing.assert_array_equal(then[name].values, layer.values, err_msg=str(name))


def test_the_versions_of_an_older_store_can_be_told_and_opened(store: Store) -> None:
    second, first = open_repository(store.objects).history()
    assert [version.why for version in (first, second)] == ["first", "second"]
    older = open_mosaic(store, version=first.id)
    assert older.sizes["x"] < open_mosaic(store).sizes["x"]


def test_the_records_of_an_older_store_are_understood(store: Store) -> None:
    assert quarantined(store) == {"test/d/1": "its pixels cannot be read"}
    (record,) = tombstones(store).values()
    assert (record.reason, record.lifted is None) == ("clouds seen as salt", False)


def test_the_products_of_an_older_store_open(store: Store) -> None:
    for name in published(store):
        assert np.isfinite(open_product(store, name).salinity.values).any()


def test_an_older_store_takes_a_new_scene_and_stays_sound(store: Store) -> None:
    add_small(store, "d", column=60)
    assert build(store).composed > 0
    assert len(published(store)) == 4
    assert not [each for each in check_store(store) if each.severity == "error"]
