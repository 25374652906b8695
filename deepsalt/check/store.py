"""Checking a store as a whole, on demand."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from deepsalt.check.catalogue import Catalogue
from deepsalt.check.mosaic import MosaicCheck, Published, check_builds
from deepsalt.check.products import ProductCheck, Products
from deepsalt.errors import (
    DeepsaltError,
    StoreAccessError,
    StoreAwayError,
    StoreMissingError,
    VersionMissingError,
)
from deepsalt.progress import Progress, Silent
from deepsalt.store import Store, Where, quarantined, tombstones
from deepsalt.validate import ANEW, Finding, Limits, by_severity, effective
from deepsalt.versions import open_repository, periods_of


def check_store(
    store: Store | Where,
    limits: Limits | None = None,
    *,
    quick: bool = False,
    progress: Progress | None = None,
    repair_index: bool = False,
) -> list[Finding]:
    """Check a store from its records to its pixels.

    Parameters
    ----------
    store
        The store, or its path or URI.
    limits
        Limits beyond which a mosaic fails. Default: those of `Limits`.
    quick
        Skip checksums and pixels, whose check reads every byte.
    progress
        Receives progress on ``products`` and on ``checks`` of tiles.
    repair_index
        Restore missing entries of the index; nothing else is ever written.

    Returns
    -------
    list of Finding
        Errors first; a sound store has only infos.
    """
    try:
        found = store if isinstance(store, Store) else Store.open(store)
    except DeepsaltError as error:
        return [Finding("error", "records", str(store), str(error))]
    findings = _check(found, limits or Limits(), quick, progress or Silent(), repair_index)
    return by_severity(dict.fromkeys(findings))


def _check(
    store: Store, limits: Limits, quick: bool, progress: Progress, repair_index: bool
) -> Iterator[Finding]:
    read: dict[str, Any] = {}
    for where, what in (
        ("records/tombstones", tombstones),
        ("records/quarantine", quarantined),
        ("records/periods", lambda store: periods_of(store.objects)),
    ):
        yield from _said(where, partial(_record, store, read, where, what))
    yield from _said("records/builds", lambda: check_builds(store))
    products = Products()
    published = Published()
    withdrawn = read.get("records/tombstones", {})
    check = ProductCheck(store, withdrawn, quick, repair_index, progress)
    yield from _said("scenes", lambda: check(products))
    yield from _said("mosaic", lambda: _mosaic(store, limits, quick, progress, published), ANEW)
    catalogue = Catalogue(store)
    yield from _said("catalog.json", lambda: catalogue(products, published))


def _record(
    store: Store, read: dict[str, Any], where: str, what: Callable[[Store], Any]
) -> Iterable[Finding]:
    read[where] = what(store)
    return ()


def _mosaic(
    store: Store, limits: Limits, quick: bool, progress: Progress, published: Published
) -> Iterator[Finding]:
    try:
        mosaic = open_repository(store.objects)
    except StoreMissingError:
        found = "no mosaic has been published yet"
        yield Finding("warning", "records", "mosaic", found, "run `deepsalt mosaic build`")
        return
    yield from MosaicCheck(store, mosaic, effective(limits, store), quick, progress)(published)


def _said(
    where: str, check: Callable[[], Iterable[Finding]], advice: str = ""
) -> Iterator[Finding]:
    """Yield the findings of a check, and the error that ends it as a further finding."""
    try:
        yield from check()
    except (StoreAwayError, StoreAccessError, VersionMissingError) as error:
        yield Finding("error", "records", where, str(error))
    except DeepsaltError as error:
        yield Finding("error", "records", where, str(error), advice)
