"""Requests of a login: among the hosts of its profile alone, each answer short and soon."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

from deepsalt.access.hrefs import host_of, without_secrets
from deepsalt.access.login.cookies import cookies_for, learn_cookies
from deepsalt.access.login.profiles import Profile, origin_of
from deepsalt.access.reach import Reach
from deepsalt.access.web import MAX_HOPS, RefusedError, Web, WebError
from deepsalt.errors import LoginError
from deepsalt.inputs import parse_json

_MAX_BYTES = 2**20
_MAX_REDIRECTS = 2 * MAX_HOPS
"""Single sign-on goes to and fro between its hosts."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to a login.

    Parameters
    ----------
    url
        Where it comes from.
    status
        HTTP status.
    target
        Where it redirects to; None if it does not.
    is_html
        Whether it is a web page.
    text
        Its content.
    """

    url: str
    status: int
    target: str | None
    is_html: bool
    text: str

    def document(self) -> dict[str, Any]:
        """Return the JSON object in it; an empty one if it has none."""
        with suppress(ValueError):
            found = parse_json(self.text)
            return found if isinstance(found, dict) else {}
        return {}


class Visitor:
    """Asks the hosts of a profile and no other; an async context manager.

    The user named these hosts, so they may lie in a private network.

    Parameters
    ----------
    profile
        The profile.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._origins = frozenset((*profile.hosts, *profile.login_hosts))
        self._web = Web(Reach(hosts=frozenset(host_of(origin) for origin in self._origins)))
        self.jar = CookieJar()

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Page:
        """Send one request with the cookies of its host, keep those of the answer.

        Raises
        ------
        LoginError
            The host is not one of the profile, or may not be asked.
        WebError
            There is no answer, or the server is ill.
        """
        if origin_of(url) not in self._origins:
            raise LoginError(
                f"the login of profile {self._profile.name} leads to {origin_of(url)}, which is "
                "not one of its hosts; if it is intended, name it as login_hosts of the profile"
            )
        sent = {**(headers or {}), **cookies_for(self.jar, url)}
        if content is not None:
            sent["Content-Length"] = str(len(content))
        try:
            async with self._web.hop(method, url, sent, content) as answer:
                text = bytearray()
                async for data in answer.body:
                    text += data
                    if len(text) > _MAX_BYTES:
                        break
        except RefusedError as error:
            raise LoginError(
                f"the login of profile {self._profile.name} leads to {error}"
            ) from None
        if answer.status >= 500 or answer.status == 429:
            raise WebError(f"{origin_of(url)} answers the login with status {answer.status}")
        learn_cookies(self.jar, url, answer.cookies)
        target = answer.target and urljoin(url, answer.target)
        is_html = "html" in answer.headers.get("content-type", "")
        return Page(url, answer.status, target, is_html, text.decode(errors="replace"))

    async def follow(self, page: Page) -> Page:
        """Follow the redirects of a page to their end, by GET.

        Raises
        ------
        LoginError, WebError
            As of `ask`.
        """
        for _ in range(_MAX_REDIRECTS):
            if page.target is None:
                return page
            page = await self.ask("GET", page.target)
        raise LoginError(
            f"the login of profile {self._profile.name} ends in a circle at "
            f"{without_secrets(page.url)}; check its login_url"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.shield(self._web.__aexit__(kind, error, trace))
