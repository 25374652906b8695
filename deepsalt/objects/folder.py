"""Objects as files of a folder, by the operating system alone.

obstore's own file store does not sync to disk, so after a power cut a record could stay empty for
ever. Zarr's chunks use it all the same: they are synced as a whole before a marker names them.
"""

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deepsalt.errors import MissingObjectError, StoreError, StoreUnfitError
from deepsalt.inputs import read_regular
from deepsalt.objects.disk import sync, sync_tree, unstorable
from deepsalt.objects.entry import Entry

# Remains of killed writers, ours and obstore's: no key ends like that.
_TEMPORARY = re.compile(r"#\d+$")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True, slots=True)
class Folder:
    """The five verbs on files below `root`; callers check keys."""

    root: Path

    def read(self, key: str) -> bytes:
        """Return the bytes of a file."""
        path = self.root / key
        with _touching(path):
            try:
                return read_regular(path)
            except (FileNotFoundError, NotADirectoryError):
                raise MissingObjectError(f"{path} does not exist") from None
            except OSError:
                if path.is_dir():
                    raise MissingObjectError(f"{path} does not exist") from None
                raise

    def write(self, key: str, data: bytes) -> None:
        """Write a file to disk; readers see either the old or the new bytes."""
        path = self.root / key
        with _touching(path), _beside(path, data) as temporary:
            temporary.replace(path)
            sync(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        """Write a file if there is none; exactly one of many callers gets True."""
        path = self.root / key
        with _touching(path):
            if path.exists():
                return False
        with _touching(path), _beside(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                raise StoreUnfitError(
                    f"{self.root} cannot be a store: its file system cannot link files "
                    f"({error.strerror}), so two writers could overwrite each other; give a "
                    f"folder on another file system, or a bucket"
                ) from error
            sync(path.parent)
        return True

    def copy(self, source: str, key: str) -> None:
        """Copy a file."""
        self.write(key, self.read(source))

    def list(self, prefix: str, offset: str | None) -> Iterator[Entry]:
        """Yield the files below a prefix, in any order; links are followed."""
        start = self.root / prefix if prefix else self.root
        for entry in _files(start, ()):
            key = entry.path[len(str(self.root).rstrip("/")) + 1 :]
            if offset is not None and key <= offset:
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue  # removed meanwhile, or a link to nothing
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            yield Entry(key, status.st_size, modified)

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Return the names of the folders directly below a prefix."""
        start = self.root / prefix if prefix else self.root
        return tuple(sorted(entry.name for entry in _entries(start) if entry.is_dir()))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files, and folders left empty."""
        for key in keys:
            path = self.root / key
            with _touching(path):
                path.unlink(missing_ok=True)
                self._clear(path.parent)

    def settle(self, prefix: str) -> None:
        """Sync everything below a prefix to disk, and the folders above it."""
        path = self.root / prefix
        with _touching(path):
            sync_tree(path)
            for folder in path.parents:
                sync(folder)
                if folder == self.root:
                    return

    def _clear(self, folder: Path) -> None:
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:  # not empty, or already removed
                return
            folder = folder.parent


@contextmanager
def _beside(path: Path, data: bytes) -> Iterator[Path]:
    """Write a temporary file next to a path, on disk when the block starts, removed at its end."""
    temporary = path.with_name(f"{path.name}#{secrets.randbelow(10**12)}")
    while True:
        _make(path.parent)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            break
        except FileNotFoundError:
            continue  # another process removed the empty folder in between
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """Create a folder and its parents, on disk when this returns."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync(each.parent)


@contextmanager
def _touching(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if error.errno == errno.EISDIR:
            raise StoreError(
                f"{path} is a folder of other objects; give the object another name"
            ) from error
        raise unstorable(path, error) from error


def _files(folder: Path, above: tuple[tuple[int, int], ...]) -> "Iterator[os.DirEntry[str]]":
    """Yield the files below a folder; a link back to a folder above is not entered again."""
    for entry in _entries(folder):
        if not entry.is_dir():
            if not _TEMPORARY.search(entry.name):
                yield entry
            continue
        status = entry.stat()
        mark = (status.st_dev, status.st_ino)
        if mark not in above:
            yield from _files(Path(entry.path), (*above, mark))


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    with _touching(folder):
        try:
            with os.scandir(folder) as found:
                return [*found]
        except (FileNotFoundError, NotADirectoryError):
            return []
