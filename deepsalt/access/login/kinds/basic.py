"""Basic: user and password with each request; also those of netrc."""

from deepsalt.access.login.kinds.grant import Attempt, Grant, basic_header


async def obtain(attempt: Attempt) -> Grant:
    """Return user and password as a header, proven by one request."""
    what = f"the user or password from {attempt.secret.source}"
    return await attempt.prove(basic_header(attempt.secret), what)
