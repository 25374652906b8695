"""A process that is killed (SIGKILL) leaves the old version or the new one, never a broken one."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from deepsalt.objects import Objects
from deepsalt.versions import open_mosaic, open_repository, prune
from deepsalt.versions.storage import PREFIX
from tests.versions.processes import victims
from tests.versions.processes.apart import CONTEXT, start
from tests.versions.world import (
    age,
    build_of,
    check,
    copy,
    expected,
    names_of,
    new,
    period_tile_of,
    pixels_of,
    product,
    put,
    sums,
)

TILES = 4
PERIOD_TILES = [period_tile_of(product(x, 0)) for x in range(TILES)]
STAGES = {"chunk": 9, "tile": 3, "merge": 2, "commit": 1}
"""For the how manieth time the process comes there; a tile has five chunks a shard."""

slow = pytest.mark.slow


def struck(
    work: Callable[..., None], where: str | Path, stage: str, nth: int, after_s: float | None
) -> float | None:
    """Run a victim; how long the stage took, None if it did not see its end."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = start(work, theirs, str(where), stage, nth, after_s)
    theirs.close()
    process.join(2 * victims.LONG_S)
    assert process.exitcode == (0 if after_s is None else -signal.SIGKILL), "see its traceback"
    try:
        return float(ours.recv())
    except EOFError:
        return None


def moments(took: float, hits: int) -> Iterator[float]:
    """Moments of a stage at which to kill, from its very beginning to well before its end.

    In mixed order, and more than are needed, since no two runs take as long.
    """
    for number in range(4 * hits):
        yield 0.8 * took * (number * 7 % 10) / 10


def test_a_build_that_is_killed_while_it_commits_leaves_the_old_version_or_the_new(
    tmp_path: Path,
) -> None:
    kill_builds(str(tmp_path), "commit", hits=1)


@slow
@pytest.mark.parametrize("stage", STAGES)
def test_however_often_builds_are_killed_they_leave_the_old_version_or_the_new(
    tmp_path: Path, stage: str
) -> None:
    kill_builds(str(tmp_path / "store"), stage, hits=10)


@slow
@pytest.mark.parametrize("stage", ["chunk", "commit"])
def test_in_a_bucket_builds_that_are_killed_leave_the_old_version_or_the_new(
    bucket: str, stage: str
) -> None:
    kill_builds(bucket, stage, hits=10)


def kill_builds(where: str, stage: str, hits: int) -> None:
    """Kill builds in a stage, look at what is left, and build again."""
    mosaic = new(where)
    put(mosaic, *(product(x, 1 + x, shard=x) for x in range(TILES)))
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, *(product(x, 10 + x, shard=3 - x) for x in range(TILES)))
    took = struck(victims.build, where, stage, STAGES[stage], None)
    assert took is not None
    outcomes: list[str] = []
    for number, after_s in enumerate(moments(took, hits)):
        put(mosaic, *(product(x, 100 + number) for x in range(TILES)))
        before, names = mosaic.head(), names_of(mosaic)
        old = sums(open_mosaic(mosaic, chunks=None), names)
        late = struck(victims.build, where, stage, STAGES[stage], after_s)
        # As somebody who comes anew.
        mosaic = open_repository(Objects.of(where))
        is_old = mosaic.head() == before
        outcomes.append("late" if late is not None else "old" if is_old else "new")
        assert sums(open_mosaic(mosaic, chunks=None), names) == (
            old if is_old else expected(names, names)
        )
        # Nobody has to clear anything away, and the next build ends as one that was not disturbed.
        build_of(mosaic)(PERIOD_TILES)
        check(mosaic, names)
        if len(outcomes) - outcomes.count("late") == hits:
            break
    clean = new()
    put(clean, *names_of(mosaic))
    build_of(clean)(PERIOD_TILES)
    found = pixels_of(mosaic)
    for name, values in pixels_of(clean).items():
        np.testing.assert_array_equal(found[name], values)
    counts = {outcome: outcomes.count(outcome) for outcome in ("old", "new", "late")}
    print(f"killed at {stage}, which takes {took * 1000:.1f} ms: {counts}")
    assert counts["old"] + counts["new"] == hits


@pytest.mark.parametrize("hits", [1, pytest.param(10, marks=slow)])
def test_a_killed_collection_leaves_every_kept_version_readable(tmp_path: Path, hits: int) -> None:
    source = tmp_path / "source"
    mosaic = new(source)
    for number in range(6):
        put(mosaic, *(product(x, 10 + number, shard=number % 4) for x in range(TILES)))
        build_of(mosaic)(PERIOD_TILES)
    names = names_of(mosaic)
    head = mosaic.head()
    assert head is not None
    age(source / PREFIX, hours=30 * 24)
    took = struck(victims.collect, copy(source, tmp_path / "spared"), "collection", 1, None)
    assert took is not None
    hit = 0
    for number, after_s in enumerate(moments(took, hits)):
        folder = copy(source, tmp_path / f"copy{number}")
        hit += struck(victims.collect, folder, "collection", 1, after_s) is None
        pruned = open_repository(Objects.of(folder))
        check(pruned, names)
        # And the next one finishes it.
        prune(pruned, keep=1)
        check(pruned, names)
        assert [version.id for version in pruned.history()] == [head.id]
        assert files_of(folder) == files_of(tmp_path / "spared")
        if hit == hits:
            break
    print(f"killed {hit} times in a collection of {took * 1000:.1f} ms")
    assert hit == hits


def files_of(store: Path) -> set[str]:
    """Chunks and manifests that are there."""
    folder = store / PREFIX
    return {
        str(path.relative_to(folder))
        for kind in ("chunks", "manifests")
        for path in (folder / kind).rglob("*")
        if path.is_file()
    }
