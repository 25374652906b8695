"""How a mosaic's repository is made and found."""

import json
from pathlib import Path

import icechunk
import pytest
import zarr

from deepsalt.errors import StoreAwayError, StoreError, StoreMismatchError, StoreMissingError
from deepsalt.grid import Frame, MosaicGrid
from deepsalt.objects import Objects
from deepsalt.versions import create_mosaic, open_repository
from deepsalt.versions.repository import repository_config
from deepsalt.versions.storage import PREFIX, open_storage
from tests.versions.world import GRID, build_of, new, period_tile_of, product, put, somewhere

A = product(0, 3)


def test_a_mosaic_is_made_once(place: str) -> None:
    first = new(place)
    assert new(place) == first == open_repository(Objects.of(place))
    assert len(list(first.repository.ancestry(branch="main"))) == 2


def test_another_grid_is_refused() -> None:
    objects = new().objects
    with pytest.raises(StoreMismatchError, match="another store"):
        create_mosaic(objects, Frame.of(MosaicGrid(GRID.crs, 500.0, GRID.anchor, 8, 32, 2)))


def test_a_place_without_a_mosaic_is_said(place: str) -> None:
    with pytest.raises(StoreMissingError, match="has no mosaic"):
        open_repository(Objects.of(place))


def test_a_mosaic_whose_making_was_cut_short_is_made_whole(place: str) -> None:
    icechunk.Repository.create(
        open_storage(Objects.of(place)), config=repository_config(Frame.of(GRID))
    )
    with pytest.raises(StoreMissingError):
        open_repository(Objects.of(place))
    assert new(place).head() is None


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_repository_whose_creation_was_cut_short_is_finished(
    left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[str] = []
    create = Objects.create

    def until_killed(objects: Objects, key: str, data: bytes) -> bool:
        if len(created) == left:
            raise KeyboardInterrupt
        created.append(key)
        return create(objects, key, data)

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "create", until_killed)
        with pytest.raises(KeyboardInterrupt):
            create_mosaic(Objects.of(tmp_path), Frame.of(GRID))
    assert len(created) == left
    assert new(tmp_path).head() is None


def test_a_repository_of_somebody_else_is_refused() -> None:
    objects = Objects.of(somewhere())
    other = icechunk.Repository.create(open_storage(objects))
    session = other.writable_session("main")
    zarr.create_group(session.store)
    session.commit("other")
    with pytest.raises(StoreError, match="does not hold a mosaic of deepsalt"):
        open_repository(objects)


def test_the_repository_lies_below_a_prefix_of_its_own(tmp_path: Path) -> None:
    mosaic = new(tmp_path)
    put(mosaic, A)
    build_of(mosaic)([period_tile_of(A)])
    assert mosaic.objects.folders() == (PREFIX, "records")


def test_a_server_that_is_away_is_a_sentence_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    with pytest.raises(StoreAwayError, match="s3://salt") as caught:
        open_repository(Objects.of("s3://salt/x"))
    assert "very-secret" not in str(caught.value)


def test_metadata_of_a_version_are_plain_values() -> None:
    mosaic = new()
    put(mosaic, A)
    build_of(mosaic)([period_tile_of(A)])
    (found, *_) = mosaic.repository.ancestry(branch="main")
    assert json.loads(json.dumps(found.metadata)) == found.metadata
