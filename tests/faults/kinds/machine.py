"""Faults of this machine: disks, files and the clock."""

import ctypes
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.faults.kinds.kills import kill_driver
from tests.faults.world import FAILED, PARTIAL, Place, Trial


def full_disk(trial: Trial) -> str:
    """Run into a file system that fills up, then give it room."""
    with _Mounted(trial) as mounted:
        mounted.resize(f"size={trial.rng.randrange(100, 1500)}k")
        wrong = trial.run().fault(0, FAILED, says="disk is full")
        mounted.resize("size=256m")
        trial.run()
    return wrong


def read_only(trial: Trial) -> str:
    """Run on into a file system that has become read-only, then write to it again."""
    with _Mounted(trial) as mounted:
        trial.run("--limit", str(trial.rng.randrange(1, len(trial.world.scenes))))
        mounted.resize("", read_only=True)
        wrong = trial.run().fault(FAILED, says="read-only")
        mounted.resize("", read_only=False)
        trial.run()
    return wrong


def truncated_asset(trial: Trial) -> str:
    """Cut a scene's file; it is left out with the reason, the rest is complete."""
    return _with_damaged_asset(
        trial, lambda raw: raw[: trial.rng.randrange(len(raw) // 8, len(raw) - 8)]
    )


def flipped_asset(trial: Trial) -> str:
    """Flip bits all over a scene's file; it is left out with the reason."""
    return _with_damaged_asset(trial, lambda raw: _flipped(raw, trial.rng, 200))


def _with_damaged_asset(trial: Trial, damage: Callable[[bytes], bytes]) -> str:
    asset = trial.rng.choice([_pixels(scene) for scene in trial.world.scenes])
    raw = asset.read_bytes()
    asset.write_bytes(damage(raw))
    try:
        wrong = trial.run().fault(PARTIAL)
    finally:
        asset.write_bytes(raw)
    return wrong or trial.run("--retry-quarantined").fault(0)


def vanished_scene(trial: Trial) -> str:
    """Take a scene's files away; the rest is complete, and it is mapped once they are back."""
    scene = trial.rng.choice(trial.world.scenes)
    away = scene.with_name(f"{scene.name}.away")
    scene.rename(away)
    try:
        return trial.run().fault(PARTIAL)
    finally:
        away.rename(scene)


def corrupt_product(trial: Trial) -> str:
    """Flip a bit in a finished scene product; the build with the next scene notices."""
    trial.run("--limit", "2")
    product = trial.rng.choice(sorted((trial.place.path / "scenes").glob("*.zarr")))
    shards = [path for path in sorted(product.glob("salinity*/c/**/*")) if path.is_file()]
    chosen = trial.rng.choice(shards)
    chosen.write_bytes(_flipped(chosen.read_bytes(), trial.rng, 1))
    return trial.run().fault(FAILED, says="damaged")


def clock_jump(trial: Trial) -> str:
    """Kill a run, and let everything it wrote be of another century."""
    kill_driver(trial)
    then = trial.rng.choice([0.0, 4_000_000_000.0])
    for folder, _, names in os.walk(trial.place.path):
        for name in names:
            os.utime(Path(folder, name), (then, then), follow_symlinks=False)
    return ""


def _flipped(raw: bytes, rng: Random, bits: int) -> bytes:
    damaged = bytearray(raw)
    first = len(raw) // 4 if bits > 1 else 0
    for at in rng.sample(range(first, len(raw)), bits):
        damaged[at] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _pixels(scene: Path) -> Path:
    """Return the file with a scene's spectra."""
    if scene.is_file():
        return scene
    return max(scene.iterdir(), key=lambda path: path.stat().st_size)


class _Mounted:
    """A small file system in memory that a trial's store lies in; it is copied out in the end."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._folder = trial.work / "disk"
        self._libc = ctypes.CDLL(None, use_errno=True)

    def __enter__(self) -> "_Mounted":
        self._folder.mkdir()
        self._mount("size=256m", 0)
        self._trial.place = Place.folder(self._folder / "store")
        return self

    def resize(self, options: str, *, read_only: bool = False) -> None:
        """Mount it anew with other options."""
        self._mount(options, 32 | int(read_only))

    def _mount(self, options: str, flags: int) -> None:
        folder = bytes(self._folder)
        if self._libc.mount(b"tmpfs", folder, b"tmpfs", flags, options.encode()) != 0:
            raise PermissionError(ctypes.get_errno(), "making a small file system needs root")

    def __exit__(self, *_error: object) -> None:
        kept = self._trial.work / "kept"
        if self._trial.place.path.exists():
            shutil.copytree(self._trial.place.path, kept)
        self._trial.place = Place.folder(kept)
        self._libc.umount2(bytes(self._folder), 2)
