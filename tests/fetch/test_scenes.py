"""Scenes on a server, brought here whole and one ahead of the work."""

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from deepsalt.access import Reach
from deepsalt.errors import AwayError, ReadError
from deepsalt.fetch import Fetcher, Patience, ScratchSpace
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.prisma import write_prisma
from deepsalt.types import Acquisition
from tests.range_server import SOUND, Fault, Served, file_server

CENTER = (84.0, 40.87)
DAY = datetime(2024, 4, 18, tzinfo=UTC)
HASTY = Patience(tries=2, budget=4, first_wait_s=0.01, longest_wait_s=0.02, silence_s=60.0)
HERE = Reach(frozenset({"loopback"}))
LIMIT = 10**9


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a server with one scene of each sensor."""
    folder = tmp_path_factory.mktemp("served")
    land, grid = Landscape(1, *CENTER), utm_grid(*CENTER, 40, 40)
    write_enmap(folder, landscape=land, grid=grid, start=DAY, seed=1)
    write_prisma(folder, landscape=land, grid=grid, start=DAY, seed=2)
    return folder


@pytest.fixture(scope="module")
def enmap(root: Path) -> Acquisition:
    return read_acquisition(next(path for path in root.iterdir() if path.is_dir()))


@pytest.fixture(scope="module")
def prisma(root: Path) -> Acquisition:
    return read_acquisition(next(root.glob("*.he5")))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def remote(acquisition: Acquisition, root: Path, server: Served, number: int = 0) -> Acquisition:
    """Return the scene as a catalogue of the server has it; `number` makes others of it."""
    return dataclasses.replace(
        acquisition,
        scene_id=f"{acquisition.scene_id}-{number}",
        assets=tuple(
            dataclasses.replace(
                asset,
                href=f"{server.url}/{Path(asset.href).relative_to(root).as_posix()}"
                f"?scene={number}&signature=open-sesame",
            )
            for asset in acquisition.assets
        ),
    )


def size_of(acquisition: Acquisition) -> int:
    return sum(a.size_bytes or 0 for a in acquisition.assets if a.name != "metadata")


def pixels(acquisition: Acquisition) -> tuple[np.ndarray, np.ndarray]:
    reader = open_reader(acquisition)
    try:
        window = (3, 5, 30, 20)
        return reader.read_window(*window), reader.read_quality(*window)
    finally:
        reader.close()


def asked_for(server: Served, number: int) -> list[str]:
    return [asked for asked in server.asked if f"scene={number}&" in asked]


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait for something that another thread does."""
    for _ in range(400):
        if holds():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(params=["enmap", "prisma"])
def scene(request: pytest.FixtureRequest) -> Acquisition:
    return request.getfixturevalue(request.param)


def test_a_fetched_scene_has_the_pixels_of_the_served_one(
    scene: Acquisition, root: Path, scratch: Path
) -> None:
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=HERE) as fetcher,
        fetcher.local(remote(scene, root, server)) as here,
    ):
        for found, expected in zip(pixels(here), pixels(scene), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert "open-sesame" not in str([a for a in here.assets if a.name != "metadata"])


def test_the_files_are_gone_after_the_work(root: Path, enmap: Acquisition, scratch: Path) -> None:
    with file_server(root) as server, Fetcher(ScratchSpace(scratch, LIMIT), reach=HERE) as fetcher:
        with fetcher.local(remote(enmap, root, server)) as here:
            assert Path(here.asset("image").href).is_relative_to(scratch)
        assert not [path for path in scratch.rglob("*") if path.is_file()]
    assert not list(scratch.iterdir())


def test_a_local_scene_is_handed_on_as_it_is(enmap: Acquisition, scratch: Path) -> None:
    with Fetcher(ScratchSpace(scratch, LIMIT), reach=HERE) as fetcher, fetcher.local(enmap) as here:
        assert here is enmap
    assert not scratch.exists()


def test_without_space_a_scene_stays_on_its_server(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    with file_server(root) as server, Fetcher(ScratchSpace(scratch, 0), reach=HERE) as fetcher:
        there = remote(enmap, root, server)
        with fetcher.local(there) as here:
            assert here == there
    assert all(asked.endswith("bytes=0-0") for asked in server.asked)  # looked at, no more


def test_the_next_scene_comes_while_one_is_worked_on_and_no_further_one(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    with file_server(root) as server, Fetcher(ScratchSpace(scratch, LIMIT), reach=HERE) as fetcher:
        scenes = [remote(enmap, root, server, number) for number in range(3)]
        fetcher.expect(scenes)
        with fetcher.local(scenes[0]):
            complete = size_of(enmap) * 2
            assert eventually(lambda: stored(scratch) == complete)
            before = len(asked_for(server, 1))
        with fetcher.local(scenes[1]) as here:
            pixels(here)
        assert len(asked_for(server, 1)) == before
    assert len(asked_for(server, 0)) == before


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_next_scene_waits_for_room(root: Path, enmap: Acquisition, scratch: Path) -> None:
    limit = int(size_of(enmap) * 1.5)
    with file_server(root) as server, Fetcher(ScratchSpace(scratch, limit), reach=HERE) as fetcher:
        scenes = [remote(enmap, root, server, number) for number in range(2)]
        fetcher.expect(scenes)
        with fetcher.local(scenes[0]):
            sizes = len(enmap.assets) - 1
            assert eventually(lambda: len(asked_for(server, 1)) == sizes)  # only how large it is
            time.sleep(0.3)
            assert len(asked_for(server, 1)) == sizes
            assert stored(scratch) == size_of(enmap)
        with fetcher.local(scenes[1]) as here:
            pixels(here)


def test_a_scene_larger_than_the_space_is_refused(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, 10_000), reach=HERE) as fetcher,
        pytest.raises(ReadError, match="raise --scratch-gb"),
        fetcher.local(remote(enmap, root, server)),
    ):
        pass
    assert not list(scratch.glob("*"))


def test_a_scene_that_is_passed_over_gives_its_room_to_the_next(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    limit = int(size_of(enmap) * 2.5)
    with file_server(root) as server, Fetcher(ScratchSpace(scratch, limit), reach=HERE) as fetcher:
        scenes = [remote(enmap, root, server, number) for number in range(4)]
        fetcher.expect(scenes)
        with fetcher.local(scenes[0]):
            assert eventually(lambda: stored(scratch) == 2 * size_of(enmap))
        with fetcher.local(scenes[2]) as here:
            pixels(here)
            assert eventually(lambda: stored(scratch) == 2 * size_of(enmap))
        assert stored(scratch) == size_of(enmap)


def test_what_stops_the_next_scene_is_said_at_its_turn(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(status=404) if "scene=1&" in path else SOUND

    with (
        file_server(root, faults=faults) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=HERE) as fetcher,
    ):
        scenes = [remote(enmap, root, server, number) for number in range(3)]
        fetcher.expect(scenes)
        with fetcher.local(scenes[0]) as here:
            assert eventually(lambda: bool(asked_for(server, 1)))
            pixels(here)
        with pytest.raises(ReadError, match="gone"), fetcher.local(scenes[1]):
            pass
        with fetcher.local(scenes[2]) as here:
            pixels(here)


def test_a_scene_that_breaks_off_leaves_its_room(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(cut=100) if number >= len(enmap.assets) - 1 else SOUND

    with (
        file_server(root, faults=faults) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), HASTY, reach=HERE) as fetcher,
    ):
        with pytest.raises(AwayError), fetcher.local(remote(enmap, root, server)):
            pass
        assert not stored(scratch)


def test_the_end_gives_up_a_fetch_on_its_way(root: Path, enmap: Acquisition, scratch: Path) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(silent_s=600) if "scene=1&" in path else SOUND

    with file_server(root, faults=faults) as server:
        with Fetcher(ScratchSpace(scratch, LIMIT), HASTY, reach=HERE) as fetcher:
            scenes = [remote(enmap, root, server, number) for number in range(2)]
            fetcher.expect(scenes)
            with fetcher.local(scenes[0]):
                assert eventually(lambda: bool(asked_for(server, 1)))
        # Here long before the server answers.
        assert server.open_now
    assert not list(scratch.iterdir())
