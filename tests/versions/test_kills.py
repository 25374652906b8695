"""A process that is killed (SIGKILL) leaves the old version or the new one, never a broken one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.versions import Mosaic, open_mosaic, open_repository, prune
from tests.versions.world import (
    FolderRecords,
    age,
    build_of,
    check,
    copy,
    expected,
    names_of,
    new,
    place_of,
    product,
    put,
    sums,
)

OLD = [product(x, 1 + x, shard=x) for x in range(4)]
ADDED = [product(x, 10 + x, shard=3 - x) for x in range(4)]
PLACES = [place_of(name) for name in OLD]

BUILD = """
import sys, time
import icechunk
from tests.versions.world import *
from deepsalt.versions import open_repository
stage, place, folder = sys.argv[1:]
records = FolderRecords(Path(folder))
mosaic = open_repository(place)
def said(what):
    print(what, flush=True)
def run(work, items):
    done = []
    for item in items:
        done.append(work(item))
        if len(done) == 2:
            said("writing")
    said("merge")
    if stage == "merge":
        time.sleep(60)
    return done
commit = icechunk.Session.commit
def committing(session, *args, **options):
    said("commit")
    id = commit(session, *args, **options)
    said("committed")
    return id
icechunk.Session.commit = committing
build_of(mosaic, records, run=run)([place_of(name) for name in names_of(records)])
"""

PRUNE = """
import sys
from datetime import UTC, datetime, timedelta
from tests.versions.world import *
from deepsalt.versions import open_repository, prune
stage, place, folder = sys.argv[1:]
mosaic = open_repository(place)
print("prune", flush=True)
prune(mosaic, FolderRecords(Path(folder)), keep=1)
"""


def kill_at(script: str, stage: str, after_s: float, place: str, folder: Path) -> None:
    """Run a script and kill it some time after it said that it reached a stage."""
    command = [sys.executable, "-c", script, stage, place, str(folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        said = iter(process.stdout.readline, "")
        assert any(line.strip() == stage for line in said), f"it never came to {stage}"
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGKILL)


def pixels(mosaic: Mosaic) -> dict[str, np.ndarray]:
    ds = open_mosaic(mosaic, chunks=None)
    return {layer.name: ds[layer.name].values for layer in MOSAIC_LAYERS}


@pytest.fixture
def world(shared_place: str, tmp_path: Path) -> tuple[str, FolderRecords]:
    records = FolderRecords(tmp_path / "records")
    put(records, *OLD)
    build_of(new(shared_place), records)(PLACES)
    put(records, *ADDED)
    return shared_place, records


@pytest.mark.parametrize(
    ("stage", "delays"),
    [
        ("writing", (0.0, 0.01)),
        ("merge", (0.0,)),
        ("commit", (0.0, 0.005, 0.02)),
        pytest.param("commit", tuple(0.002 * n for n in range(25)), marks=pytest.mark.slow),
    ],
    ids=["writing", "merge", "commit", "commit-many"],
)
def test_a_killed_build_leaves_the_old_version_or_the_new(
    world: tuple[str, FolderRecords], tmp_path: Path, stage: str, delays: tuple[float, ...]
) -> None:
    place, records = world
    outcomes = []
    for number, delay in enumerate(delays):
        before = open_repository(place).head()
        names = names_of(records)
        old = sums(open_mosaic(place, chunks=None), names)
        kill_at(BUILD, stage, delay, place, records.folder)
        mosaic = open_repository(place)
        found = sums(open_mosaic(mosaic, chunks=None), names)
        outcomes.append("old" if mosaic.head() == before else "new")
        assert found == (old if mosaic.head() == before else expected(names, names))
        # Nobody has to clear anything away, and the next build ends as one that was not disturbed.
        build_of(mosaic, records)(PLACES)
        check(mosaic, names)
        put(records, *(product(x, 100 + number) for x in range(4)))
    names = names_of(records)
    build_of(mosaic, records)(PLACES)
    clean = new(tmp_path / "clean")
    build_of(clean, records)(PLACES)
    for name, values in pixels(clean).items():
        np.testing.assert_array_equal(pixels(mosaic)[name], values)
    print(f"killed at {stage}: {outcomes.count('old')} old, {outcomes.count('new')} new")


@pytest.mark.parametrize(
    "delays",
    [(0.0, 0.01), pytest.param(tuple(0.002 * n for n in range(20)), marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_a_killed_collection_leaves_every_kept_version_readable(
    tmp_path: Path, delays: tuple[float, ...]
) -> None:
    source, records = tmp_path / "source", FolderRecords(tmp_path / "records")
    mosaic = new(source)
    for number in range(6):
        put(records, *(product(x, 10 + number, shard=number % 4) for x in range(4)))
        build_of(mosaic, records)(PLACES)
    age(source, days=30)
    for number, delay in enumerate(delays):
        folder = copy(source, tmp_path / f"copy{number}")
        kill_at(PRUNE, "prune", delay, str(folder), records.folder)
        pruned = open_repository(str(folder))
        head = pruned.head()
        assert head is not None
        names = names_of(records)
        check(pruned, names)
        # And the next one finishes it.
        prune(pruned, records, keep=1)
        check(pruned, names)
        assert [version.id for version in pruned.history()] == [head.id]
