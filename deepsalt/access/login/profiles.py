"""Profiles: which hosts ask for which kind of login; those of `profiles.toml` and the user's."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

from deepsalt.access.hrefs import host_of
from deepsalt.access.login.places import config_folder, read_toml
from deepsalt.errors import UsageError

NEVER_TRIED = "never tried live"

KINDS = ("basic", "bearer", "form", "earthdata", "signed", "netrc", "s3")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_LISTS = frozenset({"hosts", "login_hosts"})
_SECRET = ("user", "password", "token")


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of login and the hosts that get it; it holds no secret.

    Parameters
    ----------
    name
        Its name, as `deepsalt login` knows it.
    kind
        One of `KINDS`.
    hosts
        Origins that get the credential, such as ``https://data.example.org``.
    login_hosts
        Origins of the login itself; a redirect to one asks for a login.
    login_url
        Where the login begins: a page that leads to a form (``form``), what gives tokens for a user
        and password (``earthdata``), or signs URLs (``signed``).
    user, password, token
        Environment variables with the secret; None for what the kind does not need.
    title, account, known
        What lies there, where to get an account, and what is known of the server.
    tried
        What was tried against the real server.
    """

    name: str
    kind: str
    hosts: tuple[str, ...]
    login_hosts: tuple[str, ...] = ()
    login_url: str | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None
    title: str = ""
    account: str = ""
    known: str = ""
    tried: str = NEVER_TRIED

    def covers(self, url: str) -> bool:
        """Return whether a URL lies on a host that gets the credential."""
        return origin_of(url) in self.hosts

    def is_door(self, url: str) -> bool:
        """Return whether a URL lies where the login is."""
        origin = origin_of(url)
        return origin in self.login_hosts and origin not in self.hosts


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, in the form of `Profile.hosts`."""
    return f"{url.partition('://')[0].lower()}://{host_of(url)}"


def profiles() -> tuple[Profile, ...]:
    """Return the user's profiles, then those of the package that they do not replace.

    Raises
    ------
    LoginError
        Others than the user may write the user's file.
    UsageError
        The user's file is wrong.
    """
    path = config_folder() / "access.toml"
    own = read_toml(path, private=False)
    text = files("deepsalt.access.login").joinpath("profiles.toml").read_text(encoding="utf-8")
    tables = {**own, **{n: t for n, t in tomllib.loads(text).items() if n not in own}}
    return tuple(_profile(name, table, str(path)) for name, table in tables.items())


def profile_named(name: str) -> Profile:
    """Return a profile.

    Raises
    ------
    LoginError, UsageError
        As of `profiles`, or there is none of the name.
    """
    known = {profile.name: profile for profile in profiles()}
    if name not in known:
        raise UsageError(
            f"there is no profile {name!r:.60}; name one of {', '.join(known)}, or add it to "
            f"{config_folder() / 'access.toml'}"
        )
    return known[name]


def _profile(name: str, table: Any, where: str) -> Profile:
    allowed = {field.name for field in fields(Profile)} - {"name"} | {"hosts_from"}
    if not isinstance(table, Mapping) or not set(table) <= allowed:
        strange = sorted(set(table) - allowed) if isinstance(table, Mapping) else [name]
        raise UsageError(
            f"{where}: profile {name} has the unknown entry {strange[0]!r:.60}; entries are "
            f"{', '.join(sorted(allowed))}"
        )
    for key, value in table.items():
        _check(key, value, f"{where}: profile {name}")
    if table.get("kind") not in KINDS:
        raise UsageError(f"{where}: profile {name} needs a kind, one of {', '.join(KINDS)}")
    if table["kind"] in {"form", "earthdata", "signed"} and not table.get("login_url"):
        raise UsageError(f"{where}: profile {name} is of kind {table['kind']}; give its login_url")
    entries = {key: value for key, value in table.items() if key != "hosts_from"}
    more = os.environ.get(table.get("hosts_from", ""), "").split(",")
    entries["hosts"] = _origins([*table.get("hosts", []), *more])
    doors = table.get("login_hosts") or [origin_of(table.get("login_url", ""))]
    entries["login_hosts"] = _origins([each for each in doors if each != "://"])
    return Profile(name=name, **entries)


def _check(key: str, value: object, where: str) -> None:
    """Refuse an entry of the wrong form; its value is not repeated, it may be a secret.

    Raises
    ------
    UsageError
        It is.
    """
    if key in _LISTS:
        if not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
            raise UsageError(f"{where} needs a list of hosts as {key}")
    elif not isinstance(value, str):
        raise UsageError(f"{where} needs a text as {key}")
    elif key in _SECRET and not _VARIABLE.fullmatch(value):
        raise UsageError(
            f"{where} needs the name of an environment variable as {key}, such as "
            f"DEEPSALT_{key.upper()}; secrets go into the environment or into "
            f"{config_folder() / 'secrets.toml'}"
        )


def _origins(hosts: list[str]) -> tuple[str, ...]:
    """Return hosts as origins; https where nothing else is said, once each."""
    given = (host.strip() for host in hosts)
    full = (host if "://" in host else f"https://{host}" for host in given if host)
    return tuple(dict.fromkeys(origin_of(host) for host in full))
