"""Files on servers: which hrefs are URLs, what of them may be shown, how they are opened.

Credentials come from the environment that the cloud libraries read (``AWS_*``, ``GOOGLE_*``,
``AZURE_*``), or are part of a signed URL; no option, record, graph or message holds them.
"""

import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deepsalt.errors import ReadError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore

_CONNECT_TIMEOUT = timedelta(seconds=10)
_WEB = ("http", "https")
_CLOUDS = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "abfs", "abfss": "abfss"}
_NO_TIMEOUT = timedelta(days=1)  # large objects on slow links; who reads bounds the silence instead


def is_remote(href: str) -> bool:
    """Return whether this is a URL rather than a path."""
    return "://" in href or href.startswith("/vsi")


def without_secrets(text: str) -> str:
    """Return a text without users and queries of the URLs in it: signed URLs are keys."""
    return re.sub(r"(?<=://)[^/@\s]*@|\?[^\s'\"]*", "", text)


def client_options() -> "ClientConfig":
    """Return how servers of objects are spoken to."""
    return {
        "connect_timeout": _CONNECT_TIMEOUT,
        "timeout": _NO_TIMEOUT,
        "allow_http": True,  # matters where the URL, or an endpoint of the environment, says http
    }


def open_object(href: str) -> "tuple[ObjectStore, str]":
    """Return the store that holds an object, and the object's name in it; nothing is asked yet.

    Requests are not repeated here: who asks knows better what may pass.

    Raises
    ------
    ReadError
        Not a URL of a web server or object store, or credentials in the environment that cannot
        be used.
    """
    from obstore.exceptions import BaseError
    from obstore.store import HTTPStore, from_url

    parts = urlsplit(href)
    scheme = parts.scheme.lower()
    client = client_options()
    try:
        if scheme in _WEB:
            # The whole URL is the store: signature and escapes stay as they were given.
            return HTTPStore(href, client_options=client, retry_config={"max_retries": 0}), ""
        bucket = f"{_CLOUDS[scheme]}://{parts.netloc}"
        store: ObjectStore = from_url(
            bucket, config=None, client_options=client, retry_config={"max_retries": 0}
        )
        return store, parts.path.lstrip("/")
    except (BaseError, KeyError, ValueError) as error:
        cause = without_secrets(str(error).partition("\n")[0])
        raise ReadError(
            f"{without_secrets(href)} cannot be opened as an object on a server ({cause}); give a "
            f"URL of {', '.join([*_WEB, *_CLOUDS])}, and credentials in the environment"
        ) from None
