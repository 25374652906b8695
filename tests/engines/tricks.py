"""What tests do inside other processes: pretend to be something else, and strike in a stage."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_UNTIL_THE_END = ExitStack()


def version(number: str) -> None:
    """Be of another version of deepsalt."""
    import flows.engines.station as station
    import flows.run.reading as reading

    station.__version__ = reading.__version__ = number


def algorithm(number: int) -> None:
    """Have another algorithm."""
    import deepsalt.products as products

    products.ALGORITHM_VERSION = number


def device(name: str) -> None:
    """Pretend to have a device."""
    import deepsalt.mapping as mapping
    import deepsalt.model.platform as platform

    platform.platform = mapping.platform = lambda _: name


def gpu(name: str, gone_after: int | None = None) -> None:
    """Have a GPU, which is the CPU behind its interface; it may be gone after some batches."""
    from tests.model.devices import Fake, stand_in

    _UNTIL_THE_END.enter_context(stand_in(Fake(gone_after), name))


def dask_version(number: str) -> None:
    """Be of another version of Dask."""
    from distributed import node

    found = node.get_versions()

    def versions(**_: Any) -> dict[str, Any]:
        return {**found, "packages": {**found["packages"], "distributed": number}}

    node.get_versions = versions


def without_deepsalt() -> None:
    """Have no deepsalt installed."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("flows", "deepsalt")]:
        del sys.modules[name]
    sys.modules["flows"] = sys.modules["deepsalt"] = None  # type: ignore[assignment]


def small_disk(free_bytes: int) -> None:
    """Have little room for scratch files."""
    import shutil
    from types import SimpleNamespace

    shutil.disk_usage = lambda _: SimpleNamespace(free=free_bytes)  # type: ignore[assignment]


def strike(stage: str, nth: int, hits: str, most: int) -> None:
    """Kill this process when it comes to a stage for the nth time; `most` times in all."""
    from tests.faults.stages import Shot, watch

    watch(Shot(stage, nth, 0.0, None, Path(hits), most))


def slow(stage: str, seconds: float, reached: str) -> None:
    """Take long in a stage, and say by the length of a file how often it was reached."""
    from tests.faults.stages import watch

    watch(_Slow(stage, seconds, Path(reached)))


class _Slow:
    def __init__(self, stage: str, seconds: float, reached: Path) -> None:
        self._stage, self._seconds, self._reached = stage, seconds, reached

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        if stage == self._stage:
            with (self._reached / str(os.getpid())).open("ab") as file:
                file.write(b".")
            time.sleep(self._seconds)
        yield


def count_reads(prefix: str, hits: str) -> None:
    """Leave a file for each object below a prefix that this process reads."""
    from deepsalt.objects import Objects

    read = Objects.read

    def reading(objects: Objects, key: str) -> bytes:
        if key.startswith(prefix):
            (Path(hits) / f"{key.rpartition('/')[2]}-{os.getpid()}").touch()
        return read(objects, key)

    Objects.read = reading  # type: ignore[method-assign]


def greedy(scene: str, hits: str) -> None:
    """Take more and more memory while a scene is mapped."""
    import deepsalt.mapping as mapping

    open_scene = mapping.open_scene

    def opening(acquisition: Any) -> Any:
        if acquisition.acquisition_id == scene:
            (Path(hits) / str(os.getpid())).touch()
            hoard = []
            while True:
                hoard.append(bytearray(os.urandom(1 << 16) * 1000))
                time.sleep(0.05)
        return open_scene(acquisition)

    mapping.open_scene = opening


def fatal_look(scene: str, hits: str) -> None:
    """Die while a scene is looked at for field samples."""
    import flows.run.reading as reading

    pixels_needed = reading.pixels_needed

    def needing(acquisition: Any, *rest: Any) -> Any:
        if acquisition.acquisition_id == scene:
            (Path(hits) / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return pixels_needed(acquisition, *rest)

    reading.pixels_needed = needing


def fatal(scene: str, hits: str) -> None:
    """Die while a scene is mapped."""
    import deepsalt.mapping as mapping

    open_scene = mapping.open_scene

    def opening(acquisition: Any) -> Any:
        if acquisition.acquisition_id == scene:
            (Path(hits) / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return open_scene(acquisition)

    mapping.open_scene = opening
