"""Withdrawn scenes: durable records that every later run and build honours.

One series of records per acquisition. Its last one withdraws a provider version and all older ones,
so that the order in which versions arrive does not matter; a newer version counts again. An undone
withdrawal stays as a record, marked as lifted.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from deepsalt.documents import encode
from deepsalt.errors import StoreError
from deepsalt.objects import append, heads, latest, read_number
from deepsalt.store.documents import decode, record_name
from deepsalt.store.store import Store
from deepsalt.types import version_order

AcquisitionKey = tuple[str, str]
"""Collection and acquisition id: what all provider versions of a scene share."""

_PREFIX = "records/tombstones"
_TIMES = ("withdrawn", "lifted")
_AT_ONCE = 16  # concurrent requests


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Withdrawal of an acquisition.

    Parameters
    ----------
    collection, acquisition_id
        As in `Acquisition`.
    version
        Newest withdrawn provider version; older ones are withdrawn, too.
    reason
        Reason, in the operator's words; empty if none was given.
    withdrawn
        Time of the withdrawal, UTC.
    lifted
        Time when it was undone, UTC; None while it is in force.
    """

    collection: str
    acquisition_id: str
    version: str
    reason: str
    withdrawn: datetime
    lifted: datetime | None = None

    @property
    def acquisition_key(self) -> AcquisitionKey:
        """The acquisition."""
        return self.collection, self.acquisition_id

    @property
    def scene(self) -> str:
        """Scene key of the newest withdrawn version."""
        return f"{self.collection}/{self.acquisition_id}/{self.version}"

    def covers(self, version: str) -> bool:
        """Whether this provider version of the acquisition is withdrawn."""
        return self.lifted is None and version_order(version) <= version_order(self.version)

    def __str__(self) -> str:
        return f"withdrawn on {self.withdrawn:%Y-%m-%d}: {self.reason or 'no reason given'}"


def record_withdrawal(
    store: Store, acquisition: AcquisitionKey, version: str, reason: str
) -> Tombstone:
    """Record that a provider version of an acquisition and the older ones are withdrawn.

    Returns
    -------
    Tombstone
        The record in force: the earlier one, if it covers the version.

    Raises
    ------
    StoreError
        The record cannot be written.
    """

    def after(before: Tombstone | None) -> Tombstone:
        if before is not None and before.covers(version):
            return before
        return Tombstone(*acquisition, version, reason, datetime.now(UTC))

    return _change(store, acquisition, after)


def lift(store: Store, acquisition: AcquisitionKey) -> Tombstone:
    """Undo a withdrawal; one already undone stays unchanged.

    Raises
    ------
    StoreError
        There is none, or the record cannot be written.
    """

    def after(before: Tombstone | None) -> Tombstone:
        if before is None:
            raise StoreError(f"{'/'.join(acquisition)} was never withdrawn from {store}")
        return replace(before, lifted=datetime.now(UTC)) if before.lifted is None else before

    return _change(store, acquisition, after)


def _change(
    store: Store, acquisition: AcquisitionKey, after: Callable[[Tombstone | None], Tombstone]
) -> Tombstone:
    """Add the successor of the last record, unless it says the same."""
    before = tombstone(store, acquisition)
    if before is not None and after(before) is before:
        return before
    where = f"{store}/{_prefix(acquisition)}"

    def make(number: int, data: bytes | None) -> bytes:
        return _render(after(None if data is None else _parse(data, where)))

    return _parse(append(store.objects, _prefix(acquisition), make)[1], where)


def tombstone(store: Store, acquisition: AcquisitionKey) -> Tombstone | None:
    """Return the record of an acquisition, lifted or not; None if it was never withdrawn.

    Raises
    ------
    StoreError
        The record cannot be read.
    """
    found = latest(store.objects, _prefix(acquisition))
    return None if found is None else _parse(found[1], f"{store}/{_prefix(acquisition)}")


def tombstones(
    store: Store, among: Iterable[AcquisitionKey] | None = None
) -> dict[AcquisitionKey, Tombstone]:
    """Return records, lifted ones too, by acquisition.

    Parameters
    ----------
    store
        The store.
    among
        Only these acquisitions; no others are read. Default: all.

    Raises
    ------
    StoreError
        A record cannot be read.
    """
    known = heads(store.objects, _PREFIX)
    if among is not None:
        names = {record_name("/".join(acquisition)) for acquisition in among}
        known = {name: number for name, number in known.items() if name in names}

    def read(name: str) -> Tombstone:
        prefix = f"{_PREFIX}/{name}"
        return _parse(read_number(store.objects, prefix, known[name]), f"{store}/{prefix}")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {each.acquisition_key: each for each in pool.map(read, sorted(known))}


def _prefix(acquisition: AcquisitionKey) -> str:
    return f"{_PREFIX}/{record_name('/'.join(acquisition))}"


def _render(record: Tombstone) -> bytes:
    document = {name: getattr(record, name) for name in record.__slots__}
    times = {name: document[name] and document[name].isoformat() for name in _TIMES}
    return encode(document | times)


def _parse(data: bytes, where: str) -> Tombstone:
    document = decode(data, where)
    try:
        times = {name: document[name] and datetime.fromisoformat(document[name]) for name in _TIMES}
        return Tombstone(**{**document, **times})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{where} is damaged ({error!r}); restore it") from error
