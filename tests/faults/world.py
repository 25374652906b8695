"""What a campaign of faults works on: small scenes, their catalogue, an undisturbed store.

Everything that loads threads or Zarr runs in forked children, so that the parent, which has the
command imported already, can fork a run within milliseconds and stop it at any moment of its work.
"""

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 10.0
"""What a scheduler waits between SIGTERM and SIGKILL."""

_LIMIT_S = 180.0  # a run that takes longer hangs


@dataclass(frozen=True, slots=True)
class World:
    """Scenes and what an undisturbed run makes of them.

    Parameters
    ----------
    scenes
        Product folders and files, in a folder that a fault may damage and has to mend.
    catalogue
        Folder of the catalogue.
    wanted
        Digest of every array of the undisturbed store, by name.
    seconds
        How long the undisturbed run took.
    """

    scenes: tuple[Path, ...]
    catalogue: Path
    wanted: dict[str, str]
    seconds: float

    def run(self, store: Path, *more: str) -> int:
        """Run the command on all scenes; return its exit code."""
        return finished(self.start(store, *more))

    def start(self, store: Path, *more: str) -> int:
        """Begin a run in a child; return its process id."""
        return forked(lambda: command("run", *self.arguments(store), *more), store)

    def arguments(self, store: Path) -> tuple[str, ...]:
        """Return the options of a run into this store."""
        return ("--catalogue", str(self.catalogue), "--out", str(store))


def make_world(folder: Path) -> World:
    """Simulate the scenes and map them once, undisturbed."""
    catalogue, store = folder / "catalogue", folder / "undisturbed"
    if finished(forked(lambda: _simulate(folder / "scenes", catalogue), folder / "simulate")):
        raise RuntimeError("the scenes could not be simulated")
    scenes = tuple(Path(line) for line in (folder / "scenes.txt").read_text().splitlines())
    world = World(scenes, catalogue, {}, 0.0)
    begin = time.monotonic()
    if code := world.run(store):
        raise RuntimeError(f"the undisturbed run ended with {code}")
    return World(scenes, catalogue, digests(store), time.monotonic() - begin)


def _simulate(folder: Path, catalogue: Path) -> int:
    from catalog.items import to_item
    from catalog.local import add_items
    from deepsalt.checksums import with_checksums
    from deepsalt.scenes.base import read_acquisition
    from tests.flows.conftest import simulate_scenes

    folder.mkdir()
    scenes = simulate_scenes(folder).all
    found = [with_checksums(read_acquisition(path)) for path in scenes]
    add_items(catalogue, [to_item(acquisition) for acquisition in found])
    (folder.parent / "scenes.txt").write_text("\n".join(map(str, scenes)))
    return 0


def command(*arguments: str) -> int:
    """Run the deepsalt command in this process; return its exit code."""
    import sys

    from deepsalt.store import lease
    from flows.command import main

    lease.EXPIRES_AFTER_S = 6.0  # nobody waits for a minute here; longer than a renewal takes

    sys.argv = ["deepsalt", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1


def forked(work: Callable[[], int], log: Path) -> int:
    """Run a function in a forked child, its output beside `log`; return the process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        with log.with_name(f"{log.name}.log").open("ab") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        code = work()
    except BaseException as error:  # noqa: BLE001 (nothing may reach the parent's code)
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def finished(pid: int) -> int:
    """Wait for a child; return its exit code, minus the signal where one ended it.

    A child that takes too long is killed, with all it started.
    """
    begin = time.monotonic()
    while time.monotonic() - begin < _LIMIT_S:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -signal.SIGALRM


def digests(store: Path) -> dict[str, str]:
    """Return a digest of every array of every product and of the mosaic, by name."""
    found = store.with_name(f"{store.name}.digests")
    if finished(forked(lambda: _write_digests(store, found), store)):
        return {}
    known: dict[str, str] = json.loads(found.read_text())
    return known


def _write_digests(store: Path, found: Path) -> int:
    import numpy as np
    import zarr

    groups = [*sorted((store / "scenes").glob("*.zarr")), store / "mosaic.zarr"]
    digest = {}
    for path in groups:
        group = zarr.open_group(path.resolve(), mode="r")
        for name, array in sorted(group.arrays()):
            values = np.ascontiguousarray(np.asarray(array[...]))
            digest[f"{path.name}/{name}"] = hashlib.sha256(values.tobytes()).hexdigest()
    found.write_text(json.dumps(digest))
    return 0
