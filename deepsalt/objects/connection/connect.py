"""Connections to servers of objects, one per process, bucket, user and manner of asking."""

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deepsalt.access import client_options
from deepsalt.errors import StoreAccessError, StoreError
from deepsalt.objects.connection.credentials import (
    PREFIXES,
    aws_keys,
    check_azure,
    check_google,
    fingerprint,
    has_aws_keys,
)
from deepsalt.objects.connection.settings import BucketSettings, settings_of
from deepsalt.objects.disk import storing
from deepsalt.objects.location import StoreLocation

if TYPE_CHECKING:
    from obstore.store import (
        AzureConfig,
        AzureStore,
        ClientConfig,
        GCSConfig,
        GCSStore,
        LocalStore,
        MemoryStore,
        ObjectStore,
        RetryConfig,
        S3Config,
        S3Store,
    )

Manner = Literal["ask", "once", "send"]
"""`ask` for small things, `once` without asking again, `send` for bytes that take their time."""

CONNECT = timedelta(seconds=5)
# The silence we bear. While bytes are sent the server is silent as well, hence two of them.
SILENCE: dict[Manner, timedelta] = {
    "ask": timedelta(seconds=15),
    "once": timedelta(seconds=15),
    "send": timedelta(minutes=5),
}
_FIRST_WAIT = timedelta(milliseconds=200)
_RETRIES = 3  # after server errors, broken connections and silence
UNTIL = timedelta(seconds=12)  # after the first attempt; with the silence below 20 s in most cases

# A new connection costs 18 ms, mostly for reading certificates.
_open: "dict[tuple[object, ...], ObjectStore]" = {}
_lock = threading.Lock()
_used = _forked = False


def connect(location: StoreLocation, manner: Manner = "ask") -> "ObjectStore":
    """Return the store of a location's whole bucket, or of its folder; nothing is asked yet.

    Raises
    ------
    StoreError
        The environment holds settings or credentials that cannot be used, or this process was
        forked from one that had connections.
    """
    if _forked:
        raise StoreError(
            f"{location} cannot be reached from a forked process; start processes by spawn or "
            "forkserver"
        )
    from obstore.exceptions import BaseError

    global _used
    _used = True
    if location.kind == "file":
        return _folder(location)
    settings = settings_of(location)
    if location.kind == "memory":
        manner = "ask"
    bucket = (location.kind, location.bucket, location.account)
    key = (*bucket, settings, fingerprint(location.kind), manner)
    with _lock:
        if key not in _open:
            try:
                _open[key] = _connected(location, settings, manner)
            except (BaseError, ValueError):
                # Without what they say: it may repeat a key that is not written right.
                raise StoreAccessError(
                    f"what the environment says about {location.kind}://{location.bucket} cannot "
                    f"be used; check the variables {PREFIXES[location.kind]}..."
                ) from None
        return _open[key]


def _connected(location: StoreLocation, settings: BucketSettings, manner: Manner) -> "ObjectStore":
    options: ClientConfig = {
        **client_options(),
        "allow_http": settings.plain_http,
        "connect_timeout": CONNECT,
        "read_timeout": SILENCE[manner],
    }
    retries: RetryConfig = {
        "max_retries": 0 if manner == "once" else _RETRIES,
        "retry_timeout": UNTIL,
        "backoff": {
            "init_backoff": _FIRST_WAIT,
            "max_backoff": timedelta(seconds=3),
            "base": 2,
        },
    }
    if location.kind == "s3":
        return _s3(location, settings, options, retries)
    if location.kind == "gs":
        return _gs(location, settings, options, retries)
    if location.kind == "az":
        return _az(location, settings, options, retries)
    return _memory()


def _s3(
    location: StoreLocation,
    settings: BucketSettings,
    options: "ClientConfig",
    retries: "RetryConfig",
) -> "S3Store":
    from obstore.store import S3Store

    config: S3Config = {"virtual_hosted_style_request": settings.by_host}
    if settings.region is not None:
        config["region"] = settings.region
    if settings.endpoint is not None:
        config["endpoint"] = settings.bucket_endpoint(location.bucket)
    if settings.unsigned:
        config["skip_signature"] = True
    # The name by which AWS's own tools know what obstore calls otherwise.
    if machine := os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        config["metadata_endpoint"] = machine
    keys = not settings.unsigned and has_aws_keys()
    if not settings.unsigned and not keys:
        _refuse_nobody(location)
    return S3Store(
        location.bucket,
        config=config,
        client_options=options,
        retry_config=retries,
        credential_provider=aws_keys if keys else None,
    )


def _refuse_nobody(location: StoreLocation) -> None:
    """Refuse where there are no keys and no role to ask for."""
    roles = (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    role = any(os.environ.get(name) for name in roles)
    if not role and os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise StoreAccessError(
            f"no credentials for {location.kind}://{location.bucket} are in the environment; set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )


def _gs(
    location: StoreLocation,
    settings: BucketSettings,
    options: "ClientConfig",
    retries: "RetryConfig",
) -> "GCSStore":
    from obstore.store import GCSStore

    config: GCSConfig = {}
    if settings.endpoint is not None:
        config["base_url"] = settings.endpoint
    if settings.unsigned:
        config["skip_signature"] = True
    else:
        check_google()
    return GCSStore(location.bucket, config=config, client_options=options, retry_config=retries)


def _az(
    location: StoreLocation,
    settings: BucketSettings,
    options: "ClientConfig",
    retries: "RetryConfig",
) -> "AzureStore":
    from obstore.store import AzureStore

    config: AzureConfig = {}
    if settings.account is not None:
        config["account_name"] = settings.account
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    if settings.unsigned:
        config["skip_signature"] = True
    else:
        check_azure()
    return AzureStore(location.bucket, config=config, client_options=options, retry_config=retries)


def _folder(location: StoreLocation) -> "LocalStore":
    from obstore.store import LocalStore

    with storing(Path(location.prefix)):
        Path(location.prefix).mkdir(parents=True, exist_ok=True)
    return LocalStore(location.prefix)


def _memory() -> "MemoryStore":
    from obstore.store import MemoryStore

    return MemoryStore()


def _after_fork() -> None:
    """Remember that threads of obstore were left behind: whoever asks would wait for ever."""
    global _forked
    _forked = _forked or _used


os.register_at_fork(after_in_child=_after_fork)
