"""Bearer: a token with each request; a new one is read from its source when it is refused."""

import base64
from datetime import UTC, datetime

from deepsalt.access.login.kinds.grant import Attempt, Grant
from deepsalt.inputs import parse_json


async def obtain(attempt: Attempt) -> Grant:
    """Return the token as a header, proven by one request."""
    token = attempt.secret.token
    what = f"the token from {attempt.secret.source}"
    return await attempt.prove(f"Bearer {token}", what, expiry_of(token))


def expiry_of(token: str) -> datetime | None:
    """Return when a JSON web token expires; None for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = parse_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
