"""Small objects beside the repository: the slot of each period, and which builds are alive.

Facts that all processes must agree on are created under a key that only one can create, and never
changed.
"""

import logging
import re
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deepsalt.errors import DeepsaltError, MissingObjectError, StoreError, UsageError
from deepsalt.objects import Entry, Objects
from deepsalt.store.periods import Period, check_periods
from deepsalt.versions.arrays import PERIODS

logger = logging.getLogger(__name__)

BEATS_EVERY = timedelta(minutes=10)
"""Time between two heartbeats of a build."""

_PERIODS = "records/periods"
_BUILDS = "records/builds"
_AT_ONCE = 16  # concurrent requests
_STARTED = "%Y%m%dT%H%M%SZ"


def periods_of(objects: Objects) -> dict[Period, int]:
    """Return the periods that have a slot.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    keys = [entry.key for entry in objects.list(_PERIODS)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        contents = zip(keys, pool.map(objects.read, keys), strict=True)
        return dict(_period(objects, *each) for each in contents)


def _period(objects: Objects, key: str, content: bytes) -> tuple[Period, int]:
    """Return the period in a slot's record, and the slot."""
    try:
        return Period.from_id(content.decode()), int(key.rpartition("/")[2])
    except (UsageError, ValueError) as error:
        raise StoreError(
            f"{objects}/{key} is not a record of a period ({error}); restore or remove it"
        ) from error


def slots_of(objects: Objects, periods: Iterable[Period]) -> dict[Period, int]:
    """Return the permanent slot of each period; those without one get the next.

    Slots are assigned before anything is composed: two first builds of two periods would otherwise
    write to the same slot, and one of them would compose in vain.

    Raises
    ------
    StoreMismatchError
        A period overlaps another one of the store.
    StoreError
        All slots are taken.
    """
    known = periods_of(objects)
    wanted = sorted(set(periods))
    check_periods({*known, *wanted})
    for period in wanted:
        while period not in known:
            slot = max(known.values(), default=-1) + 1
            if slot == PERIODS:
                raise StoreError(
                    f"period {period.id} has no room: all {PERIODS} of this mosaic are taken; use "
                    "another store"
                )
            check_periods({*known, period})  # including those that others added meanwhile
            objects.create(f"{_PERIODS}/{slot:04d}", period.id.encode())
            known = periods_of(objects)
            check_periods(known)
    return {period: known[period] for period in wanted}


@dataclass(frozen=True, slots=True)
class LiveBuild:
    """A build that has a record.

    Parameters
    ----------
    id
        Name of the build.
    started
        When it began, by the clock of its machine.
    host
        Its machine.
    seen
        Its last heartbeat, by the clock of the store.
    keys
        Its objects.
    """

    id: str
    started: datetime
    host: str
    seen: datetime
    keys: tuple[str, ...]


def live_builds(objects: Objects) -> list[LiveBuild]:
    """Return the builds that have a record, oldest first.

    Raises
    ------
    StoreError
        The store cannot be read, or a record is invalid.
    """
    found: dict[str, list[Entry]] = {}
    for entry in objects.list(_BUILDS):
        found.setdefault(entry.key.removeprefix(f"{_BUILDS}/").split("/")[0], []).append(entry)
    return [_live_build(objects, build, entries) for build, entries in sorted(found.items())]


def _live_build(objects: Objects, build: str, entries: list[Entry]) -> LiveBuild:
    try:
        started, host, _ = build.split("-")
        return LiveBuild(
            id=build,
            started=datetime.strptime(started, _STARTED).replace(tzinfo=UTC),
            host=host,
            seen=max(entry.modified for entry in entries),
            keys=tuple(entry.key for entry in entries),
        )
    except ValueError as error:
        raise StoreError(
            f"{objects}/{_BUILDS}/{build} is not a record of a build ({error}); remove it"
        ) from error


class BuildRecord:
    """The record of a build, which protects its data from a prune.

    Heartbeats are numbered; a prune deletes the last one that it saw, and a build whose last
    heartbeat was deleted no longer has a record.
    """

    def __init__(self, objects: Objects, *, now: datetime | None = None) -> None:
        started = (now or datetime.now(UTC)).astimezone(UTC).strftime(_STARTED)
        self.id = f"{started}-{host_name()}-{secrets.token_hex(4)}"
        self._objects = objects
        self._number = 0
        self._lock = threading.Lock()
        objects.create(self._key(0), b"")

    def _key(self, number: int) -> str:
        return f"{_BUILDS}/{self.id}/{number:08d}"

    def check(self) -> None:
        """Refuse to continue without a record.

        Raises
        ------
        StoreError
            A prune considered this build dead, so its data may be deleted.
        """
        with self._lock:
            self._check(self._key(self._number))

    def _check(self, key: str) -> None:
        try:
            self._objects.read(key)  # read rather than listed: a listing may lag behind
        except MissingObjectError:
            self._objects.delete(
                [entry.key for entry in self._objects.list(f"{_BUILDS}/{self.id}")]
            )
            raise StoreError(
                f"a prune considered build {self.id} dead and may have deleted its data, so "
                f"nothing of it is published; build again"
            ) from None

    def beat(self) -> None:
        """Write a heartbeat.

        Raises
        ------
        StoreError
            As `check`.
        """
        with self._lock:
            last = self._key(self._number)
            self._objects.create(self._key(self._number + 1), b"")
            # Checked afterwards, because a prune also checks for newer ones after deleting.
            self._check(last)
            self._number += 1
            self._objects.delete([last])

    def end(self) -> None:
        """Delete the record."""
        with self._lock:
            self._objects.delete([self._key(self._number)])


@contextmanager
def building(objects: Objects) -> Iterator[BuildRecord]:
    """Keep the record of a build alive while the block runs.

    A process that is killed leaves its record; `deepsalt.versions.retention.prune` deletes it.
    """
    alive = BuildRecord(objects)
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEATS_EVERY.total_seconds()):
            try:
                alive.beat()
            except (DeepsaltError, OSError) as error:
                # The build checks whether it may still publish when it does.
                logger.warning("no heartbeat of build %s: %s", alive.id, error)

    thread = threading.Thread(target=beat, name=f"build {alive.id}", daemon=True)
    thread.start()
    try:
        yield alive
    finally:
        over.set()
        thread.join()
        try:
            alive.end()
        except StoreError as error:
            logger.warning(
                "the record of build %s remains for a prune to delete: %s", alive.id, error
            )


def host_name() -> str:
    """Return the name of this machine as used in the names of builds."""
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname()) or "unknown"
