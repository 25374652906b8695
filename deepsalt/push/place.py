"""Places that a mosaic can be pushed to, by their URI."""

from urllib.parse import urlsplit

from deepsalt.errors import UsageError

KINDS = ("file", "s3", "icechunk+file", "icechunk+s3")


def kind_of(uri: str) -> str:
    """Return the kind of place that a URI names, one of `KINDS`.

    Raises
    ------
    UsageError
        No such kind of place, or credentials in the URI.
    """
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise UsageError(f"a place for mosaics is not written so ({error})") from error
    if "@" in parts.netloc + parts.path or parts.query or parts.fragment:
        raise UsageError(
            "a place for mosaics takes no credentials, query or fragment; credentials are set in "
            "the environment (AWS_...)"
        )
    folder = parts.scheme.endswith("file")
    if parts.scheme not in KINDS or not (parts.path.strip("/") if folder else parts.netloc):
        raise UsageError(
            f"{uri!r:.200} is no place for mosaics; give one as "
            f"{', '.join(f'{kind}://...' for kind in KINDS)}"
        )
    if folder and parts.netloc:
        raise UsageError(f"{uri!r:.200} names a host; write three slashes, as in file:///data")
    return parts.scheme
