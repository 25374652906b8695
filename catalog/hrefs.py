"""Where the files of an Item are: untrusted hrefs to absolute paths and URLs, and back."""

import os.path
from functools import lru_cache
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from catalog.fields import shown
from deepsalt.errors import FormatError

_REMOTE = frozenset({"http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss"})
_MAX_LENGTH = 4096


def has_url_scheme(href: str) -> bool:
    """Return whether an href is a URL of an object store or web server."""
    # Not `deepsalt.access.is_remote`, which tells for checked hrefs whether the file is remote,
    # GDAL's virtual files included. These are unchecked: a scheme counts even without // and after
    # spaces, and an unknown scheme does not make a server of an Item's source.
    return href.lstrip().partition(":")[0].lower() in _REMOTE


@lru_cache(maxsize=8)
def _is_server(base: str | None) -> bool:
    """Return whether an Item came from a server; called for each of its files."""
    return base is not None and has_url_scheme(base)


def without_credentials(url: str) -> str:
    """Return a URL without user, password, query and fragment, for messages and logs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def absolute_href(href: object, base: str | None, where: str) -> str:
    """Return an asset's href as an absolute path or URL.

    Parameters
    ----------
    href
        Href of the asset: URL, ``file://`` URL, absolute or relative path.
    base
        Where the Item itself was read (path or URL); None if unknown.
    where
        Which asset of which Item, for messages.

    Raises
    ------
    FormatError
        It is not an href; has an unsupported scheme, GDAL's virtual files included; is a local file
        named by an Item from a server; or is relative without a base.
    """
    resolved = _checked(href, base, where)
    # After resolving the path, which may lead there: /data/../vsicurl/...
    if resolved.startswith("/vsi"):  # GDAL would open archives, memory and servers through these
        raise FormatError(
            f"{where} points to GDAL's virtual file {shown(href)}; give the real file"
        )
    return resolved


def _checked(href: object, base: str | None, where: str) -> str:
    if not isinstance(href, str) or not href.strip() or len(href) > _MAX_LENGTH:
        raise FormatError(f"{where} has {shown(href)} as 'href'; expected a path or URL")
    if not href.isprintable() and min(href) < " ":  # the first is faster, and nearly always true
        raise FormatError(f"{where} has an 'href' with control characters: {shown(href)}")
    if "<" in href:  # GDAL takes XML in place of a name for the file itself
        raise FormatError(f"{where} has an 'href' with '<', {shown(href)}; expected a path or URL")
    scheme = href.lstrip().partition(":")[0].lower() if "://" in href else ""
    from_server = _is_server(base)
    if scheme in _REMOTE:
        try:
            urlsplit(href)
        except ValueError:  # a host in brackets that is not an address
            raise FormatError(
                f"{where} has {shown(href)} as 'href', which is not a valid URL"
            ) from None
        return href
    if scheme == "file" and not from_server and urlsplit(href).netloc in {"", "localhost"}:
        href = unquote(urlsplit(href).path)
    elif scheme:
        raise FormatError(
            f"{where} points to {shown(href)}; expected a path or a URL of "
            f"{', '.join(sorted(_REMOTE))}"
        )
    return _resolved(href, base, where)


def _resolved(href: str, base: str | None, where: str) -> str:
    if base is not None and _is_server(base):
        return _joined(href, base, where)
    if os.path.isabs(href):
        return os.path.normpath(href)
    if base is None:
        raise FormatError(
            f"{where} has the relative href {shown(href)}, but the Item's location is unknown; "
            f"read the Item from its catalogue, or give absolute hrefs"
        )
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(base)), href))


def _joined(href: str, base: str, where: str) -> str:
    """Return a relative href of an Item from a server as a URL, which must be of a server, too."""
    scheme, _, place = base.partition("://")
    # urljoin joins to http URLs, but leaves names such as file:/etc/passwd unchanged.
    try:
        joined = urljoin(f"http://{place}", href)
    except ValueError:  # a host in brackets that is not an address
        joined = ""
    if not joined.startswith("http://"):
        raise FormatError(
            f"{where} points to {shown(href)} but came from a server; expected a relative path or "
            f"a URL of {', '.join(sorted(_REMOTE))}"
        )
    return f"{scheme}://{joined.removeprefix('http://')}"


def portable_href(href: str, folder: str, item_folder: str) -> str:
    """Return the href to write into a catalogue that may be moved.

    Parameters
    ----------
    href
        Absolute path or URL.
    folder
        Folder of the catalogue: files inside it get hrefs relative to the Item.
    item_folder
        Folder of the Item's own file.
    """
    if has_url_scheme(href) or not os.path.isabs(href):
        return href
    inside = os.path.commonpath([os.path.abspath(folder), href]) == os.path.abspath(folder)
    return os.path.relpath(href, item_folder) if inside else href
