"""What a place for copies of a mosaic has to do."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zarr.abc.store import Store as ZarrStore

from deepsalt.errors import StoreError
from deepsalt.inputs import read_regular
from deepsalt.objects.disk import storing
from deepsalt.store.lease import Lease, exclusive


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a mosaic's Zarr group.

    Parameters
    ----------
    path
        Where it lies.
    size
        Its bytes.
    sha256
        Checksum of its bytes, hexadecimal.
    """

    path: Path
    size: int
    sha256: str

    def read(self) -> bytes:
        """Return the bytes.

        Raises
        ------
        StoreError
            They are missing or not those of the checksum: damage is not carried on.
        """
        with storing(self.path):
            data = read_regular(self.path)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise StoreError(
                f"{self.path} is damaged: its checksum is not the recorded one; run "
                "`deepsalt mosaic repair`"
            )
        return data


Entries = Mapping[str, Entry]
"""Files by key inside the group."""

Digests = Mapping[str, str]
"""SHA-256 by key of what the target holds of the version before."""

Sent = Callable[[str, int], None]
"""Told of each key that is dealt with and how many bytes had to be sent for it."""


def overtaken(uri: str) -> StoreError:
    """Return the error of who finds that another run pushed to the same place."""
    return StoreError(f"another run pushed to {uri} meanwhile, what it pushed stays; push again")


def nothing_shown(uri: str) -> StoreError:
    """Return the error of who opens a place where nothing was pushed."""
    return StoreError(f"{uri} holds no mosaic; `deepsalt mosaic push` puts one there")


def lock_folder(folder: Path | None, lock: Path | None) -> AbstractContextManager[Lease | None]:
    """Return a lock on a folder by its file; object stores need none."""
    if lock is None:
        return nullcontext()
    return exclusive(lock, f"is pushing to {folder}")


class Target(Protocol):
    """A place for copies of a mosaic; errors are `StoreError`."""

    def shown(self) -> str | None:
        """Return the name of the content that readers see; None before the first."""

    def locked(self) -> AbstractContextManager[Lease | None]:
        """Keep other writers out, where the place cannot do it by itself."""

    def write(
        self,
        name: str,
        shown: str | None,
        entries: Entries,
        held: Digests,
        sent: Sent,
        *,
        ready: Callable[[], None],
    ) -> None:
        """Carry content over and make it what readers see, in one step at the end.

        What is there already is made whole where that can be seen.

        Parameters
        ----------
        name
            Names the content: alphanumeric, equal only for equal bytes under equal keys.
        shown
            What readers saw when `held` was found out; the target is left alone if that changed.
        entries
            All its files.
        held
            What the content has that readers see; empty when that is not known.
        sent
            Told of progress.
        ready
            Called right before readers see it; raises where another run took over.
        """

    def prune(self, keep: int) -> int:
        """Remove versions older than what readers see, until `keep` are left; return how many.

        Readers that opened one of them lose it. Another push that is going on loses nothing.
        """

    def reaching(self) -> AbstractContextManager[None]:
        """Turn errors of the place in the block into one sentence."""

    def read(self) -> ZarrStore:
        """Return the Zarr store of what readers see; what comes later does not mix in."""
