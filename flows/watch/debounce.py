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
    """Return whether a build should start; see `say_built`.

    Raises
    ------
    RunError
        The database cannot be reached.
    """
    built = ledger.watermark(_name(store))
    finished = [each.changed for each in ledger.in_state(str(store), State.DONE)]
    unseen = [when for when in finished if built is None or when > built]
    if not unseen:
        return False
    under_way = ledger.count(str(store)).get(State.SUBMITTED, 0)
    return not under_way or now - min(unseen) >= longest


def say_built(store: Store, ledger: Ledger, *, now: datetime) -> None:
    """Remember that a build was started; before, a failure to start it would lose it.

    Parameters
    ----------
    now
        When it was due, UTC: scenes that came since wait for the next one.

    Raises
    ------
    RunError
        The database cannot be reached.
    """
    ledger.move_watermark(_name(store), now)


def _name(store: Store) -> str:
    return f"mosaic of {store}"
