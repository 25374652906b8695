"""Places that a mosaic can be pushed to, by their URI."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from deepsalt.errors import UsageError

KINDS = ("file", "s3", "icechunk+file", "icechunk+s3")


def folder_of(uri: str) -> Path | None:
    """Return the folder that a URI names; None where it names an object store."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme.endswith("file") else None


def kind_of(uri: str) -> str:
    """Return the kind of place that a URI names, one of `KINDS`.

    Raises
    ------
    UsageError
        No such kind of place, or credentials in the URI.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        # Without what urllib says: it repeats the URI, credentials included.
        raise UsageError("a place for mosaics is not written so; its host is not valid") from None
    if "@" in parts.netloc + parts.path or parts.query or parts.fragment:
        raise UsageError(
            "a place for mosaics takes no credentials, query or fragment; credentials are set in "
            "the environment (AWS_...)"
        )
    folder = parts.scheme.endswith("file")
    known = parts.scheme in KINDS and uri.lower().startswith(f"{parts.scheme}://")
    if not known or not (parts.path.strip("/") if folder else parts.netloc):
        raise UsageError(
            f"{uri!r:.200} is no place for mosaics; give a folder as file:///data/maps or "
            "icechunk+file:///data/maps, an object store as s3://bucket/prefix or "
            "icechunk+s3://bucket/prefix"
        )
    if folder and parts.netloc:
        raise UsageError(f"{uri!r:.200} names a host; write three slashes, as in file:///data")
    return parts.scheme
