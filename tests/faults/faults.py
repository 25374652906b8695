"""The faults: each disturbs a run, mends what it broke, and says what was odd on the way."""

import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults import network
from tests.faults.world import GRACE_S, World, finished

Disturb = Callable[[World, Path, Random], str]
"""Disturb a store; return what went wrong already, "" when nothing did."""

PARTIAL = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Parameters
    ----------
    name
        As the table shows it.
    disturb
        What happens.
    trials
        How often, in a full campaign.
    again
        Further options of the run that has to end like an undisturbed one.
    """

    name: str
    disturb: Disturb
    trials: int = 1
    again: tuple[str, ...] = ()


def _moment(world: World, rng: Random) -> None:
    time.sleep(rng.uniform(0.0, 1.1 * world.seconds))


def kill_driver(world: World, store: Path, rng: Random) -> str:
    """SIGKILL the whole run at a random moment."""
    pid = world.start(store)
    _moment(world, rng)
    _signal_group(pid, signal.SIGKILL)
    finished(pid)
    return ""


def kill_worker(world: World, store: Path, rng: Random) -> str:
    """SIGKILL one worker process at a random moment; the run itself may go on."""
    return _kill_child(world, store, rng, max_memory=False)


def kill_largest_worker(world: World, store: Path, rng: Random) -> str:
    """SIGKILL the worker with most memory, as the kernel does where memory is short."""
    return _kill_child(world, store, rng, max_memory=True)


def _kill_child(world: World, store: Path, rng: Random, *, max_memory: bool) -> str:
    pid = world.start(store, "--workers", "2")
    time.sleep(rng.uniform(1.0, 6.0))
    children = _workers(pid)
    if children:
        chosen = max(children, key=_memory) if max_memory else rng.choice(children)
        _signal(chosen, signal.SIGKILL)
    code = finished(pid)
    return "" if code in (0, 1, PARTIAL) else f"exit code {code}"


def terminate(world: World, store: Path, rng: Random) -> str:
    """SIGTERM, as a scheduler sends it; the run has to end within its grace period."""
    pid = world.start(store)
    _moment(world, rng)
    _signal(pid, signal.SIGTERM)
    begin = time.monotonic()
    code = finished(pid)
    took = time.monotonic() - begin
    # 143: the signal came before the command had its handlers.
    if code not in (0, 130, -signal.SIGTERM):
        return f"exit code {code}"
    return f"ended after {took:.0f} s" if took > GRACE_S else ""


def full_disk(world: World, store: Path, rng: Random) -> str:
    """Run into a file system that fills up, then give it room."""
    size = rng.randrange(100, 1500)
    with _Mounted(store, f"size={size}k") as resize:
        code = world.run(store / "store")
        resize("size=256m")
        wrong = "" if code in (0, 1) else f"exit code {code}"
        world.run(store / "store")
        _take_over(store)
    return wrong


def read_only(world: World, store: Path, rng: Random) -> str:
    """Run on into a file system that has become read-only, then write to it again."""
    with _Mounted(store, "size=256m") as resize:
        world.run(store / "store", "--limit", str(rng.randrange(1, len(world.scenes))))
        resize("", read_only=True)
        code = world.run(store / "store")
        resize("", read_only=False)
        wrong = "" if code == 1 else f"exit code {code}"
        world.run(store / "store")
        _take_over(store)
    return wrong


def truncated_asset(world: World, store: Path, rng: Random) -> str:
    """Cut a scene's file; it is left out with the reason, the rest is complete."""
    return _with_damaged_asset(
        world, store, rng, lambda raw: raw[: rng.randrange(len(raw) // 8, len(raw) - 8)]
    )


def flipped_asset(world: World, store: Path, rng: Random) -> str:
    """Flip bits all over a scene's file; it is left out with the reason."""

    def flip(raw: bytes) -> bytes:
        damaged = bytearray(raw)
        for at in rng.sample(range(len(raw) // 4, len(raw)), 200):
            damaged[at] ^= 1 << rng.randrange(8)
        return bytes(damaged)

    return _with_damaged_asset(world, store, rng, flip)


def _with_damaged_asset(
    world: World, store: Path, rng: Random, damage: Callable[[bytes], bytes]
) -> str:
    asset = rng.choice([_pixels(scene) for scene in world.scenes])
    raw = asset.read_bytes()
    asset.write_bytes(damage(raw))
    code = world.run(store)
    asset.write_bytes(raw)
    return "" if code == PARTIAL else f"exit code {code}, not {PARTIAL}"


def vanished_scene(world: World, store: Path, rng: Random) -> str:
    """Take a scene's files away; the rest is complete, and it is mapped once they are back."""
    scene = rng.choice(world.scenes)
    away = scene.with_name(f"{scene.name}.away")
    scene.rename(away)
    code = world.run(store)
    away.rename(scene)
    return "" if code == PARTIAL else f"exit code {code}, not {PARTIAL}"


def corrupt_product(world: World, store: Path, rng: Random) -> str:
    """Flip a bit in a finished scene product; the build with the next scene notices."""
    world.run(store, "--limit", "2")
    product = rng.choice(sorted((store / "scenes").glob("*.zarr")))
    shards = [path for path in sorted(product.glob("salinity*/c/**/*")) if path.is_file()]
    chosen = rng.choice(shards)
    raw = bytearray(chosen.read_bytes())
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    chosen.write_bytes(bytes(raw))
    code = world.run(store)
    return "" if code == 1 else f"exit code {code}: the damage was not noticed"


def stale_lock(world: World, store: Path, rng: Random) -> str:
    """Leave the lock of a build whose process is gone."""
    pid = world.start(store)
    _moment(world, rng)
    _signal_group(pid, signal.SIGKILL)
    finished(pid)
    records = store / "records"
    records.mkdir(parents=True, exist_ok=True)
    for lock in [*records.glob("*.lock"), records / "build.lock"]:
        lock.write_text(f"elsewhere.{rng.randrange(10**6)}")
    return ""


def stale_lease(world: World, store: Path, rng: Random) -> str:
    """Leave the lease of a build on another machine that has vanished; waited for, then taken."""
    kill_driver(world, store, rng)
    records = store / "records"
    records.mkdir(parents=True, exist_ok=True)
    number = rng.randrange(100, 10**6)
    (records / f"build.lock.{number:06d}").write_text(f"other-boot elsewhere.{number} 3")
    return ""


def clock_jump(world: World, store: Path, rng: Random) -> str:
    """Kill a run, and let everything it wrote be of another century."""
    kill_driver(world, store, rng)
    then = rng.choice([0.0, 4_000_000_000.0])
    for folder, _, names in os.walk(store):
        for name in names:
            os.utime(Path(folder, name), (then, then), follow_symlinks=False)
    return ""


def two_runs(world: World, store: Path, rng: Random) -> str:
    """Two runs into one store at once; one of them may say that the other is building."""
    first = world.start(store)
    time.sleep(rng.uniform(0.0, world.seconds / 2))
    codes = {finished(pid) for pid in (world.start(store), first)}
    return "" if codes <= {0, 1} else f"exit codes {sorted(codes)}"


def _pixels(scene: Path) -> Path:
    """Return the file with a scene's spectra."""
    if scene.is_file():
        return scene
    return max(scene.iterdir(), key=lambda path: path.stat().st_size)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        # It has not made its group yet.
        _signal(pid, number)


def _workers(pid: int) -> list[int]:
    """Return the processes below a run that compute, not those that watch over them."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        for child in below.get(left.pop(), []):
            found.append(child)
            left.append(child)
    return [each for each in found if _memory(each) > 50_000_000]


def _memory(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


class _Mounted:
    """A small file system in memory at a folder; remount it by calling what it yields."""

    def __init__(self, folder: Path, options: str) -> None:
        self._folder, self._options = folder, options
        self._libc = ctypes.CDLL(None, use_errno=True)

    def __enter__(self) -> Callable[..., None]:
        self._folder.mkdir()
        self._mount(self._options, 0)
        return lambda options, read_only=False: self._mount(options, 32 | int(read_only))

    def _mount(self, options: str, flags: int) -> None:
        folder = bytes(self._folder)
        if self._libc.mount(b"tmpfs", folder, b"tmpfs", flags, options.encode()) != 0:
            raise PermissionError(ctypes.get_errno(), "making a small file system needs root")

    def __exit__(self, *_error: object) -> None:
        self._libc.umount2(bytes(self._folder), 2)


def _take_over(mounted: Path) -> None:
    """Copy a store out of a file system that goes away, for the last run."""
    target = mounted.with_name(f"{mounted.name}.kept")
    if (mounted / "store").exists():
        shutil.copytree(mounted / "store", target, symlinks=True)


FAULTS = (
    Fault("SIGKILL of the run", kill_driver, trials=40),
    Fault("SIGKILL of a worker", kill_worker, trials=20),
    Fault("out-of-memory kill of a worker", kill_largest_worker, trials=3),
    Fault("SIGTERM", terminate, trials=6),
    Fault("full disk", full_disk, trials=4),
    Fault("read-only output", read_only, trials=3),
    Fault("truncated asset", truncated_asset, trials=3, again=("--retry-quarantined",)),
    Fault("bit-flipped asset", flipped_asset, trials=3, again=("--retry-quarantined",)),
    Fault("vanished scene", vanished_scene, trials=3),
    Fault("corrupt scene product", corrupt_product, trials=4),
    Fault("500, 503 and 429 now and then", network.storm, trials=4),
    Fault("503 without end", network.endless_storm, trials=3),
    Fault("connections reset", network.resets, trials=4),
    Fault("slow-loris", network.slow_loris, trials=3),
    Fault("wrong Content-Length", network.wrong_length, trials=3),
    Fault("expired signed URL", network.expired_url, trials=4),
    Fault("scene gone from its server", network.vanished_from_server, trials=3),
    Fault("stale lock", stale_lock, trials=3),
    Fault("lease of a machine that is gone", stale_lease, trials=2),
    Fault("clock jump", clock_jump, trials=3),
    Fault("two runs at once", two_runs, trials=4),
)
