"""The user's own files of access: which they are, and who else may read or write them."""

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from deepsalt.errors import LoginError, UsageError
from deepsalt.inputs import open_regular

_MAX_BYTES = 2**20


def config_folder() -> Path:
    """Return the folder of the user's configuration: ``DEEPSALT_CONFIG``, or that of the system."""
    named = os.environ.get("DEEPSALT_CONFIG")
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(named or f"{home}/deepsalt").expanduser()


def read_toml(path: Path, *, private: bool) -> dict[str, Any]:
    """Return the tables of a file; none if it does not exist.

    Parameters
    ----------
    path
        The file.
    private
        Whether it holds secrets: others may not even read it. Otherwise they may not write it, for
        it says where passwords are sent.

    Raises
    ------
    LoginError
        Others may read or write it, or a private file is not TOML.
    UsageError
        Another file is not TOML.
    """
    content = read_owned(path, private=private)
    reason = ""
    try:
        return tomllib.loads((content or b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = "" if private else f" ({error})"
    # Outside of the block: the parser's error has the whole text of the file in it.
    raise (LoginError if private else UsageError)(
        f"{path} is not valid TOML{reason}; correct it, an example is in docs/access.md"
    )


def read_owned(path: Path, *, private: bool) -> bytes | None:
    """Return the content of a file of the user; None if it does not exist.

    Raises
    ------
    LoginError
        It cannot be read, or others than the owner may read it (`private`) or write it.
    """
    try:
        with open_regular(path) as file:
            found = os.fstat(file.fileno())
            mode = stat.S_IMODE(found.st_mode)
            if mode & (0o077 if private else 0o022) or found.st_uid not in {0, os.geteuid()}:
                what = "read" if private else "write"
                raise LoginError(
                    f"{path} is not used, since others than you may {what} it (mode {mode:04o}); "
                    f"run `chmod {600 if private else 644} {path}`"
                )
            return file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LoginError(
            f"{path} cannot be read ({error.strerror}); check the path and its permissions"
        ) from None
