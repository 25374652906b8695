"""Withdrawn scenes: durable records that every later run and build honours.

One record per acquisition. It withdraws a provider version and the older ones, so that neither
the order in which versions arrive nor a late older one matters; a newer version counts again. A
withdrawal that was taken back stays as a record, marked as lifted.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepsalt.errors import StoreError
from deepsalt.store.files import read_json, write_json
from deepsalt.store.records import Store, record_name
from deepsalt.types import version_order

Place = tuple[str, str]
"""Collection and acquisition id: what all provider versions of a scene share."""
_TIMES = ("withdrawn", "lifted")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """That an acquisition was withdrawn.

    Parameters
    ----------
    collection, acquisition_id
        As in `Acquisition`.
    version
        Newest provider version that is withdrawn; older ones are as well.
    reason
        Why, in the operator's words; empty when they gave none.
    withdrawn
        When, UTC.
    lifted
        When it was taken back, UTC; None while it holds.
    """

    collection: str
    acquisition_id: str
    version: str
    reason: str
    withdrawn: datetime
    lifted: datetime | None = None

    @property
    def place(self) -> Place:
        """The acquisition."""
        return self.collection, self.acquisition_id

    @property
    def scene(self) -> str:
        """Scene key of the newest withdrawn version."""
        return f"{self.collection}/{self.acquisition_id}/{self.version}"

    def covers(self, version: str) -> bool:
        """Whether this provider version of the acquisition is withdrawn."""
        return self.lifted is None and version_order(version) <= version_order(self.version)

    def write(self, store: Store) -> None:
        """Put the record in a store, in the place of an older one of the acquisition.

        Raises
        ------
        StoreError
            The record cannot be written.
        """
        document = {name: getattr(self, name) for name in self.__slots__}
        times = {name: document[name] and document[name].isoformat() for name in _TIMES}
        write_json(_path(store, self.place), document | times)

    def lift(self, store: Store) -> None:
        """Take the withdrawal back; one that was taken back already stays as it is.

        Raises
        ------
        StoreError
            The record cannot be written.
        """
        if self.lifted is None:
            replace(self, lifted=datetime.now(UTC)).write(store)

    def __str__(self) -> str:
        return f"withdrawn on {self.withdrawn:%Y-%m-%d}: {self.reason or 'no reason given'}"


def tombstone(store: Store, place: Place) -> Tombstone | None:
    """Return the record of an acquisition, lifted or not; None when it was never withdrawn."""
    path = _path(store, place)
    return _read(path) if path.exists() else None


def tombstones(store: Store) -> dict[Place, Tombstone]:
    """Return all records, lifted ones too, by acquisition."""
    found = map(_read, sorted(_folder(store).glob("*.json")))
    return {each.place: each for each in found}


def _folder(store: Store) -> Path:
    return store.records / "tombstones"


def _path(store: Store, place: Place) -> Path:
    return _folder(store) / f"{record_name('/'.join(place))}.json"


def _read(path: Path) -> Tombstone:
    document: dict[str, Any] = read_json(path)
    try:
        times = {name: document[name] and datetime.fromisoformat(document[name]) for name in _TIMES}
        return Tombstone(**{**document, **times})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error!r}); restore it") from error
