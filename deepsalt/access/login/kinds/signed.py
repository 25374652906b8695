"""Signed URLs: a service signs the URL of a file for some time, and again when that is over.

The service is asked ``GET login_url?href=URL`` and answers with JSON that has the signed URL as
``href``, and perhaps its expiry as ``msft:expiry`` or ``expiry``, as Planetary Computer's does. A
URL of an Item that was signed before is signed anew without its old signature.

Where a catalogue itself puts signed URLs into its Items, and no service signs one of them, a URL
that has expired cannot be renewed here: an `Acquisition` does not know its Item. The error says so,
and the next run searches the catalogue again and gets new ones.
"""

from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from deepsalt.access.login.kinds.grant import Attempt, Grant
from deepsalt.access.login.profiles import origin_of


async def obtain(attempt: Attempt) -> Grant:
    """Return the signed form of the attempt's URL."""
    service = attempt.profile.login_url or ""
    if attempt.url is None:
        raise attempt.failure("it signs URLs of files", "give --url with one")
    sent = {"Authorization": f"Bearer {attempt.secret.token}"} if attempt.secret.token else {}
    joint = "&" if "?" in service else "?"
    asked = f"{service}{joint}href={quote(attempt.url, safe='')}"
    page = await attempt.visitor.ask("GET", asked, sent)
    document = page.document()
    signed = document.get("href")
    if page.status != 200 or not isinstance(signed, str):
        raise attempt.failure(
            f"{origin_of(service)} does not sign the URL (HTTP status {page.status})"
        )
    if (origin_of(signed), urlsplit(signed).path) != (
        origin_of(attempt.url),
        urlsplit(attempt.url).path,
    ):
        raise attempt.failure(
            f"{origin_of(service)} signs another file than was asked for", "tell its operator"
        )
    return Grant(_moment(document.get("msft:expiry") or document.get("expiry")), address=signed)


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
