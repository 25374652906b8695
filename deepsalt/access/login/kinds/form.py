"""Form: a web page that asks for user and password, and a session cookie for them.

As single sign-on does it, DLR's among them. A page of the archive leads to a form on the host of
the login, which has hidden fields (a one-time token among them) and perhaps a cookie that has to
come back as a header. The answer to it leads back to the archive, which then sets its cookie. Where
a page has several forms, only the fields of the one that asks for a password are sent.

Nothing is agreed to in the user's name: where a page with another form follows, the login ends with
a sentence that says so.
"""

from html.parser import HTMLParser
from urllib.parse import quote, urlencode, urljoin

from deepsalt.access.hrefs import without_secrets
from deepsalt.access.login.kinds.grant import Attempt, Grant
from deepsalt.access.login.profiles import origin_of
from deepsalt.access.login.visit import Page
from deepsalt.access.web import WebError

_USER_FIELDS = ("username", "user", "j_username", "login", "email")


async def obtain(attempt: Attempt) -> Grant:
    """Return the cookies of a session."""
    profile, visitor = attempt.profile, attempt.visitor
    start = profile.login_url or ""
    page = await visitor.follow(await visitor.ask("GET", start))
    form = _login_form(page)
    if form is None:
        if profile.is_door(page.url) or page.status >= 400:
            raise attempt.failure(
                f"{without_secrets(page.url)} (HTTP status {page.status}) has no form that asks "
                "for a password",
                "check its login_url",
            )
        return Grant(jar=visitor.jar)  # open without a login
    target = _action(page, form)
    if origin_of(target) not in profile.login_hosts:
        raise attempt.failure(
            f"the form at {without_secrets(page.url)} sends the password to {origin_of(target)}, "
            "which is not where the profile has its login",
            "if it is intended, name it as login_hosts of the profile",
        )
    fields = {
        **form.fields,
        form.user_field: attempt.secret.user,
        form.password_field: attempt.secret.password,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for cookie in visitor.jar:
        if cookie.name.upper() == "XSRF-TOKEN" and cookie.value and cookie.value.isprintable():
            headers["X-XSRF-TOKEN"] = cookie.value
    answer = await visitor.ask("POST", target, headers, urlencode(fields).encode())
    return _checked(attempt, await visitor.follow(answer))


def _checked(attempt: Attempt, page: Page) -> Grant:
    """Return the session if a page is beyond the login.

    Raises
    ------
    LoginError
        It is not: the password is wrong, or something else is wanted.
    WebError
        The form was not understood.
    """
    if _login_form(page) is not None or page.status in {401, 403}:
        raise attempt.failure(
            f"the user or password from {attempt.secret.source} is refused at "
            f"{origin_of(page.url)} (HTTP status {page.status}), or the account is locked"
        )
    is_door = attempt.profile.is_door(page.url)
    if is_door and page.status >= 400:  # a one-time token that was too old, perhaps
        raise WebError(f"{origin_of(page.url)} answers the form with status {page.status}")
    if is_door:
        raise attempt.failure(
            f"{origin_of(page.url)} accepted the password and wants something else first",
            f"open {without_secrets(attempt.profile.login_url or '')} in a browser, log in, and "
            "agree to what it shows if you do",
        )
    return Grant(jar=attempt.visitor.jar)


class _Form:
    """A form: where it is sent, and its fields."""

    def __init__(self, action: str | None) -> None:
        self.action = action
        self.fields: dict[str, str] = {}
        self.password_field = ""

    @property
    def user_field(self) -> str:
        named = [name for name in self.fields if name.lower() in _USER_FIELDS]
        return named[0] if named else _USER_FIELDS[0]


class _Forms(HTMLParser):
    """Reads the forms of a page, each with its own fields; buttons are not pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a form, or add a field to it."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(given.get("action")))
            self._open = True
        elif tag == "input" and self._open and given.get("name"):
            if given.get("type", "").lower() in {"submit", "button", "image", "checkbox", "radio"}:
                return
            self.forms[-1].fields[given["name"]] = given.get("value", "")
            if given.get("type", "").lower() == "password":
                self.forms[-1].password_field = given["name"]

    def handle_endtag(self, tag: str) -> None:
        """End a form."""
        self._open = self._open and tag != "form"


def _login_form(page: Page) -> _Form | None:
    """Return the form of a page that asks for a password; None if there is none."""
    if not page.is_html:
        return None
    parser = _Forms()
    parser.feed(page.text)
    return next((form for form in parser.forms if form.password_field), None)


def _action(page: Page, form: _Form) -> str:
    """Return where a form is sent: to its own page with the query, unless it says otherwise."""
    target = urljoin(page.url, quote(form.action or "", safe="%/:=&?~#+!$,;'@()*[]"))
    return page.url if target == page.url.partition("?")[0] else target
