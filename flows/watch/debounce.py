"""When the mosaic is built again after scenes have come: once, when they are in.

A build finds by itself which tiles changed, so it is enough to start one: when no scene is under
way any more, or when the first one that no build has seen has waited long enough.
"""

from datetime import datetime, timedelta

from deepsalt.store import Store
from flows.watch.ledger import Ledger, State

LONGEST_WAIT = timedelta(hours=6)
"""Scenes that are in wait no longer for those under way."""


def build_is_due(
    store: Store, ledger: Ledger, *, now: datetime, longest: timedelta = LONGEST_WAIT
) -> bool:
    """Return whether a build should start, and remember that it did.

    Raises
    ------
    RunError
        The database cannot be reached.
    """
    name = f"mosaic of {store}"
    built = ledger.watermark(name)
    finished = [each.changed for each in ledger.in_state(str(store), State.DONE)]
    unseen = [when for when in finished if built is None or when > built]
    if not unseen:
        return False
    under_way = ledger.count(str(store)).get(State.SUBMITTED, 0)
    if under_way and now - min(unseen) < longest:
        return False
    ledger.move_watermark(name, now)
    return True
