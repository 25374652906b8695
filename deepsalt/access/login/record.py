"""What an operator has tried live: the last success of each profile, in the user's own folder."""

import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from deepsalt.access.hrefs import host_of, is_web
from deepsalt.access.login.places import config_folder
from deepsalt.access.login.profiles import Profile
from deepsalt.access.reach import LOOPBACK, network_of, port_of, resolve
from deepsalt.documents import read_json, write_json


def note_success(name: str, url: str) -> bool:
    """Record that a file came by a profile, today; return whether it counts.

    A server of this machine does not: it is a test.

    Raises
    ------
    FormatError
        The record is damaged.
    StoreError
        It cannot be written.
    """
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = next(
        filter(None, (os.environ.get(each) for each in names)), "https://s3.amazonaws.com"
    )
    server = url if is_web(url) else endpoint
    try:
        found = resolve(urlsplit(server).hostname or "", port_of(server))
    except (OSError, UnicodeError):  # only a proxy knows it
        found = []
    if any(network_of(each) == LOOPBACK for each in found):
        return False
    known = _record()
    known[name] = {"date": datetime.now(UTC).date().isoformat(), "host": host_of(url)}
    write_json(_path(), known)
    return True


def tried(profile: Profile) -> str:
    """Return what was tried live of a profile: by this user, or else what the profile says.

    Raises
    ------
    FormatError
        The record is damaged.
    """
    entry = _record().get(profile.name)
    if not isinstance(entry, dict):
        return profile.tried
    return f"worked on {entry.get('date')} with {entry.get('host')}"


def _path() -> Path:
    return config_folder() / "checks.json"


def _record() -> dict[str, object]:
    return read_json(_path()) if _path().exists() else {}
