"""Files on servers: which hrefs are URLs, their text without secrets, and opening buckets."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deepsalt.errors import ReadError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Credential

_CONNECT_TIMEOUT = timedelta(seconds=10)
DEFAULT_PORTS = {"http": 80, "https": 443}
_WEB = tuple(DEFAULT_PORTS)
_CLOUDS = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "abfs", "abfss": "abfss"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NO_TIMEOUT = timedelta(
    days=1
)  # large objects on slow links; the reader limits the silence instead


def is_remote(href: str) -> bool:
    """Return whether this is a URL rather than a path."""
    return "://" in href or href.startswith("/vsi")


def is_web(href: str) -> bool:
    """Return whether this is a URL of a web server."""
    return href.partition("://")[0].lower() in _WEB and "://" in href


def is_bucket(href: str) -> bool:
    """Return whether this is a URL of an object store."""
    return href.partition("://")[0].lower() in _CLOUDS and "://" in href


def host_of(href: str) -> str:
    """Return the server that a URL names, in canonical form, without its user.

    ``host`` or ``host:port`` of a web server, lower case, ``[address]:port`` of IPv6; of an object
    store its scheme and bucket, or Azure's account where the URL names it: ``s3://bucket``.

    A server may redirect to another one. Connections count for the server that the href names:
    where it redirects is known only after a request, and is its operator's choice.
    """
    scheme, _, rest = href.partition("://")
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].lower()
    scheme = scheme.lower()
    if scheme not in _WEB:
        return f"{_CLOUDS.get(scheme, scheme)}://{place}"
    return place.removesuffix(f":{DEFAULT_PORTS[scheme]}")


def without_secrets(text: str) -> str:
    """Return a text without users and queries of the URLs in it: signed URLs are keys."""
    return re.sub(r"(?<=://)[^/@\s]*@|\?[^\s'\"]*", "", text)


def client_options() -> "ClientConfig":
    """Return the connection settings of object stores."""
    return {
        "connect_timeout": _CONNECT_TIMEOUT,
        "timeout": _NO_TIMEOUT,
        "allow_http": True,  # matters if an endpoint of the environment uses http
    }


def open_bucket(
    href: str,
    options: "ClientConfig",
    retries: "RetryConfig",
    keys: "Callable[[], S3Credential] | None" = None,
) -> "ObjectStore":
    """Return the store that holds an object; nothing is asked yet.

    An href chooses a bucket and never a server: that is the provider's own, or the endpoint of the
    environment. Of Azure, whose hrefs may name an account, only the account of the environment is
    spoken to.

    Parameters
    ----------
    href
        URL of the object.
    options, retries
        How its server is spoken to beside `client_options`, and how often.
    keys
        Gives the present keys of S3, asked again when they expire. Default: what obstore finds.

    Raises
    ------
    ReadError
        The href is not a URL of an object store or names a server, or the environment's credentials
        are invalid.
    """
    from obstore.exceptions import BaseError
    from obstore.store import S3Store, from_url

    parts = urlsplit(href)
    client: ClientConfig = {**client_options(), **options}
    try:
        url = f"{_CLOUDS[parts.scheme.lower()]}://{_bucket(parts.netloc)}"
        if keys is not None:
            return S3Store.from_url(
                url, client_options=client, retry_config=retries, credential_provider=keys
            )
        return from_url(url, config=None, client_options=client, retry_config=retries)
    except (BaseError, KeyError, ValueError) as error:
        cause = without_secrets(str(error).partition("\n")[0])
        raise ReadError(
            f"{without_secrets(href)} cannot be opened as an object on a server ({cause}); give a "
            f"URL of {', '.join([*_WEB, *_CLOUDS])}, and credentials in the environment"
        ) from None


def _bucket(place: str) -> str:
    container, at, server = place.partition("@")
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    ours = {f"{account}.{kind}.core.windows.net" for kind in ("dfs", "blob")} if account else set()
    if not _BUCKET.fullmatch(container) or (at and server not in ours):
        raise ValueError(
            "it names a server; set AZURE_STORAGE_ACCOUNT_NAME or AWS_ENDPOINT_URL if it is yours"
        )
    return place
