"""Multihashes of files, as in STAC's ``file:checksum``, to verify that files are as catalogued.

Neither GDAL nor HDF5 detects every flipped bit: a deflated block is decoded until it is full, and
uncompressed data may be any number.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from deepsalt.access import is_remote
from deepsalt.errors import ReadError
from deepsalt.inputs import open_regular
from deepsalt.types import Acquisition, Asset

_SHA256 = "1220"
_HASHES = {_SHA256: "sha256", "1340": "sha512", "1114": "sha1", "d50110": "md5"}
"""hashlib's name by prefix of a multihash (algorithm and length)."""


def fits(path: Path, checksum: str | None) -> bool:
    """Return whether a file has this multihash; without one, or if unknown, return True."""
    for prefix, algorithm in _HASHES.items():
        if checksum and checksum.lower().startswith(prefix):
            return _digest(path, algorithm) == checksum.lower().removeprefix(prefix)
    return True


def with_checksums(acquisition: Acquisition) -> Acquisition:
    """Return a scene with checksums of its local files; reads every byte of them.

    Raises
    ------
    ReadError
        A file cannot be read.
    """
    known: dict[str, str] = {}

    def known_or_read(asset: Asset) -> Asset:
        if is_remote(asset.href):
            return asset
        if asset.href not in known:
            try:
                known[asset.href] = _SHA256 + _digest(Path(asset.href), "sha256")
            except OSError as error:
                raise ReadError(f"{asset.href} cannot be read: {error.strerror}") from error
        return replace(asset, checksum=known[asset.href])

    return replace(acquisition, assets=tuple(map(known_or_read, acquisition.assets)))


@contextmanager
def verified(acquisition: Acquisition) -> Iterator[None]:
    """Compare a scene's local files with their checksums while the block works on them.

    Raises
    ------
    ReadError
        At the end of the block: a file differs from what the catalogue says.
    """
    files = {
        asset.href: asset.checksum
        for asset in acquisition.assets
        if asset.checksum and not is_remote(asset.href)
    }
    pool = ThreadPoolExecutor(1, "checksum")
    try:
        checks = {href: pool.submit(fits, Path(href), files[href]) for href in files}
        yield
        for href, check in checks.items():
            try:
                same = check.result()
            except OSError as error:
                raise ReadError(f"{href} cannot be read: {error.strerror}") from error
            if not same:
                raise ReadError(
                    f"{href} does not have the checksum in its catalogue; restore it, or ingest "
                    f"the scene again if the change was intended, and run with --retry-quarantined"
                )
    finally:
        pool.shutdown(cancel_futures=True)


def _digest(path: Path, algorithm: str) -> str:
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
