"""How servers are reached, from the environment; no secrets."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from deepsalt.errors import StoreAccessError
from deepsalt.objects.connection.credentials import aws_profile
from deepsalt.objects.location import StoreLocation

_TRUE = ("1", "true", "yes", "on")


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """How a server is reached.

    Parameters
    ----------
    endpoint
        Its URL; None for the cloud's own.
    region
        S3's region; None for the other clouds.
    unsigned
        Whether requests go without credentials, for public buckets.
    by_host
        Whether S3's bucket is part of the host instead of the path.
    account
        Azure's account.
    emulated
        Whether it is Azure's emulator on this machine.
    """

    endpoint: str | None = None
    region: str | None = None
    unsigned: bool = False
    by_host: bool = False
    account: str | None = None
    emulated: bool = False

    @property
    def plain_http(self) -> bool:
        """Whether the connection is not encrypted."""
        return self.emulated or (self.endpoint or "").startswith("http://")

    def bucket_endpoint(self, bucket: str) -> str:
        """Return the endpoint of S3 requests for a bucket."""
        if not self.by_host:
            return self.endpoint or ""
        scheme, _, host = (self.endpoint or "").partition("://")
        return f"{scheme}://{bucket}.{host}"


def settings_of(location: StoreLocation) -> BucketSettings:
    """Return the environment's settings for the server of a location.

    Raises
    ------
    StoreAccessError
        The endpoint is not a URL or holds credentials, or Azure's account is not named.
    """
    if location.kind == "s3":
        return _s3(location)
    if location.kind == "gs":
        emulator = _first("STORAGE_EMULATOR_HOST")
        if emulator and "://" not in emulator:
            emulator = f"http://{emulator}"
        endpoint = _endpoint("GOOGLE_BASE_URL", _first("GOOGLE_BASE_URL") or emulator)
        return BucketSettings(endpoint=endpoint, unsigned=_is_set("GOOGLE_SKIP_SIGNATURE"))
    if location.kind == "az":
        return _azure(location)
    return BucketSettings()


def _s3(location: StoreLocation) -> BucketSettings:
    profile = aws_profile()
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    endpoint = _endpoint("AWS_ENDPOINT_URL", _first(*names) or profile.get("endpoint_url"))
    by_host = _is_set("AWS_VIRTUAL_HOSTED_STYLE_REQUEST")
    return BucketSettings(
        endpoint=endpoint,
        region=_first("AWS_REGION", "AWS_DEFAULT_REGION") or profile.get("region", "us-east-1"),
        unsigned=_is_set("AWS_SKIP_SIGNATURE"),
        by_host=by_host,
    )


def _azure(location: StoreLocation) -> BucketSettings:
    account = location.account or _first("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
    emulated = _is_set("AZURE_STORAGE_USE_EMULATOR")
    if account is None and emulated:
        account = "devstoreaccount1"
    if account is None:
        raise StoreAccessError(
            f"{location} does not name an account; set AZURE_STORAGE_ACCOUNT_NAME, or write the "
            f"store as abfss://{location.bucket}@ACCOUNT.dfs.core.windows.net"
        )
    endpoint = _endpoint(
        "AZURE_STORAGE_ENDPOINT", _first("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    )
    return BucketSettings(
        endpoint=endpoint,
        account=account,
        unsigned=_is_set("AZURE_SKIP_SIGNATURE"),
        emulated=emulated,
    )


def _endpoint(name: str, found: str | None) -> str | None:
    """Return an endpoint without trailing slash; refuse an invalid one."""
    if found is None:
        return None
    try:
        parts = urlsplit(found)
        parts.port  # noqa: B018 - raises where the port is no number
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        # It is not repeated: it may hold a password.
        raise StoreAccessError(
            f"{name} is not an endpoint; give a URL without credentials, such as "
            f"https://s3.example.org"
        )
    return found.rstrip("/")


def _first(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in _TRUE
