"""A token for Earthdata: the user's own, or one that Earthdata Login gives for a name and password.

The token goes to the archive's hosts. They redirect to signed URLs of a bucket, which is no host of
the profile and gets no token: buckets refuse requests with two kinds of credentials.
"""

from datetime import UTC, datetime

from deepsalt.access.login.kinds import bearer
from deepsalt.access.login.kinds.grant import Attempt, Grant, basic_header
from deepsalt.errors import LoginError


async def obtain(attempt: Attempt) -> Grant:
    """Return a token as a header."""
    secret = attempt.secret
    if secret.token:
        try:
            return await bearer.obtain(attempt)
        except LoginError:
            if not secret.password:
                raise
    url = attempt.profile.login_url or ""
    page = await attempt.visitor.ask("POST", url, {"Authorization": basic_header(secret)}, b"")
    if page.status in {401, 403}:
        raise attempt.failure(
            f"the user or password from {secret.source} is refused (HTTP status {page.status})"
        )
    document = page.document()
    token = document.get("access_token")
    if page.status != 200 or not isinstance(token, str) or not token.isprintable():
        raise attempt.failure(
            f"no token came of the login (HTTP status {page.status})", "check its login_url"
        )
    until = _date(document.get("expiration_date")) or bearer.expiry_of(token)
    return Grant(until, f"Bearer {token}")


def _date(text: object) -> datetime | None:
    """Return the day that the server names, such as 01/31/2027."""
    try:
        return datetime.strptime(str(text), "%m/%d/%Y").replace(tzinfo=UTC)
    except ValueError:
        return None
