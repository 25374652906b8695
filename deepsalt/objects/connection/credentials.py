"""Credentials for object stores, read from the environment for each request.

What the two underlying libraries support by themselves (obstore 0.12, icechunk 1.1):

=====================================================  =======  ========
source                                                 obstore  icechunk
=====================================================  =======  ========
``AWS_ACCESS_KEY_ID`` ... ``AWS_SESSION_TOKEN``        yes      yes
profile with keys or ``credential_process``            no       yes
profile with a role or single sign-on                  no       yes
``AWS_WEB_IDENTITY_TOKEN_FILE``, containers, machines  yes      yes
``AWS_SKIP_SIGNATURE``                                 yes      no
``AWS_REGION``, ``AWS_ENDPOINT_URL``                   yes      no
``GOOGLE_APPLICATION_CREDENTIALS``, metadata server    yes      yes
``AZURE_STORAGE_ACCOUNT_KEY``, ``..._SAS_TOKEN``       yes      yes
=====================================================  =======  ========

Both look in the same order, so they act as the same user. `aws_keys` adds profiles to obstore,
`settings` adds region, endpoint and unsigned requests to Icechunk. What neither supports is refused
with a remedy.

`aws_keys` is called where requests are made, and again before its keys expire. It is pickled by
name: secrets stay in the environment of each process.
"""

import configparser
import os
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from deepsalt.errors import StoreAccessError
from deepsalt.inputs import parse_json
from deepsalt.objects.location import StoreKind

if TYPE_CHECKING:
    from obstore.store import S3Credential

LOOK_AGAIN = timedelta(minutes=1)
"""Files and variables may be renewed at any time; reading them takes a millisecond."""

_PROCESS_PATIENCE_S = 15.0
PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
_BY_ROLE = ("role_arn", "sso_session", "sso_start_url", "login_session")


def aws_keys() -> "S3Credential":
    """Return the present keys of the environment or the profile.

    Raises
    ------
    StoreAccessError
        There are no keys, or they are invalid.
    """
    found = _from_variables() or _from_profile()
    if found is None:
        raise StoreAccessError(
            "the environment has no credentials for S3; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        )
    return found


def has_aws_keys() -> bool:
    """Whether the environment or the profile has keys; otherwise the machine may have a role.

    Raises
    ------
    StoreAccessError
        There are keys, but they are invalid.
    """
    if _from_variables() is not None:
        return True
    profile = aws_profile()
    if _names_keys(profile):
        return True
    if profile.named and any(name in profile for name in _BY_ROLE):
        raise StoreAccessError(
            f"the profile {profile.name} uses a role or single sign-on, which only AWS's own "
            f"tools support; give a profile with the line credential_process = aws configure "
            f"export-credentials --profile {profile.name}"
        )
    return False


class Profile(dict[str, str]):
    """The profile in use, from AWS's files.

    Parameters
    ----------
    name
        Its name.
    named
        Whether the environment names it; otherwise it is the default.
    """

    def __init__(self, name: str, *, named: bool) -> None:
        super().__init__()
        self.name = name
        self.named = named


def aws_profile() -> Profile:
    """Return the profile in use; empty if there is none.

    Raises
    ------
    StoreAccessError
        The environment names a profile that no file defines, or a file cannot be read.
    """
    name = _variable("AWS_PROFILE") or _variable("AWS_DEFAULT_PROFILE") or ""
    profile = Profile(name or "default", named=bool(name))
    config = Path(_variable("AWS_CONFIG_FILE") or "~/.aws/config")
    shared = Path(_variable("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    section = profile.name if profile.name == "default" else f"profile {profile.name}"
    sections = [
        _read_section(config, section, profile),
        _read_section(shared, profile.name, profile),
    ]
    if profile.named and not any(sections):
        raise StoreAccessError(
            f"AWS_PROFILE is {profile.name}, which is neither in {config} nor in {shared}; name a "
            f"profile that is"
        )
    return profile


def fingerprint(kind: StoreKind) -> int:
    """Return a value that changes when the environment names another user."""
    prefix = PREFIXES.get(kind)
    if prefix is None:
        return 0
    return hash(tuple(sorted(each for each in os.environ.items() if each[0].startswith(prefix))))


def check_google() -> None:
    """Refuse Google credentials that neither library supports.

    Raises
    ------
    StoreAccessError
        The file is missing, unreadable or has another type.
    """
    file = _variable("GOOGLE_APPLICATION_CREDENTIALS")
    if file is None:
        return
    try:
        kind = parse_json(Path(file).read_bytes())["type"]
    except OSError as error:
        raise StoreAccessError(
            f"GOOGLE_APPLICATION_CREDENTIALS names {file}, which cannot be read "
            f"({error.strerror}); name a file with credentials"
        ) from error
    except (ValueError, KeyError, TypeError):
        raise StoreAccessError(
            f"{file} does not hold Google credentials; name another file"
        ) from None
    if kind not in ("service_account", "authorized_user"):
        raise StoreAccessError(
            f"{file} holds credentials of the unsupported type {kind!r:.40}; name those of a "
            f"service account, or unset GOOGLE_APPLICATION_CREDENTIALS on a Google machine"
        )


def check_azure() -> None:
    """Refuse variables of Azure's tools that neither library supports.

    Raises
    ------
    StoreAccessError
        Only those are set.
    """
    understood = (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_TOKEN",
        "AZURE_CLIENT_ID",
        "AZURE_STORAGE_USE_EMULATOR",
    )
    if any(_variable(name) for name in understood):
        return
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY"):
        if _variable(name):
            raise StoreAccessError(
                f"{name} is set but not supported; set AZURE_STORAGE_ACCOUNT_NAME and "
                "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN"
            )


def _from_variables() -> "S3Credential | None":
    key = _variable("AWS_ACCESS_KEY_ID")
    secret = _variable("AWS_SECRET_ACCESS_KEY")
    if key is None and secret is None:
        return None
    if key is None or secret is None:
        missing = "AWS_ACCESS_KEY_ID" if key is None else "AWS_SECRET_ACCESS_KEY"
        raise StoreAccessError(f"the credentials for S3 are incomplete; set {missing}, too")
    return _credential(key, secret, _variable("AWS_SESSION_TOKEN"), _soon())


def _from_profile() -> "S3Credential | None":
    profile = aws_profile()
    if "aws_access_key_id" in profile and "aws_secret_access_key" in profile:
        return _credential(
            profile["aws_access_key_id"],
            profile["aws_secret_access_key"],
            profile.get("aws_session_token"),
            _soon(),
        )
    if "credential_process" in profile:
        return _from_process(profile.name, profile["credential_process"])
    return None


def _names_keys(profile: Mapping[str, str]) -> bool:
    return "aws_access_key_id" in profile or "credential_process" in profile


def _from_process(profile: str, command: str) -> "S3Credential":
    """Run a profile's process; its output is never repeated, since it holds the keys."""
    told = f"the credential_process of the profile {profile}"
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, check=True, timeout=_PROCESS_PATIENCE_S
        )
    except subprocess.CalledProcessError as error:
        raise StoreAccessError(
            f"{told} failed with exit code {error.returncode}; log in again with its tool"
        ) from None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise StoreAccessError(
            f"{told} could not run ({type(error).__name__}); check the profile"
        ) from None
    try:
        answer = parse_json(done.stdout)
        until = answer.get("Expiration")
        return _credential(
            answer["AccessKeyId"],
            answer["SecretAccessKey"],
            answer.get("SessionToken"),
            datetime.fromisoformat(until) if until else _soon(),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreAccessError(f"{told} did not return credentials; check the profile") from None


def _read_section(file: Path, section: str, into: Profile) -> bool:
    """Add a file's entries for a section; return whether it has the section."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="none")
    try:
        with file.expanduser().open(encoding="utf-8") as stream:
            parser.read_file(stream)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, configparser.Error):
        # Without the parser's text, which quotes lines.
        raise StoreAccessError(f"{file} cannot be read as AWS's settings; correct it") from None
    if section not in parser:
        return False
    into.update(parser[section])
    return True


def _credential(key: str, secret: str, token: str | None, until: datetime) -> "S3Credential":
    return {
        "access_key_id": key,
        "secret_access_key": secret,
        "token": token,
        "expires_at": until,
    }


def _soon() -> datetime:
    return datetime.now(UTC) + LOOK_AGAIN


def _variable(name: str) -> str | None:
    """Return an environment variable; an empty one counts as unset."""
    return os.environ.get(name) or None
