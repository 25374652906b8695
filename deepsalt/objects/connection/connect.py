"""Connections to object stores, one per process, bucket, user and kind of request."""

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
"""`ask` for small requests, `once` without retries, `send` for large uploads."""

CONNECT = timedelta(seconds=5)
# Timeouts. The server is also silent while bytes are sent, hence two of them.
SILENCE: dict[Manner, timedelta] = {
    "ask": timedelta(seconds=15),
    "once": timedelta(seconds=15),
    "send": timedelta(minutes=5),
}
FIRST_WAIT = timedelta(milliseconds=200)
"""Pause before the second try of a request."""

_RETRIES = 3  # after server errors, broken connections and silence
UNTIL = timedelta(
    seconds=12
)  # after the first attempt; below 20 s in most cases, including timeouts

# A new connection costs 18 ms, mostly for reading certificates.
_open: "dict[tuple[object, ...], ObjectStore]" = {}
_lock = threading.Lock()
_used = _forked = False


def connect(location: StoreLocation, manner: Manner = "ask") -> "ObjectStore":
    """Return the store of a location's whole bucket, or of its folder; sends no request yet.

    Raises
    ------
    StoreError
        The environment has invalid settings or credentials, or this process was forked from one
        that had connections.
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
                # Without the library's text, which may repeat a mistyped key.
                raise StoreAccessError(
                    f"the environment's settings for {location.kind}://{location.bucket} are "
                    f"invalid; check the variables {PREFIXES[location.kind]}..."
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
            "init_backoff": FIRST_WAIT,
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
    # The name in AWS's own tools, which obstore names differently.
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
    """Refuse if there are neither keys nor a role."""
    roles = (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    role = any(os.environ.get(name) for name in roles)
    if not role and os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise StoreAccessError(
            f"the environment has no credentials for {location.kind}://{location.bucket}; set "
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
    """Remember that obstore's threads were left behind by a fork, so that requests would hang."""
    global _forked
    _forked = _forked or _used


os.register_at_fork(after_in_child=_after_fork)
