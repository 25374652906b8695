"""What a login gives: a header, cookies, or another URL; and an attempt to get one."""

import base64
from dataclasses import dataclass
from datetime import datetime
from http.cookiejar import CookieJar

from deepsalt.access.login.cookies import cookies_for, learn_cookies
from deepsalt.access.login.profiles import Profile
from deepsalt.access.login.sources import Hidden, Secret, what_to_set
from deepsalt.access.login.visit import Visitor
from deepsalt.errors import LoginError


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Grant(Hidden):
    """What the hosts of a profile are shown.

    Parameters
    ----------
    until
        When it expires, UTC; None if nothing says so.
    authorization
        The header; None for none.
    jar
        Cookies; None for none.
    address
        The URL to ask for instead of the one it was got for; None for that one.
    is_proven
        Whether a server took it.
    """

    until: datetime | None = None
    authorization: str | None = None
    jar: CookieJar | None = None
    address: str | None = None
    is_proven: bool = True

    def headers(self, url: str) -> dict[str, str]:
        """Return the headers to send."""
        if self.jar is not None:
            return cookies_for(self.jar, url)
        return {} if self.authorization is None else {"Authorization": self.authorization}

    def learn(self, url: str, cookies: tuple[str, ...]) -> None:
        """Keep the cookies of a good answer: servers prolong sessions by new ones."""
        if self.jar is not None:
            learn_cookies(self.jar, url, cookies)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to log in.

    Parameters
    ----------
    profile, secret
        As whom, and where.
    url
        What is to be fetched: what proves a credential that is not got from a server.
    refused
        What has been refused before; None at first.
    visitor
        Asks the profile's hosts.
    """

    profile: Profile
    secret: Secret
    url: str | None
    refused: Grant | None
    visitor: Visitor

    async def prove(self, authorization: str, what: str, until: datetime | None = None) -> Grant:
        """Return a header as a grant once a server took it.

        One request asks, whatever waits: a wrong password sent by each of many locks an account.
        Without a URL to ask, it is taken as it is.

        Raises
        ------
        LoginError
            It is refused, or was before.
        WebError
            There is no answer.
        """
        if self.refused is not None and self.refused.authorization == authorization:
            raise self.failure(f"{what} is no longer accepted; it has expired, or is another now")
        url = self.profile.login_url if self.profile.kind in {"basic", "bearer"} else None
        if url := url or self.url:
            headers = {"Range": "bytes=0-0", "Authorization": authorization}
            page = await self.visitor.ask("GET", url, headers)
            # Not 403: it is said of a file that this user may not have, too.
            if page.status == 401 or (page.target and self.profile.is_door(page.target)):
                raise self.failure(f"{what} is refused (HTTP status {page.status})")
        return Grant(until, authorization, is_proven=bool(url))

    def failure(self, why: str, remedy: str = "") -> LoginError:
        """Return an error that says why, and what to do."""
        profile = self.profile
        account = f"; accounts are at {profile.account}" if profile.account else ""
        return LoginError(
            f"profile {profile.name}: {why}; {remedy or what_to_set(profile)}{account}"
        )


def basic_header(secret: Secret) -> str:
    """Return user and password as an Authorization header."""
    pair = f"{secret.user}:{secret.password}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
