"""Exports that are killed, for `test_crashes.py`: processes that end themselves by SIGKILL."""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from deepsalt.export import export_mosaic
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.objects import Objects
from deepsalt.versions import open_repository

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.export.victims"])

SHARDS = tuple(f"{layer.name}/c/" for layer in MOSAIC_LAYERS)
STAGES = ("record", "root", "removal", "shard", "document")
"""What an export does to objects of its target."""


def stage_of(verb: str, key: str) -> str:
    if verb == "delete":
        return "removal"
    if key.startswith("export/"):
        return "record"
    if key == "zarr.json":
        return "root"
    return "shard" if key.startswith(SHARDS) else "document"


def watch(target: Path, seen: Callable[[str], None]) -> None:
    """Call before and after each change of an object of the target."""

    def around(verb: str) -> None:
        original = getattr(Objects, verb)

        def changed(objects: Objects, keys: Any, *rest: Any) -> Any:
            first = keys if isinstance(keys, str) else next(iter(keys := [*keys]), None)
            if first is None or objects.path != target:
                return original(objects, keys, *rest)
            seen(stage_of(verb, first))
            done = original(objects, keys, *rest)
            seen(stage_of(verb, first))
            return done

        setattr(Objects, verb, changed)

    for verb in ("write", "create", "delete"):
        around(verb)


def export(store: str, target: str, stage: str, nth: int, *, sharded: bool) -> None:
    """Export, and die at the nth moment of a stage."""
    moments = 0

    def seen(found: str) -> None:
        nonlocal moments
        if found == stage:
            moments += 1
            if moments == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    watch(Path(target), seen)
    export_mosaic(open_repository(Objects.of(store)), target, sharded=sharded)


def killed(store: Path, target: Path, stage: str, nth: int, *, sharded: bool = True) -> bool:
    """Export in a process of its own; whether it came to the nth moment of the stage."""
    process = CONTEXT.Process(
        target=export, args=(str(store), str(target), stage, nth), kwargs={"sharded": sharded}
    )
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL), "see its traceback"
    return process.exitcode != 0
