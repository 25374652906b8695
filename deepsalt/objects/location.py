"""Where a store is: a folder, a prefix of a bucket, or a name in this process; and keys in it."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from deepsalt.errors import UsageError

StoreKind = Literal["file", "s3", "gs", "az", "memory"]

_HELP = (
    "give a folder, or s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, "
    "abfss://container@account.dfs.core.windows.net/prefix or memory://name"
)
_SCHEMES: dict[str, StoreKind] = {
    "file": "file",
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
    "memory": "memory",
}
_AZURE_HOST = ".dfs.core.windows.net"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_KEY_BYTES = 1000  # S3 takes 1024, the other clouds at least as many
_LONGEST_NAME_BYTES = 200  # file systems take 255, and temporary names are longer
# Not names on every kind of store: they end lines, separate, escape or match.
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\%#?*]")


@dataclass(frozen=True, slots=True)
class StoreLocation:
    """Location of objects.

    Parameters
    ----------
    kind
        Which kind of store.
    bucket
        The bucket or container, or the name in memory; empty for folders.
    prefix
        Common start of all keys, without slashes at its ends; the absolute path of a folder.
    account
        Azure's account if the URI names it; otherwise the environment does.
    """

    kind: StoreKind
    bucket: str
    prefix: str
    account: str = ""

    @classmethod
    def of(cls, text: str | os.PathLike[str]) -> "StoreLocation":
        """Parse a path or URI.

        Raises
        ------
        UsageError
            The scheme is not supported, the text has credentials or a query, has no bucket, or is
            not a valid path.
        """
        if not isinstance(text, str):
            return _folder(Path(text))
        if text.startswith(("/", "./", "../", "~")):
            return _folder(Path(text))
        scheme, colon, rest = text.partition(":")
        known = scheme.lower() in _SCHEMES
        if colon and not rest.startswith("//") and (known or "@" in rest):
            raise UsageError(f"a store's URI needs // after {_shown(scheme)}:, as in s3://bucket")
        if not colon or not rest.startswith("//"):
            return _folder(Path(text))
        if not known:
            raise UsageError(f"{_shown(scheme)}:// cannot hold a store; {_HELP}")
        return _parsed(text, _SCHEMES[scheme.lower()])

    @property
    def uri(self) -> str:
        """The location as a URI that `of` accepts, without credentials."""
        if self.kind == "file":
            return f"file://{quote(self.prefix)}"
        if self.account:
            root = f"abfss://{self.bucket}@{self.account}{_AZURE_HOST}"
        else:
            root = f"{self.kind}://{self.bucket}"
        return f"{root}/{quote(self.prefix)}" if self.prefix else root

    def __str__(self) -> str:
        return self.prefix if self.kind == "file" else unquote(self.uri)

    def below(self, prefix: str) -> "StoreLocation":
        """Return the location of the keys that start with a prefix."""
        return replace(self, prefix=self.full(prefix))

    def full(self, key: str) -> str:
        """Return a key of this location as a key of its bucket, or as a path.

        Raises
        ------
        UsageError
            The key is not valid on every kind of store.
        """
        check_key(key)
        full = f"{self.prefix.rstrip('/')}/{key}" if self.prefix else key
        if self.kind != "file" and len(full.encode()) > _LONGEST_KEY_BYTES:
            raise UsageError(
                f"{full[:100]}... is longer than {_LONGEST_KEY_BYTES} bytes; give the store a "
                f"shorter prefix"
            )
        return full


def check_key(key: str) -> None:
    """Refuse a key that is invalid or leads outside the location.

    Raises
    ------
    UsageError
        It is empty or too long, starts or ends with a slash, or has a part that is empty, ``.``,
        ``..`` or contains a character that stores treat differently.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise UsageError(f"{key!r:.200} is not a valid key: its parts must not be empty, . or ..")
    if found := _UNFIT.search(key):
        raise UsageError(f"{key!r:.200} is not a valid key: not every store allows {found[0]!r}")
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        raise UsageError(f"{key!r:.200} is not a valid key: it is not text") from None
    if longest > _LONGEST_NAME_BYTES or len(key.encode()) > _LONGEST_KEY_BYTES:
        raise UsageError(
            f"{key[:100]}... is not a valid key: a part may have {_LONGEST_NAME_BYTES} bytes, the "
            f"whole key {_LONGEST_KEY_BYTES}"
        )


def _folder(path: Path) -> StoreLocation:
    if "\0" in str(path):
        raise UsageError(f"{str(path)!r:.200} is not a path")
    try:
        absolute = os.path.abspath(path.expanduser())
    except (RuntimeError, OSError) as error:  # ~nobody, or a removed working folder
        raise UsageError(
            f"{path} cannot be made absolute ({error}); give an absolute path"
        ) from error
    return StoreLocation("file", "", absolute)


def _parsed(text: str, kind: StoreKind) -> StoreLocation:
    """Parse a URI of a known scheme; messages never repeat parts that may be secret."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UsageError(f"the store's URI is malformed; {_HELP}") from None
    host = parts.netloc
    account = ""
    if kind == "az" and host.endswith(_AZURE_HOST) and host.count("@") == 1:
        host, _, account = host.removesuffix(_AZURE_HOST).partition("@")
    if "@" in host or parts.query or parts.fragment or "?" in text or "#" in text:
        raise UsageError(
            "a store's URI must not have credentials, query or fragment; set credentials in the "
            "environment (AWS_..., GOOGLE_..., AZURE_...)"
        )
    if kind == "file":
        if host not in ("", "localhost"):
            raise UsageError(
                f"{text!r:.200} names a host; write three slashes, as in file:///data, or a path"
            )
        if not parts.path.startswith("/"):
            raise UsageError(f"{text!r:.200} does not name a folder; write it as file:///data")
        return _folder(Path(unquote(parts.path)))
    if not _BUCKET.fullmatch(host) or (account and not account.isalnum()):
        raise UsageError(f"{text!r:.200} has no valid bucket name; {_HELP}")
    prefix = unquote(parts.path).strip("/")
    if prefix:
        check_key(prefix)
    return StoreLocation(kind, host, prefix, account)


def _shown(scheme: str) -> str:
    return scheme if re.fullmatch(r"[A-Za-z0-9+.-]{1,20}", scheme) else "..."
