"""What the catalogue no longer has becomes a proposal to withdraw; a person decides.

A catalogue that answers with little, because it is ill or was filtered otherwise, must not empty a
store: more than `MOST_GONE` of the known acquisitions gone at once is a failure, and no proposal.
"""

from dataclasses import dataclass
from datetime import datetime

from deepsalt.errors import FormatError, RunError
from deepsalt.store import Store, tombstone
from flows.config import Selection
from flows.watch.arrivals import arrived
from flows.watch.ledger import Ledger, Proposal, State
from flows.watch.news import Announced, published_since
from flows.watch.watch import Watch

MOST_GONE = 0.2
"""Share of the known acquisitions that may be gone at once, of those beyond `FEW`."""

FEW = 20
"""So many may be gone at once, whatever their share."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a comparison found.

    Parameters
    ----------
    known
        Acquisitions that the watch submitted.
    proposed
        Acquisitions that are newly proposed for withdrawal, as collection and id.
    back
        Acquisitions that were proposed and are listed again.
    """

    known: int
    proposed: tuple[tuple[str, str], ...]
    back: tuple[tuple[str, str], ...]


def reconcile(watch: Watch, store: Store, ledger: Ledger, *, now: datetime) -> Reconciled:
    """Compare all that a watch submitted with all that its catalogue lists.

    Raises
    ------
    RunError
        The catalogue or the server of an Item cannot be reached, or more is missing than can be
        believed.
    """
    listed, unusable = set[tuple[str, str]](), set[str]()
    for each in published_since(watch.selection, None):
        if isinstance(each, Announced):
            listed.add((each.acquisition.collection, each.acquisition.acquisition_id))
        else:
            unusable.add(each.item)
    known = _known(watch, store, ledger)
    # An Item that is listed and cannot be used any more is another matter.
    spoilt = {key for key, item in known.items() if item in unusable}
    gone = sorted(known.keys() - listed - spoilt)
    if len(gone) > max(FEW, MOST_GONE * len(known)):
        raise RunError(
            f"the catalogue of watch {watch.name} no longer lists {len(gone)} of {len(known)} "
            "acquisitions, which is too many to believe; check the catalogue and the filters"
        )
    proposed = tuple(
        each
        for each in gone
        if tombstone(store, each) is None
        and not _is_left_out(known[each], watch.selection)
        and ledger.propose(Proposal(str(store), *each, "its catalogue no longer lists it", now))
    )
    waiting = {(each.collection, each.acquisition) for each in ledger.proposals(str(store))}
    back = tuple(sorted(waiting & listed))
    for key in back:
        ledger.settle(str(store), *key)
    ledger.say_reconciled(watch.name, now)
    return Reconciled(len(known), proposed, back)


def _is_left_out(item: str, selection: Selection) -> bool:
    """Return whether an Item is there, and only the filters, which were narrowed, leave it out."""
    try:
        return arrived(item, selection) is None
    except FormatError:  # there is none, or another thing
        return False


def undecided(store: Store, ledger: Ledger) -> list[Proposal]:
    """Return the proposals that wait for a person; those that were followed are forgotten.

    Raises
    ------
    RunError
        The database cannot be reached.
    StoreError
        The store cannot be read.
    """
    waiting = []
    for each in ledger.proposals(str(store)):
        if tombstone(store, (each.collection, each.acquisition)) is not None:
            ledger.settle(each.store, each.collection, each.acquisition)
        elif each.kept is None:
            waiting.append(each)
    return waiting


def _known(watch: Watch, store: Store, ledger: Ledger) -> dict[tuple[str, str], str]:
    """Return the Items of what was submitted, by collection and id."""
    return {
        (each.collection, each.acquisition): each.item
        for state in (State.SUBMITTED, State.DONE)
        for each in ledger.in_state(str(store), state, watch.name)
    }
