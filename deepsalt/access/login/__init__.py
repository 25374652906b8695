"""Logins: what servers that ask for one are shown, and where it comes from.

Takes a URL and a refusal; returns a URL and headers to send. Open `session.py` first.

`profiles` has the hosts and kinds of login, `sources` the secrets of a profile, `kinds/` a file per
kind of login, and `record` what an operator has tried live. A login goes to the hosts of its
profile alone, by https, hop by hop; see `deepsalt.access.web.Web`.

Nothing of a login leaves the process: workers find the profile by the host of a file and log in by
themselves, with what their own environment and files say. Secrets and what was got for them have
no text and cannot be pickled.
"""

from deepsalt.access.login.profiles import NEVER_TRIED, Profile, profile_named, profiles
from deepsalt.access.login.record import note_success, tried
from deepsalt.access.login.session import Logins, profile_for, try_login
from deepsalt.access.login.sources import Secret, keep_secret, parts_needed, secret_of, what_to_set

__all__ = [
    "NEVER_TRIED",
    "Logins",
    "Profile",
    "Secret",
    "keep_secret",
    "note_success",
    "parts_needed",
    "profile_for",
    "profile_named",
    "profiles",
    "secret_of",
    "tried",
    "try_login",
    "what_to_set",
]
