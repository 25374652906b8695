"""The logins of this process: made when a host asks for one, renewed when it is refused.

A login is made where it is used: each process has its own, a worker too. All requests of a process
share it, in whichever thread and event loop they are. When it expires, the first one that is
refused makes a new one, once, and the others wait for it. What failed for a wrong password is not
tried again with the same one: that would lock the account.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock

from deepsalt.access.hrefs import without_secrets
from deepsalt.access.login.kinds import OBTAIN, Attempt, Grant
from deepsalt.access.login.profiles import Profile, profiles
from deepsalt.access.login.sources import Secret, secret_of, what_to_set
from deepsalt.access.login.visit import Visitor
from deepsalt.access.web import Answer, WebError
from deepsalt.errors import AwayError, LoginError

_LOGIN_S = 30.0
"""Seconds for a login; who stops the process waits for it."""

PAUSE_S = 1.0
"""Seconds after a login that got no answer, in which those who waited for it do not ask again."""

_MOST_IN_VAIN = 3
"""New logins in a row, refused for any file, after which there are no more for `_REST_S`."""

_REST_S = 600.0

_MOST_FOR_A_FILE = 2
"""The same of one file, others being open: it is another user's."""

_MOST_SIGNED = 256
"""Files whose signed URLs are kept."""

_sessions: "OrderedDict[tuple[Profile, str], Session]" = OrderedDict()
_sessions_lock = Lock()


class Session:
    """One login of this process; any thread may use it.

    Parameters
    ----------
    profile
        Whose hosts it opens.
    subject
        The file of a signed URL; "" for other kinds, whose login opens all files.
    """

    def __init__(self, profile: Profile, subject: str = "") -> None:
        self.profile = profile
        self.grant: Grant | None = None
        self.is_proven = False
        self._in_vain = 0
        self._in_vain_at = 0.0
        self._vain: Grant | None = None
        self._refused: Counter[str] = Counter()
        self._subject = subject
        self._lock = Lock()
        self._failed: tuple[Secret, str] | None = None
        self._away = (0.0, "")

    def log_in(self, url: str, refused: Grant | None) -> Grant | None:
        """Wait for a grant other than the refused one and return it; None without a secret for it.

        Raises
        ------
        LoginError
            The login fails, or failed before with the same secret.
        WebError
            Its server does not answer.
        """
        with self._lock:
            if self.grant is not None and self.grant is not refused:
                return self.grant
            secret = secret_of(self.profile)
            if secret is None:
                return None
            if self._failed is not None and self._failed[0] == secret:
                raise LoginError(self._failed[1])
            if time.monotonic() < self._away[0]:
                raise WebError(self._away[1])
            try:
                found = _obtained(self.profile, secret, self._subject or url, refused)
            except LoginError as error:
                self.grant = None
                self._failed = (secret, str(error))
                raise
            except WebError as error:
                self._away = (time.monotonic() + PAUSE_S, str(error))
                raise
            self.is_proven = False
            self.grant = found
            return found

    def admit(self) -> None:
        """Note that the present grant opens something."""
        self.is_proven = True
        self._in_vain = 0

    def is_hopeless(self) -> bool:
        """Return whether new logins have opened nothing of late."""
        is_recent = time.monotonic() < self._in_vain_at + _REST_S
        return is_recent and self._in_vain >= _MOST_IN_VAIN

    def gives_up(self, name: str, grant: Grant) -> bool:
        """Note that a file was refused after a new login; return whether to ask for it no more.

        Not at once: a session may end at any moment, that of a new login, too, and some servers end
        one for another of the same user. Files that one end meets together count once.
        """
        self._in_vain += grant is not self._vain
        self._vain = grant
        self._in_vain_at = time.monotonic()
        self._refused[name] += 1
        return self.is_hopeless() or self._refused[name] >= _MOST_FOR_A_FILE


class _SessionPass:
    """A `Pass`: what one request shows of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._profile = session.profile
        self._shown: Grant | None = None
        self._is_new = False
        self._status = 0

    def is_door(self, url: str) -> bool:
        return self._profile.is_door(url)

    async def dress(self, url: str) -> tuple[str, Mapping[str, str]]:
        grant = self._session.grant
        if grant is None:
            # In a thread: the session is shared by event loops of several threads.
            grant = await asyncio.to_thread(self._session.log_in, url, None)
            self._is_new = True
        self._shown = grant
        return (url, {}) if grant is None else (grant.address or url, grant.headers(url))

    def refuses(self, answer: Answer) -> bool:
        self._status = answer.status
        # A page in place of a file or of JSON is a login that forgot its status.
        is_page = answer.status == 200 and "html" in answer.headers.get("content-type", "")
        return answer.status in {401, 403} or answer.target is not None or is_page

    def admit(self, url: str, answer: Answer) -> None:
        if self._shown is not None and answer.status < 400:
            self._shown.learn(url, answer.cookies)
            self._session.admit()

    async def renew(self, url: str, *, again: bool) -> None:
        session, shown = self._session, self._shown
        name = without_secrets(url)
        if shown is None:
            raise LoginError(
                f"{name} needs a login, and profile {self._profile.name} has no secret for it; "
                f"{what_to_set(self._profile)}, then try `deepsalt login {self._profile.name}`"
            )
        is_fixed = self._status == 403 and shown.authorization is not None
        is_useless = again or (self._is_new and not session.is_proven)
        if is_fixed or session.is_hopeless() or (is_useless and session.gives_up(name, shown)):
            account = f" (see {self._profile.account})" if self._profile.account else ""
            raise LoginError(
                f"{name} is refused (HTTP status {self._status}) although the login of profile "
                f"{self._profile.name} works; ask its archive for the right to these data{account}"
            )
        if is_useless:
            raise WebError(f"the login of profile {self._profile.name} ended as soon as it began")
        await asyncio.to_thread(session.log_in, url, shown)


class Logins:
    """The logins of the user's and the package's profiles, for a client of web servers."""

    def __init__(self) -> None:
        self._profiles: tuple[Profile, ...] | None = None

    def of(self, url: str) -> _SessionPass | None:
        """Return the pass for a host; None where no profile covers it.

        Raises
        ------
        LoginError, UsageError
            The user's files are wrong, or others may read them.
        """
        if self._profiles is None:
            self._profiles = profiles()
        profile = profile_for(url, self._profiles)
        return None if profile is None else _SessionPass(_session_of(profile, url))


def profile_for(url: str, known: Sequence[Profile]) -> Profile | None:
    """Return the first profile of a host that has a secret, or else the first; None for no host.

    Raises
    ------
    LoginError
        Others may read the user's secrets, or they are damaged.
    """
    found = [profile for profile in known if profile.covers(url)]
    if len(found) < 2:
        return found[0] if found else None
    return next((each for each in found if secret_of(each) is not None), found[0])


def _session_of(profile: Profile, url: str) -> Session:
    subject = url.partition("?")[0] if profile.kind == "signed" else ""
    with _sessions_lock:
        session = _sessions.setdefault((profile, subject), Session(profile, subject))
        if subject:
            _sessions.move_to_end((profile, subject))
            signed = [key for key in _sessions if key[1]]
            for key in signed[: len(signed) - _MOST_SIGNED]:
                del _sessions[key]
        return session


def try_login(profile: Profile, secret: Secret, url: str | None = None) -> Grant:
    """Log in once, for nobody else.

    Parameters
    ----------
    profile, secret
        As whom, and where.
    url
        A file that proves a credential that no server gives.

    Raises
    ------
    LoginError
        The login fails.
    AwayError
        Its server does not answer.
    """
    try:
        return _obtained(profile, secret, url, None)
    except WebError as error:
        raise AwayError(
            f"the login of profile {profile.name} got no answer ({error}); try again later"
        ) from None


def _obtained(profile: Profile, secret: Secret, url: str | None, refused: Grant | None) -> Grant:
    async def obtain() -> Grant:
        try:
            async with asyncio.timeout(_LOGIN_S), Visitor(profile) as visitor:
                return await OBTAIN[profile.kind](Attempt(profile, secret, url, refused, visitor))
        except TimeoutError:
            raise WebError(f"its login took longer than {_LOGIN_S:.0f} seconds") from None

    return asyncio.run(obtain())
