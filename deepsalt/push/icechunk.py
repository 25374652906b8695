"""An Icechunk repository: one commit per pushed version, on the branch ``main``.

The package `icechunk` is optional: ``pip install 'deepsalt[icechunk]'``.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync as run

from deepsalt.access import without_secrets
from deepsalt.errors import StoreError
from deepsalt.push.place import folder_of
from deepsalt.push.target import Digests, Entries, Sent, lock_folder, nothing_shown, overtaken
from deepsalt.store.lease import Lease
from deepsalt.together import together

if TYPE_CHECKING:
    from icechunk import Repository, Storage

_BRANCH = "main"
_NAME = "deepsalt"  # of the content, in a commit's metadata
_ROOT = "zarr.json"  # always written: a commit without any change is refused
_AT_ONCE = 8  # chunks under way
_CLOCKS_DIFFER = timedelta(hours=1)


class Icechunk:
    """A repository in a folder or in an object store.

    Parameters
    ----------
    uri
        ``icechunk+file:///...`` or ``icechunk+s3://bucket/...``; credentials and endpoint come from
        the environment (``AWS_...``).
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")
        self._folder = folder_of(self._uri)
        parts = urlsplit(self._uri)
        self._place = parts.netloc, parts.path.strip("/")

    @cached_property
    def _storage(self) -> "Storage":
        return _storage(*self._place, self._folder)

    def shown(self) -> str | None:
        """Return the name of the content that readers see; None before the first.

        Raises
        ------
        StoreError
            Somebody else's commit is what readers see, or no access.
        """
        with _reaching(self._uri):
            repository = self._repository()
            if repository is None:
                return None
            return self._name(repository, repository.lookup_branch(_BRANCH))

    def _name(self, repository: "Repository", snapshot: str) -> str | None:
        commit = next(iter(repository.ancestry(snapshot_id=snapshot)))
        found = commit.metadata.get(_NAME)
        if found is None and commit.parent_id is not None:
            raise StoreError(
                f"{self._uri} is a repository whose last commit is not of deepsalt; give another "
                "place, or reset its branch"
            )
        return None if found is None else str(found)

    def locked(self) -> AbstractContextManager[Lease | None]:
        """Hold a lock beside a folder: Icechunk's commits to a file system are not safe alone."""
        # Not inside: a repository is only made in an empty folder.
        folder = self._folder
        return lock_folder(folder, folder and folder.with_name(f"{folder.name}.lock"))

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
        """Carry content over and commit it.

        Raises
        ------
        StoreError
            Damage, no access, or another run committed meanwhile.
        """
        if name == shown:
            for key in entries:
                sent(key, 0)
            return
        with _reaching(self._uri):
            import icechunk

            repository = self._repository() or icechunk.Repository.create(self._storage)
            session = repository.writable_session(_BRANCH)
            if self._name(repository, session.snapshot_id) != shown:
                raise overtaken(self._uri)
            run(_fill(session.store, entries, held, sent))
            ready()
            try:
                session.commit(f"mosaic {name}", metadata={_NAME: name})
            except icechunk.ConflictError as error:
                raise overtaken(self._uri) from error

    def prune(self, keep: int) -> int:
        """Expire the commits before the last `keep`, and remove what only they used.

        Raises
        ------
        StoreError
            No access.
        """
        with _reaching(self._uri):
            repository = self._repository()
            if repository is None:
                return 0
            ours = [each for each in repository.ancestry(branch=_BRANCH) if _NAME in each.metadata]
            if len(ours) <= keep:
                return 0
            # Who is about to commit anything older than that finds another commit before its own.
            since = ours[keep - 1].written_at
            repository.expire_snapshots(since)
            # Clocks differ, and what another push has just written has no commit yet.
            repository.garbage_collect(since - _CLOCKS_DIFFER)
            return len(ours) - keep

    def reaching(self) -> AbstractContextManager[None]:
        """Turn errors of Icechunk in the block into one sentence."""
        return _reaching(self._uri)

    def read(self) -> ZarrStore:
        """Return the last commit.

        Raises
        ------
        StoreError
            There is none, or no access.
        """
        with _reaching(self._uri):
            repository = self._repository()
            if repository is not None:
                session = repository.readonly_session(_BRANCH)
                if self._name(repository, session.snapshot_id) is not None:
                    return session.store
        raise nothing_shown(self._uri)

    def _repository(self) -> "Repository | None":
        import icechunk

        if self._folder is not None and not self._folder.is_dir():
            return None  # and nothing is made by looking
        if not icechunk.Repository.exists(self._storage):
            return None
        return icechunk.Repository.open(self._storage)


async def _fill(store: ZarrStore, entries: Entries, held: Digests, sent: Sent) -> None:
    """Bring the store from what it holds to the entries."""
    buffer = default_buffer_prototype().buffer
    slots = asyncio.Semaphore(_AT_ONCE)
    if not held:
        await store.clear()
    # Before the arrays change: a chunk outside of the new shape could not be named any more.
    for key in held:
        if key not in entries:
            await store.delete(key)

    async def carry(key: str) -> None:
        entry = entries[key]
        if held.get(key) == entry.sha256 and key != _ROOT:
            sent(key, 0)
            return
        async with slots:
            data = await asyncio.to_thread(entry.read)
            await store.set(key, buffer.from_bytes(data))
        sent(key, len(data))

    # Groups and arrays first: a chunk of an array that is not there yet is refused.
    described = sorted(key for key in entries if key.endswith("zarr.json"))
    for key in sorted(described, key=lambda key: key.count("/")):
        await carry(key)
    first = set(described)
    # None goes on after an error, while somebody tries again.
    await together(carry(key) for key in entries if key not in first)


def _storage(bucket: str, prefix: str, folder: Path | None) -> "Storage":
    import icechunk

    if folder is not None:
        # It warns that commits to a file system need a lock, which `locked` holds.
        if "ICECHUNK_LOG" not in os.environ:
            icechunk.set_logs_filter("error")
        return icechunk.local_filesystem_storage(str(folder))
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix,
        from_env=True,
        endpoint_url=endpoint,
        allow_http=bool(endpoint and endpoint.startswith("http://")),
        force_path_style=endpoint is not None,
    )


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """Turn errors of Icechunk into one sentence."""
    try:
        from icechunk import IcechunkError
    except ImportError as error:
        raise StoreError(
            "the package icechunk is not installed; pip install 'deepsalt[icechunk]'"
        ) from error
    try:
        yield
    except (IcechunkError, OSError) as error:
        # Its texts are drawn with lines, the reason in the first.
        lines = re.findall(r"[^\W_].*", str(error))
        reason = lines[0][:200].removeprefix("x ") if lines else type(error).__name__
        raise StoreError(f"{uri} cannot be read or written: {without_secrets(reason)}") from error
