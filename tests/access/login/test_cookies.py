"""Cookies go back where they came from."""

from http.cookiejar import CookieJar

import pytest

from deepsalt.access.login.cookies import cookies_for, learn_cookies

FROM = "https://data.example.org/area/page"


@pytest.mark.parametrize(
    ("cookie", "url", "sent"),
    [
        ("s=1; Path=/", "https://data.example.org/other", True),
        ("s=1; Path=/area", "https://data.example.org/other", False),
        ("s=1; Path=/", "https://evil.example.org/area/page", False),
        ("s=1; Path=/", "https://data.example.org.evil.org/", False),
        ("s=1; Path=/; Domain=example.org", "https://files.example.org/", True),
        ("s=1; Path=/; Domain=evil.org", "https://evil.org/", False),
        ("s=1; Path=/; Secure", "https://data.example.org/", True),
        ("s=1; Path=/; Secure", "http://data.example.org/", False),
        ("s=1; Path=/; Max-Age=0", "https://data.example.org/", False),
    ],
)
def test_a_cookie_goes_back_where_it_came_from(cookie: str, url: str, sent: bool) -> None:
    jar = CookieJar()
    learn_cookies(jar, FROM, ["other=2; Path=/nowhere", cookie])
    assert cookies_for(jar, url) == ({"Cookie": "s=1"} if sent else {})
