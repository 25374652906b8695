"""The same place, user and server for Icechunk, which has its own way to objects."""

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from deepsalt.errors import MissingObjectError
from deepsalt.objects.objects import Objects
from deepsalt.objects.settings import settings_of

if TYPE_CHECKING:
    from icechunk import Storage

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
    place = objects.place
    if "ICECHUNK_LOG" not in os.environ:
        # Commits to a folder are locked by who commits; what fails is said by our errors.
        icechunk.set_logs_filter("error")
    if place.kind == "file":
        return icechunk.local_filesystem_storage(place.prefix)
    if place.kind == "memory":
        objects.check_reachable()
        with _lock:
            if objects not in _in_memory:
                _in_memory[objects] = icechunk.in_memory_storage()
            return _in_memory[objects]
    _ask(objects)
    settings = settings_of(place)
    if place.kind == "s3":
        return icechunk.s3_storage(
            bucket=place.bucket,
            prefix=place.prefix,
            region=settings.region,
            endpoint_url=settings.endpoint,
            allow_http=settings.plain_http,
            force_path_style=settings.endpoint is not None and not settings.by_host,
            anonymous=settings.unsigned or None,
            from_env=None if settings.unsigned else True,
        )
    config = {"allow_http": "true"} if settings.plain_http else {}
    if place.kind == "gs":
        if settings.endpoint is not None:
            config["google_base_url"] = settings.endpoint
        return icechunk.gcs_storage(
            bucket=place.bucket,
            prefix=place.prefix,
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
        container=place.bucket,
        prefix=place.prefix,
        from_env=True,
        config=config,
    )


def _ask(objects: Objects) -> None:
    """Ask the server once: Icechunk takes half a minute to give up, and often cannot say why."""
    with contextlib.suppress(MissingObjectError):
        objects.read(_BRANCH)
