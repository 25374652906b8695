"""Cookies by the standard library's rules: bound to host and path, Secure ones by https alone."""

from collections.abc import Iterable
from email.message import Message
from http.cookiejar import CookieJar
from urllib.request import Request


class _Sent:
    """What a `CookieJar` asks of an answer."""

    def __init__(self, cookies: Iterable[str]) -> None:
        self._headers = Message()
        for each in cookies:
            self._headers.add_header("Set-Cookie", each)

    def info(self) -> Message:
        return self._headers


def learn_cookies(jar: CookieJar, url: str, cookies: Iterable[str]) -> None:
    """Keep what a server sets for itself; `cookies` are its Set-Cookie headers."""
    # The jar reads no more of an answer than its headers.
    jar.extract_cookies(_Sent(cookies), Request(url))  # type: ignore[arg-type]


def cookies_for(jar: CookieJar, url: str) -> dict[str, str]:
    """Return the Cookie header for a URL, if there are any."""
    request = Request(url)
    jar.add_cookie_header(request)
    header = request.get_header("Cookie")
    return {"Cookie": header} if header and header.isprintable() and header.isascii() else {}
