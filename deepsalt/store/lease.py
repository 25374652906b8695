"""Leases: one process at a time, on all machines that share a folder.

On one machine the operating system's lock decides, and drops when its process ends. Other machines
may not see that lock, so its holder also has a lease: a numbered file whose time it renews. Whoever
finds no renewal for a while takes the next number, and whoever slept through that finds out before
it changes anything (a fencing token). No clocks are compared: a watcher waits by its own.
"""

import fcntl
import glob
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deepsalt.errors import StoreError
from deepsalt.objects.disk import storing
from deepsalt.store.files import process_mark

logger = logging.getLogger(__name__)

RENEWED_EVERY_S = 5.0
"""Time between two renewals of a lease."""

EXPIRES_AFTER_S = 60.0
"""Time without a renewal after which a lease of another machine is over."""

_RELEASED = "released"
_WIDTH = 256  # of a lease in bytes: renewing it needs no room on a full disk


@dataclass(frozen=True, slots=True)
class Lease:
    """A right to change what a lock guards, until somebody takes a higher number.

    Parameters
    ----------
    lock
        File of the lock; leases lie beside it as ``<name>.<number>``.
    number
        Grows with each holder.
    """

    lock: Path
    number: int

    def check(self) -> None:
        """Refuse to go on when the lease is over.

        Raises
        ------
        StoreError
            Another process holds a later one, or it was given back.
        """
        if _last(self.lock) != self.number:
            raise StoreError(
                f"{self.lock.parent} was taken over by another machine while this process did not "
                "answer; run again"
            )
        if _read(_path(self.lock, self.number)) == _RELEASED:
            raise StoreError(f"what was going on in {self.lock.parent} has ended without this part")


@contextmanager
def exclusive(path: Path, doing: str) -> Iterator[Lease]:
    """Hold a lock that one process of all machines can hold.

    Parameters
    ----------
    path
        File of the lock; made with its folder.
    doing
        What its holder is doing, for the one who finds it held: "is building in this store".

    Yields
    ------
    Lease
        To be checked before something is changed that cannot be changed back.

    Raises
    ------
    StoreError
        Another process holds it.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _held(path, os.read(descriptor, 200), doing) from error
        except OSError as error:
            raise StoreError(f"{path} cannot be locked: {error}") from error
        with storing(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, process_mark().encode())
        with _leased(path, doing) as lease:
            yield lease
    finally:
        os.close(descriptor)


def _held(path: Path, owner: bytes, doing: str) -> StoreError:
    name = owner.decode(errors="replace").strip() or "another process"
    return StoreError(f"{name} {doing} ({path} is locked); wait until it has ended")


@contextmanager
def _leased(lock: Path, doing: str) -> Iterator[Lease]:
    """Hold the next lease and renew it; the operating system's lock is held."""
    holder = f"{_machine()} {process_mark()}"
    with storing(lock):
        last = _last(lock)
        if last:
            _wait_until_over(lock, last, doing)
        lease = Lease(lock, last + 1)
        try:
            descriptor = os.open(
                _path(lock, lease.number), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644
            )
        except FileExistsError:
            raise _held(lock, b"", doing) from None
    try:
        with storing(lock):
            with ExitStack() as given_up:
                given_up.callback(_path(lock, lease.number).unlink, missing_ok=True)
                _write(descriptor, f"{holder} 0")
                if _last(lock) != lease.number:  # a number was counted on that is long over
                    raise _held(lock, b"", doing)
                given_up.pop_all()
            for number in _numbers(lock):
                if number < lease.number:
                    _path(lock, number).unlink(missing_ok=True)
        ended = threading.Event()
        thread = threading.Thread(target=_renew, args=(descriptor, holder, ended), daemon=True)
        thread.start()
        try:
            yield lease
        finally:
            ended.set()
            thread.join()
            with suppress(OSError):  # a lease that is not given back runs out
                _write(descriptor, _RELEASED)
    finally:
        os.close(descriptor)


def _renew(descriptor: int, holder: str, ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(RENEWED_EVERY_S):
        beat += 1
        try:
            _write(descriptor, f"{holder} {beat}")
        except OSError:  # a lease that cannot be renewed runs out, and its holder finds out
            continue


def _write(descriptor: int, state: str) -> None:
    os.pwrite(descriptor, state.encode()[: _WIDTH - 1].ljust(_WIDTH - 1) + b"\n", 0)
    os.fsync(descriptor)


def _wait_until_over(lock: Path, number: int, doing: str) -> None:
    """Return when a lease is over; refuse when its holder renews it meanwhile."""
    path = _path(lock, number)
    first = _read(path)
    if not _is_over(first):
        logger.warning(
            "%s: somebody on another machine may be at work; waiting up to %.0f seconds to see",
            lock,
            EXPIRES_AFTER_S,
        )
    begin = time.monotonic()
    while not _is_over(current := _read(path)):
        if current != first:
            raise _held(lock, current.encode().partition(b" ")[2].rpartition(b" ")[0], doing)
        if time.monotonic() - begin > EXPIRES_AFTER_S and _read(path) == first:
            return
        time.sleep(min(0.5, RENEWED_EVERY_S / 4))


def _is_over(state: str) -> bool:
    # A holder on this machine would hold the operating system's lock, which we hold.
    return state == _RELEASED or state.partition(" ")[0] == _machine()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except FileNotFoundError:  # somebody took the next number, who will be found there
        return _RELEASED


def _machine() -> str:
    """Return what tells this machine from others that share its folders."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return boot.read_text().strip()
    except OSError:
        return socket.gethostname()


def _numbers(lock: Path) -> list[int]:
    suffixes = (path.suffix[1:] for path in lock.parent.glob(f"{glob.escape(lock.name)}.*"))
    return [int(suffix) for suffix in suffixes if suffix.isdigit()]


def _last(lock: Path) -> int:
    return max(_numbers(lock), default=0)


def _path(lock: Path, number: int) -> Path:
    return lock.with_name(f"{lock.name}.{number:06d}")
