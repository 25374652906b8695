"""The same location, user and server for Icechunk, which has its own way to objects."""

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

    No secret is in it or in its pickle: credentials are looked up where requests are made, in the
    order in which `Objects` looks.

    Raises
    ------
    StoreError
        The server does not let us read, or the objects are in another process's memory.
    """
    import icechunk

    objects = objects.below(prefix)
    location = objects.location
    if "ICECHUNK_LOG" not in os.environ:
        # Commits to a folder are locked by who commits; what fails is said by our errors.
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

    Icechunk writes the first objects of a repository side by side, and refuses a location that has
    some of them: a kill or a lost answer would close the location for good. So they are made in a
    folder and carried over, each where it is missing, the branch last: a repository is there when
    its branch is. Any number of callers may do this at once.

    Raises
    ------
    StoreError
        The store does not let us.
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
    """Ask the server once: Icechunk takes half a minute to give up, and often cannot say why."""
    with contextlib.suppress(MissingObjectError):
        objects.read(_BRANCH)
