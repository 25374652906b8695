"""An export that is killed anywhere says of no version, and the next one ends as if nothing was."""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, local
from typing import Any

import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import OvertakenError, StoreError, StoreMissingError
from deepsalt.export import Exported, export_mosaic, fill, open_export
from deepsalt.export.layout import Layout
from deepsalt.export.record import GaveWay, Writer, read_state
from deepsalt.export.tiles import Content
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.versions import open_mosaic, prune, roll_back
from tests.campaign import examples
from tests.export.victims import SHARDS, STAGES, killed
from tests.export.world import (
    YEARS,
    World,
    in_memory,
    objects_in,
    shards_in,
    tile,
    version_in,
)

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path, Path]:
    """A store, and an export of a version before: a tile changed, one was withdrawn, one is new."""
    folder = tmp_path_factory.mktemp("stored")
    world = World.at(folder / "store")
    world.publish(*((YEARS[0], tile(x), ["a"]) for x in range(3)))
    export_mosaic(world.mosaic, folder / "before")
    world.publish((YEARS[0], tile(0), ["b"]), (YEARS[0], tile(1), []), (YEARS[1], tile(3), ["c"]))
    return world, folder / "store", folder / "before"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_an_export_killed_in_a_folder_is_finished_by_the_next(
    stored: tuple[World, Path, Path], stage: str, is_first: bool, tmp_path: Path
) -> None:
    hits = kill(stored, tmp_path, stage, is_first, [1 if stage == "removal" else 2])
    assert hits == (0 if is_first and stage == "removal" else 1)


@slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_however_often_exports_are_killed_in_a_folder_the_next_finishes(
    stored: tuple[World, Path, Path], stage: str, is_first: bool, tmp_path: Path
) -> None:
    hits = kill(stored, tmp_path, stage, is_first, range(1, 25))
    print(f"killed {hits} times at {stage}")
    assert hits >= (0 if is_first and stage == "removal" else 2)


def kill(
    stored: tuple[World, Path, Path], folder: Path, stage: str, is_first: bool, moments: object
) -> int:
    """Kill exports at moments of a stage, and look at what the next makes of what is left."""
    world, store, before = stored
    head = world.mosaic.head()
    assert head is not None
    fresh, hits = in_memory(".zarr"), 0
    export_mosaic(world.mosaic, fresh)
    for nth in moments:  # type: ignore[attr-defined]
        target = folder / f"{stage}{nth}"
        if not is_first:
            shutil.copytree(before, target)
        group = Objects.of(target)
        old = {} if is_first else objects_in(group)
        if not killed(store, target, stage, nth):
            break
        hits += 1
        found = objects_in(group)
        if "zarr.json" in found and (said := version_in(group)):
            # Nothing has changed yet, or everything has.
            assert found == (objects_in(fresh) if said == head.short else old)
        export_mosaic(world.mosaic, target)
        assert objects_in(group) == objects_in(fresh)
    return hits


class Killed(BaseException):
    """What stands for the end of a process."""


class Mortal:
    """Ends exports when they have changed so many objects."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for verb in ("write", "create", "delete", "copy"):
            self._watch(patch, verb)

    def _watch(self, patch: pytest.MonkeyPatch, verb: str) -> None:
        original = getattr(Objects, verb)

        def changed(objects: Objects, *args: object) -> object:
            if self.left == 0:
                raise Killed
            self.left -= 1
            return original(objects, *args)

        patch.setattr(Objects, verb, changed)


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Mortal:
    return Mortal(monkeypatch)


def test_a_first_export_that_was_interrupted_keeps_what_was_sent(mortal: Mortal) -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish(*((YEARS[0], tile(x), ["a"]) for x in range(6)))
    whole = export_mosaic(world.mosaic, in_memory(".zarr"))
    mortal.left = whole.objects // 2
    with pytest.raises(Killed):
        export_mosaic(world.mosaic, target)
    mortal.left = -1
    export = export_mosaic(world.mosaic, target)
    assert not export.is_full
    assert export.objects < whole.objects


def test_an_export_that_was_interrupted_is_not_opened(mortal: Mortal) -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish((YEARS[0], tile(0), ["a"]))
    export_mosaic(world.mosaic, target)
    world.publish((YEARS[0], tile(0), ["b"]))
    mortal.left = 3
    with pytest.raises(Killed):
        export_mosaic(world.mosaic, target)
    with pytest.raises(StoreError, match=r"is between two versions, .* export again"):
        open_export(target)


def test_a_series_shows_the_version_before_until_the_next_is_whole(mortal: Mortal) -> None:
    world, target = World.at(), in_memory()
    first = world.publish((YEARS[0], tile(0), ["a"]))
    export_mosaic(world.mosaic, target)
    world.publish((YEARS[0], tile(0), ["b"]))
    for left in range(0, 60, 7):
        mortal.left = left
        try:
            export_mosaic(world.mosaic, target)
        except Killed:
            assert open_export(target).attrs["version_id"] == first.short
        else:
            break
    mortal.left = -1
    export_mosaic(world.mosaic, target)
    xr.testing.assert_identical(open_export(target).load(), open_mosaic(world.mosaic).load())


@pytest.mark.parametrize("left", [0, 2, 5, 12, 30])
def test_after_a_killed_export_and_a_roll_back_the_version_before_is_whole(
    left: int, mortal: Mortal
) -> None:
    world, target = World.at(), in_memory(".zarr")
    world.publish((YEARS[0], tile(0), ["a"]), (YEARS[0], tile(1), ["a"]))
    export_mosaic(world.mosaic, target)
    before = objects_in(target)
    world.publish((YEARS[0], tile(0), ["b"]))
    mortal.left = left
    with pytest.raises(Killed):
        export_mosaic(world.mosaic, target)
    mortal.left = -1
    roll_back(world.mosaic)
    export_mosaic(world.mosaic, target)
    assert objects_in(target) == before


steps = st.one_of(
    st.tuples(
        st.just("publish"),
        st.lists(
            st.tuples(
                st.sampled_from(YEARS),
                st.sampled_from([tile(0), tile(1), tile(15, 1), tile(16), tile(-1)]),
                st.sets(st.sampled_from("ab")),
            ),
            min_size=1,
            max_size=3,
        ),
    ),
    st.tuples(st.just("roll back"), st.none()),
    st.tuples(st.just("prune"), st.none()),
    st.tuples(st.just("export"), st.booleans()),
    st.tuples(st.just("killed"), st.integers(0, 60)),
)


def follow(world: World, target: Objects, mortal: Mortal, plan: list[tuple]) -> None:
    """Do what a plan says; at its end the export is what a first one would be."""
    for what, how in plan:
        if what == "publish":
            world.publish(*how)
        elif what == "prune":
            prune(world.mosaic, keep=1)
        elif what == "roll back" and len([*world.mosaic.history()]) > 1:
            roll_back(world.mosaic)
        elif what in ("export", "killed"):
            mortal.left = -1 if what == "export" else how
            with suppress(Killed, StoreMissingError):  # an empty version is not exported
                export_mosaic(world.mosaic, target, sharded=how is not False)
            mortal.left = -1
    world.publish((YEARS[1], tile(0), ["z"]))
    export = export_mosaic(world.mosaic, target)
    found, fresh = Objects.of(export.group), in_memory(".zarr")
    export_mosaic(world.mosaic, fresh)
    assert shards_in(found) == shards_in(fresh)
    (_, state), (_, wanted) = read_state(found), read_state(fresh)
    assert state is not None
    assert wanted is not None
    if state.layout == wanted.layout:
        assert objects_in(found) == objects_in(fresh)
    assert open_export(found).drop_vars(LAYERS).identical(open_export(fresh).drop_vars(LAYERS))


LAYERS = [layer.name for layer in MOSAIC_LAYERS]


@pytest.mark.parametrize("suffix", [".zarr", ""], ids=["fixed path", "series"])
@pytest.mark.parametrize(
    "number", [10, pytest.param(examples(40, 300), marks=slow)], ids=["few", "many"]
)
def test_whatever_happened_before_an_export_ends_as_a_first_one_would(
    suffix: str, number: int
) -> None:
    @settings(max_examples=number, derandomize=number < 50)
    @given(st.lists(steps, min_size=2, max_size=8))
    def check(plan: list[tuple]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            world, mortal = World.at(), Mortal(patch)
            world.publish((YEARS[1], tile(0), ["a"]))
            follow(world, in_memory(suffix), mortal, plan)

    check()


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (".zarr", "another export into .* ran at the same time, so this one was not"),
        ("", "another export to .* finished meanwhile and is kept"),
    ],
    ids=["fixed path", "series"],
)
def test_an_export_that_another_one_overtook_says_so(
    suffix: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, target = World.at(), in_memory(suffix)
    first = world.publish((YEARS[0], tile(0), ["a"]))
    second = world.publish((YEARS[0], tile(0), ["b"]))
    write, has_rival = Objects.write, False

    def overtaken(objects: Objects, key: str, data: bytes) -> None:
        """Let another one export the other version right before a shard is written."""
        nonlocal has_rival
        if not has_rival and key.startswith(SHARDS):
            has_rival = True
            export_mosaic(world.mosaic, target, version=second.id)
        write(objects, key, data)

    monkeypatch.setattr(Objects, "write", overtaken)
    with pytest.raises(OvertakenError, match=message):
        export_mosaic(world.mosaic, target, version=first.id)
    # What the record says is still true of what is there.
    for version in (second, first):
        export_mosaic(world.mosaic, target, version=version.id)
        xr.testing.assert_identical(
            open_export(target).load(), open_mosaic(world.mosaic, version=version.id).load()
        )


def test_of_two_exports_at_once_the_one_that_began_last_finishes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, target = World.at(), in_memory(".zarr")
    first = world.publish((YEARS[0], tile(0), ["a"]))
    second = world.publish((YEARS[0], tile(0), ["b"]), (YEARS[0], tile(1), ["b"]))
    export_mosaic(world.mosaic, target, version=second.id)
    write, asked, began, ended = Objects.write, Event(), Event(), Event()
    rivals = list[Future[Exported]]()

    def overlapping(objects: Objects, key: str, data: bytes) -> None:
        """Let the other one begin before the first shard, and wait for the end of this one."""
        if key.startswith(SHARDS):
            if not asked.is_set():
                asked.set()
                rivals.append(pool.submit(export_mosaic, world.mosaic, target, version=second.id))
                assert began.wait(20)
            elif not began.is_set():
                began.set()
                assert ended.wait(20)
        write(objects, key, data)

    monkeypatch.setattr(Objects, "write", overlapping)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(OvertakenError):
            export_mosaic(world.mosaic, target, version=first.id)
        ended.set()
        assert rivals[0].result().version == second.short
    xr.testing.assert_identical(
        open_export(target).load(), open_mosaic(world.mosaic, version=second.id).load()
    )


def test_an_export_that_finished_while_another_still_wrote_names_no_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, target = World.at(), in_memory(".zarr")
    first = world.publish((YEARS[0], tile(0), ["a"]))
    second = world.publish((YEARS[0], tile(0), ["b"]))
    write, give_way = Objects.write, Writer.give_way
    asked, written, giving = Event(), Event(), Event()
    rivals = list[Future[Exported]]()

    def overlapping(objects: Objects, key: str, data: bytes) -> None:
        """Write the first shard only when the other one has passed its last check."""
        if key.startswith(SHARDS) and not asked.is_set():
            asked.set()
            rivals.append(pool.submit(export_mosaic, world.mosaic, target, version=second.id))
            assert written.wait(20)
        elif key == "zarr.json" and second.short.encode() in data:
            written.set()
            assert giving.wait(20)
        write(objects, key, data)

    def after_the_other(self: Writer, layout: Layout, pieces: list, *, is_full: bool) -> bool:
        giving.set()
        rivals[0].result()
        return give_way(self, layout, pieces, is_full=is_full)

    monkeypatch.setattr(Objects, "write", overlapping)
    monkeypatch.setattr(Writer, "give_way", after_the_other)
    with ThreadPoolExecutor(1) as pool, pytest.raises(OvertakenError):
        export_mosaic(world.mosaic, target, version=first.id)
    monkeypatch.undo()
    assert version_in(target) == ""
    export_mosaic(world.mosaic, target, version=second.id)
    xr.testing.assert_identical(
        open_export(target).load(), open_mosaic(world.mosaic, version=second.id).load()
    )


def test_an_export_that_begins_while_another_begins_again_is_the_one_that_finishes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, target = World.at(), in_memory(".zarr")
    one, two, three = (world.publish((YEARS[0], tile(0), [name])) for name in "abc")
    write, once = Objects.write, fill.bring_once
    asked, began, ended, third_began, second_ended = (Event() for _ in range(5))
    rivals = list[Future[Exported]]()
    is_third = local()

    def export_third() -> Exported:
        is_third.yes = True
        return export_mosaic(world.mosaic, target, version=three.id)

    def overlapping(objects: Objects, key: str, data: bytes) -> None:
        if key.startswith(SHARDS):
            if not asked.is_set():
                asked.set()
                rivals.append(pool.submit(export_mosaic, world.mosaic, target, version=two.id))
                assert began.wait(20)
            elif not began.is_set():
                began.set()
                assert ended.wait(20)
            elif len(rivals) == 2 and not third_began.is_set():
                third_began.set()
                assert second_ended.wait(20)
        write(objects, key, data)

    def restarting(place: Objects, content: Content, **options: Any) -> fill.FillReport:
        """Let a third one begin between the second one's rounds."""
        try:
            return once(place, content, **options)
        except GaveWay:
            if not hasattr(is_third, "yes"):
                rivals.append(pool.submit(export_third))
                assert third_began.wait(20)
            raise

    monkeypatch.setattr(Objects, "write", overlapping)
    monkeypatch.setattr(fill, "bring_once", restarting)
    with ThreadPoolExecutor(3) as pool:
        with pytest.raises(OvertakenError):
            export_mosaic(world.mosaic, target, version=one.id)
        ended.set()
        with pytest.raises(OvertakenError):
            rivals[0].result(20)
        second_ended.set()
        assert rivals[1].result(20).version == three.short
    xr.testing.assert_identical(
        open_export(target).load(), open_mosaic(world.mosaic, version=three.id).load()
    )
