"""Secrets of a profile: from the environment, the user's `secrets.toml`, or netrc.

The first source that has all that the kind of login needs is taken. Files that others may read are
refused. No message repeats a value, and no error keeps one in what it was raised from.
"""

import json
import netrc
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deepsalt.access.login.places import config_folder, read_owned, read_toml
from deepsalt.access.login.profiles import Profile
from deepsalt.documents import replacing
from deepsalt.errors import LoginError, StoreError

_PAIR = ("user", "password")
NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "basic": (_PAIR,),
    "netrc": (_PAIR,),
    "form": (_PAIR,),
    "bearer": (("token",),),
    "earthdata": (("token",), _PAIR),
    "signed": ((),),
    "s3": (),
}
"""What each kind of login needs; one of the alternatives."""


class Hidden:
    """A value without text, which stays in its process."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> str:
        raise TypeError("secrets stay in their process")


@dataclass(frozen=True, slots=True, repr=False)
class Secret(Hidden):
    """A user's secret for a profile; parts that the source does not have are empty.

    Parameters
    ----------
    source
        Where it comes from, for people.
    user, password, token
        The secret.
    """

    source: str
    user: str = ""
    password: str = ""
    token: str = ""


def secret_of(profile: Profile) -> Secret | None:
    """Return the secret of a profile as its sources have it now; None if none has.

    Raises
    ------
    LoginError
        A file may be read by others, or is damaged, or a source has a part of it only.
    """
    names = {key: getattr(profile, key) for key in ("user", "password", "token")}
    given = {key: os.environ.get(name, "") for key, name in names.items() if name}
    found = _complete(profile, given, "the environment")
    if found is None and any(given.values()):
        missing = [names[key] for key, value in given.items() if not value and key != "token"]
        raise LoginError(
            f"the environment has only a part of the login of profile {profile.name}; set "
            f"{' and '.join(missing)}, too"
        )
    return found or _from_file(profile) or _from_netrc(profile) or _complete(profile, {}, "nothing")


def what_to_set(profile: Profile) -> str:
    """Return how to give the secret of a profile, as the end of a sentence."""
    if profile.kind == "netrc":
        return f"add its host to {_netrc_path()}"
    ways = [
        " and ".join(filter(None, (getattr(profile, key) for key in keys)))
        for keys in NEEDS.get(profile.kind, ())
    ]
    named = " or ".join(filter(None, ways))
    kept = f"add [{profile.name}] to {secrets_path()} (docs/access.md)"
    return f"set {named}, or {kept}" if named else kept


def parts_needed(profile: Profile) -> tuple[str, ...]:
    """Return the parts of a secret that a person is asked for."""
    return NEEDS[profile.kind][-1]


def secrets_path() -> Path:
    """Return the user's file of secrets."""
    return config_folder() / "secrets.toml"


def keep_secret(profile: Profile, secret: Secret) -> Path:
    """Write a secret into the user's file, which only they may read; return the file.

    Raises
    ------
    LoginError
        Others may read the file as it is, or it is damaged.
    StoreError
        It cannot be written.
    """
    path = secrets_path()
    tables = {**read_toml(path, private=True), profile.name: _parts(secret)}
    # A JSON text is a TOML text, too.
    lines = [
        line
        for name, table in tables.items()
        for line in (
            f"[{json.dumps(name)}]",
            *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()),
            "",
        )
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replacing(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write("\n".join(lines))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}); check its permissions"
        ) from None
    return path


def _parts(secret: Secret) -> dict[str, str]:
    parts = {"user": secret.user, "password": secret.password, "token": secret.token}
    return {key: value for key, value in parts.items() if value}


def _complete(profile: Profile, given: Mapping[str, object], source: str) -> Secret | None:
    """Return what a source gives if that is enough.

    Raises
    ------
    LoginError
        A part cannot be sent: it is not a text, or has line breaks or the like.
    """
    values: dict[str, str] = {}
    for key, value in given.items():
        if not isinstance(value, str) or not value.isprintable():
            raise LoginError(
                f"{source} has a {key} for profile {profile.name} that is not a line of text; "
                "set it again"
            )
        values[key] = value.strip() if key == "token" else value
    if not any(all(values.get(key) for key in keys) for keys in NEEDS[profile.kind]):
        return None
    return Secret(source, **values)


def _from_file(profile: Profile) -> Secret | None:
    if profile.kind == "netrc":
        return None
    path = secrets_path()
    table = read_toml(path, private=True).get(profile.name, {})
    if not isinstance(table, Mapping):
        raise LoginError(f"{path} needs a table [{profile.name}]; an example is in docs/access.md")
    parts = {key: table[key] for key in ("user", "password", "token") if key in table}
    return _complete(profile, parts, str(path)) if parts else None


def _from_netrc(profile: Profile) -> Secret | None:
    """Return user and password of the first host of a profile that netrc names.

    Its entry for any other host is not taken: it would send them wherever a catalogue says.
    """
    path = _netrc_path()
    if _PAIR not in NEEDS[profile.kind] or read_owned(path, private=True) is None:
        return None
    entries = None
    with suppress(netrc.NetrcParseError, UnicodeDecodeError, OSError):
        entries = netrc.netrc(str(path)).hosts
    if entries is None:  # outside of the block: the parser's error quotes the file
        raise LoginError(f"{path} is not a valid netrc file; correct it")
    for origin in (*profile.hosts, *profile.login_hosts):
        entry = entries.get(urlsplit(origin).hostname or "")
        if entry is not None:
            return _complete(profile, {"user": entry[0], "password": entry[2]}, str(path))
    return None


def _netrc_path() -> Path:
    return Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
