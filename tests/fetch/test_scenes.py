"""Scenes on a server, brought here whole and kept until they are asked for."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import numpy as np
import pytest

from deepsalt.access import Reach
from deepsalt.effort import Meter
from deepsalt.errors import AwayError, ReadError
from deepsalt.fetch import Fetcher, Patience, ScratchSpace, hosts_of
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.prisma import write_prisma
from deepsalt.types import Acquisition, Asset
from tests.servers.ranges import SOUND, Fault, Served, file_server
from tests.waiting import wait_until

CENTER = (84.0, 40.87)
DAY = datetime(2024, 4, 18, tzinfo=UTC)
HASTY = Patience(tries=2, budget=4, first_wait_s=0.01, longest_wait_s=0.02, silence_s=60.0)
LOOPBACK = Reach(frozenset({"loopback"}))
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


@pytest.fixture(params=["enmap", "prisma"])
def scene(request: pytest.FixtureRequest) -> Acquisition:
    return request.getfixturevalue(request.param)


def test_a_fetched_scene_has_the_pixels_of_the_served_one(
    scene: Acquisition, root: Path, scratch: Path
) -> None:
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher,
        fetcher.local(remote(scene, root, server)) as local,
    ):
        for found, expected in zip(pixels(local), pixels(scene), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert "open-sesame" not in str([a for a in local.assets if a.name != "metadata"])


def test_the_files_are_gone_after_the_work(root: Path, enmap: Acquisition, scratch: Path) -> None:
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher,
    ):
        with fetcher.local(remote(enmap, root, server)) as local:
            assert Path(local.asset("image").href).is_relative_to(scratch)
        assert not [path for path in scratch.rglob("*") if path.is_file()]
    assert not list(scratch.iterdir())


def test_a_local_scene_is_handed_on_as_it_is(enmap: Acquisition, scratch: Path) -> None:
    with (
        Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher,
        fetcher.local(enmap) as local,
    ):
        assert local is enmap
    assert not scratch.exists()


def test_without_space_a_scene_is_refused_and_its_server_not_asked(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, 0), reach=LOOPBACK) as fetcher,
        pytest.raises(ReadError, match="is a remote file"),
    ):
        fetcher.bring(remote(enmap, root, server))
    assert not server.asked


def test_what_was_brought_is_not_fetched_again(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher,
    ):
        remote_scene = remote(enmap, root, server)
        assert fetcher.bring(remote_scene) == size_of(enmap) == stored(scratch)
        before = len(server.asked)
        assert fetcher.bring(remote_scene) == 0
        with fetcher.local(remote_scene) as local:
            pixels(local)
        assert len(server.asked) == before
        assert not stored(scratch)


def test_a_local_scene_need_not_be_brought(enmap: Acquisition, scratch: Path) -> None:
    with Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher:
        assert fetcher.bring(enmap) == 0
        assert hosts_of(enmap) == ()
    assert not scratch.exists()


def test_scenes_of_several_threads_come_side_by_side(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    together = Barrier(2, timeout=20)

    def faults(number: int, path: str) -> Fault:
        if enmap.asset("image").href.endswith(path.split("?")[0]):
            with suppress(BrokenBarrierError):  # later ranges find it broken
                together.wait()
        return SOUND

    with (
        file_server(root, faults=faults) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher,
        ThreadPoolExecutor(2) as threads,
    ):
        scenes = [remote(enmap, root, server, number) for number in range(2)]
        assert list(threads.map(fetcher.bring, scenes)) == [size_of(enmap)] * 2
        assert not together.broken


def test_what_is_dropped_leaves_its_room(root: Path, enmap: Acquisition, scratch: Path) -> None:
    limit = int(size_of(enmap) * 1.5)
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, limit), reach=LOOPBACK) as fetcher,
    ):
        scenes = [remote(enmap, root, server, number) for number in range(2)]
        fetcher.bring(scenes[0])
        fetcher.drop(scenes[0])
        fetcher.drop(scenes[1])  # nothing is kept of it
        assert not stored(scratch)
        assert fetcher.bring(scenes[1]) == size_of(enmap)


def test_a_fetch_that_failed_is_tried_again(root: Path, enmap: Acquisition, scratch: Path) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(status=404) if number == 0 else SOUND

    with (
        file_server(root, faults=faults) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher,
    ):
        remote_scene = remote(enmap, root, server)
        with pytest.raises(ReadError, match="gone"):
            fetcher.bring(remote_scene)
        assert fetcher.bring(remote_scene) == size_of(enmap)


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_next_scene_waits_for_room(root: Path, enmap: Acquisition, scratch: Path) -> None:
    limit = int(size_of(enmap) * 1.5)
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, limit), reach=LOOPBACK) as fetcher,
        ThreadPoolExecutor(1) as threads,
    ):
        scenes = [remote(enmap, root, server, number) for number in range(2)]
        fetcher.bring(scenes[0])
        waiting = threads.submit(fetcher.bring, scenes[1])
        with fetcher.local(scenes[0]):
            sizes = len(enmap.assets) - 1
            wait_until(lambda: len(asked_for(server, 1)) == sizes, "nobody asks how large it is")
            time.sleep(0.3)  # nothing more is to come, for which there is no event
            assert len(asked_for(server, 1)) == sizes
            assert stored(scratch) == size_of(enmap)
        assert waiting.result() == size_of(enmap)


def test_a_scene_larger_than_the_space_is_refused(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    with (
        file_server(root) as server,
        Fetcher(ScratchSpace(scratch, 10_000), reach=LOOPBACK) as fetcher,
        pytest.raises(ReadError, match="raise --scratch-gb"),
        fetcher.local(remote(enmap, root, server)),
    ):
        pass
    assert not list(scratch.glob("*"))


def test_a_scene_that_breaks_off_leaves_its_room(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(cut=100) if number >= len(enmap.assets) - 1 else SOUND

    with (
        file_server(root, faults=faults) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), HASTY, reach=LOOPBACK) as fetcher,
    ):
        with pytest.raises(AwayError), fetcher.local(remote(enmap, root, server)):
            pass
        assert not stored(scratch)


def test_the_end_gives_up_a_fetch_on_its_way_and_says_so(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    with file_server(root, faults=lambda number, path: Fault(silent_s=600)) as server:
        with (
            ThreadPoolExecutor(2) as threads,
            Fetcher(ScratchSpace(scratch, LIMIT), HASTY, reach=LOOPBACK) as fetcher,
        ):
            remote_scene = remote(enmap, root, server)
            waiting = [threads.submit(fetcher.bring, remote_scene) for _ in range(2)]
            wait_until(lambda: server.asked, "nothing is asked")
            fetcher.close()
            for each in waiting:
                with pytest.raises(ReadError, match="was abandoned"):
                    each.result()
            with pytest.raises(ReadError, match="was abandoned"):
                fetcher.bring(remote_scene)
        # Here long before the server answers.
        assert server.open_now
    assert not scratch.exists() or not list(scratch.iterdir())


def test_a_scenes_hosts_are_those_of_the_files_that_are_fetched(enmap: Acquisition) -> None:
    hrefs = {
        "image": "HTTPS://user:key@Files.Example.org:443/a.tif?token=x",
        "metadata": "https://metadata.example.org/m.xml",
        "quality_classes": "http://files.example.org:8080/q.tif",
        "quality_cloud": "s3://Bucket/cloud.tif",
    }
    remote_scene = dataclasses.replace(enmap, assets=tuple(Asset(*each) for each in hrefs.items()))
    assert hosts_of(remote_scene) == ("files.example.org", "files.example.org:8080", "s3://bucket")


def test_bytes_and_retries_of_a_scene_are_counted(
    root: Path, enmap: Acquisition, scratch: Path
) -> None:
    """Whether it was brought before or not; an answer that broke off counts as far as it came."""
    broken = {1, 4}

    def faults(number: int, _: str) -> Fault:
        return Fault(status=503) if number in broken else SOUND

    for ahead in (False, True):
        with (
            file_server(root, faults=faults) as server,
            Fetcher(ScratchSpace(scratch, LIMIT), HASTY, reach=LOOPBACK) as fetcher,
        ):
            scene, meter = remote(enmap, root, server), Meter()
            if ahead:
                fetcher.bring(scene)
            with fetcher.local(scene, meter):
                pass
        assert meter.work.fetched_bytes == size_of(enmap)
        assert meter.work.retries == len(broken)
        assert meter.work.fetch_s > 0


def test_of_a_tiled_file_only_what_holds_some_pixels_is_fetched(
    large: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepsalt.fetch.objects.LEAST_BYTES", 100_000)
    scene = read_acquisition(next(path for path in large.iterdir() if path.is_dir()))
    rows, columns = np.array([3, 4]), np.array([5, 6])
    meter = Meter()
    with (
        file_server(large) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher,
        fetcher.local(remote(scene, large, server), meter, (rows, columns)) as local,
    ):
        found, expected = (open_reader(each) for each in (local, scene))
        window = (3, 5, 2, 2)
        assert np.array_equal(found.read_window(*window), expected.read_window(*window))
        assert np.array_equal(found.read_quality(*window), expected.read_quality(*window))
        found.close()
        expected.close()
    assert meter.work.fetched_bytes < 0.6 * size_of(scene)


def test_a_server_without_ranges_sends_the_whole_file(
    large: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepsalt.fetch.objects.LEAST_BYTES", 100_000)
    scene = read_acquisition(next(path for path in large.iterdir() if path.is_dir()))
    meter = Meter()
    with (
        file_server(large, faults=lambda *_: Fault(whole=True)) as server,
        Fetcher(ScratchSpace(scratch, LIMIT), reach=LOOPBACK) as fetcher,
        fetcher.local(remote(scene, large, server), meter, (np.array([3]), np.array([5]))),
    ):
        pass
    assert meter.work.fetched_bytes == size_of(scene)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a server with a scene of four file blocks."""
    folder = tmp_path_factory.mktemp("large")
    grid = utm_grid(*CENTER, 400, 400)
    write_enmap(folder, landscape=Landscape(1, *CENTER), grid=grid, start=DAY, seed=1)
    return folder
