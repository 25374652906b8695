"""The same location, user and server for Icechunk, which accesses objects by itself."""

import contextlib
import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

from deepsalt.errors import MissingObjectError
from deepsalt.objects.connection.settings import settings_of
from deepsalt.objects.disk import storing
from deepsalt.objects.objects import Objects

if TYPE_CHECKING:
    from icechunk import RepositoryConfig, Storage

_in_memory: "dict[Objects, Storage]" = {}
_lock = threading.Lock()
_BRANCH = "refs/branch.main/ref.json"  # what Icechunk reads first


def icechunk_storage(objects: Objects, prefix: str) -> "Storage":
    """Return Icechunk's storage of the keys below a prefix.

    Neither it nor its pickle contains secrets: credentials are looked up where requests are made,
    in the same order as `Objects` does.

    Raises
    ------
    StoreError
        The server refuses to read, or the objects are in another process's memory.
    """
    import icechunk

    objects = objects.below(prefix)
    location = objects.location
    if "ICECHUNK_LOG" not in os.environ:
        # The caller locks commits to a folder; our errors report failures.
        icechunk.set_logs_filter("error")
    if location.kind == "file":
        return icechunk.local_filesystem_storage(location.prefix)
    if location.kind == "memory":
        objects.check_reachable()
        with _lock:
            if objects not in _in_memory:
                _in_memory[objects] = icechunk.in_memory_storage()
            return _in_memory[objects]
    _ask(objects)
    settings = settings_of(location)
    if location.kind == "s3":
        return icechunk.s3_storage(
            bucket=location.bucket,
            prefix=location.prefix,
            region=settings.region,
            endpoint_url=settings.endpoint,
            allow_http=settings.plain_http,
            force_path_style=settings.endpoint is not None and not settings.by_host,
            anonymous=settings.unsigned or None,
            from_env=None if settings.unsigned else True,
        )
    config = {"allow_http": "true"} if settings.plain_http else {}
    if location.kind == "gs":
        if settings.endpoint is not None:
            config["google_base_url"] = settings.endpoint
        return icechunk.gcs_storage(
            bucket=location.bucket,
            prefix=location.prefix,
            anonymous=settings.unsigned or None,
            from_env=None if settings.unsigned else True,
            config=config,
        )
    if settings.endpoint is not None:
        config["azure_storage_endpoint"] = settings.endpoint
    if settings.unsigned:
        config["azure_skip_signature"] = "true"
    return icechunk.azure_storage(
        account=settings.account or "",
        container=location.bucket,
        prefix=location.prefix,
        from_env=True,
        config=config,
    )


def create_repository(objects: Objects, prefix: str, config: "RepositoryConfig") -> None:
    """Create an empty repository, or finish one whose creation was cut short.

    Icechunk writes the first objects of a repository concurrently, and refuses a location that has
    some of them: a kill or a lost answer would make the location unusable. So they are created in a
    folder and copied over where missing, the branch last: a repository exists once its branch does.
    Any number of callers may do this at once.

    Raises
    ------
    StoreError
        The store cannot be reached, or refuses.
    """
    import icechunk

    if objects.location.kind == "memory":
        storage = icechunk_storage(objects, prefix)
        with _lock:
            if not icechunk.Repository.exists(storage):
                icechunk.Repository.create(storage, config=config)
        return
    with storing(Path(gettempdir())), TemporaryDirectory(prefix="deepsalt-") as folder:
        icechunk.Repository.create(icechunk.local_filesystem_storage(folder), config=config)
        files = [each for each in Path(folder).rglob("*") if each.is_file()]
        first = {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}
    for name in sorted(first, key=lambda name: (name == _BRANCH, name)):
        objects.below(prefix).create(name, first[name])


def _ask(objects: Objects) -> None:
    """Send one request first: Icechunk takes half a minute to give up, often without a reason."""
    with contextlib.suppress(MissingObjectError):
        objects.read(_BRANCH)
