"""Repair: rebuilds damaged parts of a store, as far as scenes and records allow.

A tile is a function of its products, so an unreadable tile of the published version is composed
again and published. Kept older versions consist of objects that nothing rewrites. A damaged product
is removed from the records, so that the next run maps its scene again.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from deepsalt.concurrency import in_order
from deepsalt.errors import StoreAccessError, StoreAwayError, StoreError
from deepsalt.grid import Cell
from deepsalt.mosaic.build import Builder
from deepsalt.mosaic.wanted import Wanted
from deepsalt.products import complete_names, find_marker, prefix_of, unmark, verify_product
from deepsalt.progress import Progress
from deepsalt.store import Store
from deepsalt.validate import Finding, check_tiles, effective
from deepsalt.versions import (
    Built,
    Mosaic,
    PeriodTile,
    Version,
    digests_at,
    find_repository,
    periods_of,
)

WHY = "repaired"
"""Reason in the history of a version that equals an earlier one."""

_READERS = 4
"""Number of products read at a time."""
_THEN = "run its scene again"


@dataclass(frozen=True, slots=True)
class Repaired:
    """Outcome of a repair.

    Parameters
    ----------
    tiles
        Number of checked tiles of the published version.
    again
        Tiles that were composed again.
    products
        Names of damaged products, which no longer count.
    built
        The version that was published; None if no tile had to be composed.
    findings
        What was repaired and what is left to do.
    """

    tiles: int
    again: tuple[PeriodTile, ...]
    products: tuple[str, ...]
    built: Built | None
    findings: tuple[Finding, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the published version and all products are undamaged."""
        errors = any(finding.severity == "error" for finding in self.findings)
        return not errors and not self.products


def repair_mosaic(builder: Builder, *, why: str = WHY) -> Repaired:
    """Find damage in a store, and rebuild what can be rebuilt.

    Compares every product with its checksums and reads every tile of the published version.

    Parameters
    ----------
    builder
        What composes tiles, where, and the progress.
    why
        Reason shown in the history.

    Raises
    ------
    StoreError
        The store cannot be read or written, or the mosaic is damaged beyond its tiles.
    """
    store = builder.store
    progress = builder.progress
    broken = dict(_broken(store, progress))
    mosaic = find_repository(store.objects)
    head = mosaic.head() if mosaic else None
    damage = _Damage(0, (), (), ())
    if mosaic is not None and head is not None:
        damage = _find_damaged(builder, mosaic, head, broken)
    findings = [*damage.findings, *_break(store, broken)]
    built = None
    if mosaic is not None and head is not None and damage.again:
        older = list(_older(mosaic, head, damage.cells))
        try:
            built = builder(damage.again, why=why, again=damage.again)
        except (StoreAwayError, StoreAccessError):
            raise
        except StoreError as error:
            findings.append(Finding("error", "checksums", "mosaic", str(error)))
        else:
            findings += older
    again = damage.again if built else ()
    return Repaired(damage.tiles, again, tuple(broken), built, tuple(findings))


@dataclass(frozen=True, slots=True)
class _Damage:
    """Damage of a mosaic: its number of tiles, which tiles can be rebuilt, and why."""

    tiles: int
    again: tuple[PeriodTile, ...]
    cells: tuple[Cell, ...]
    findings: tuple[Finding, ...]


def _find_damaged(
    builder: Builder, mosaic: Mosaic, head: Version, broken: Collection[str]
) -> _Damage:
    store = builder.store
    limits = effective(builder.limits, store)
    periods = {slot: period for period, slot in periods_of(store.objects).items()}
    tiles = 0
    findings = list[Finding]()
    damage: dict[PeriodTile, Finding] = {}
    for seen in check_tiles(
        mosaic, head, limits, executor=builder.executor, progress=builder.progress
    ):
        tiles += 1
        for each in seen.findings:
            if each.check == "checksums" and seen.slot in periods:
                damage.setdefault((periods[seen.slot], seen.tile), each)
            elif each.check in ("checksums", "records"):
                findings.append(each)
    wanted = Wanted(store)(list(damage)) if damage else {}
    again = []
    for period_tile, each in damage.items():
        if waiting := sorted(set(wanted[period_tile]) & set(broken)):
            advice = f"{_THEN} and repair again"
            text = f"{each.found}, and so is its product {waiting[0]}"
            findings.append(Finding("error", "checksums", each.where, text, advice))
        else:
            again.append(period_tile)
            text = f"{each.found}; it was composed again"
            findings.append(Finding("info", "checksums", each.where, text))
    slots = {period: slot for slot, period in periods.items()}
    cells = tuple(mosaic.frame.cell(slots[period], tile) for period, tile in again)
    return _Damage(tiles, tuple(again), cells, tuple(findings))


def _older(mosaic: Mosaic, head: Version, cells: Sequence[Cell]) -> Iterator[Finding]:
    """Report kept versions that share damaged tiles with the published one."""
    now = digests_at(mosaic, head, cells)
    kept = {each.id: each for each in (*mosaic.history(), *mosaic.tagged("").values())}
    found = [
        each.short
        for each in kept.values()
        if any(a == b for a, b in zip(digests_at(mosaic, each, cells), now, strict=True))
    ]
    if found:
        named = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        yield Finding(
            "warning",
            "checksums",
            "mosaic",
            f"{len(found)} kept older versions share these tiles, and stored versions cannot be "
            f"repaired ({named})",
            "remove them with `deepsalt mosaic prune STORE --keep 1 --yes`",
        )


def _broken(store: Store, progress: Progress) -> Iterator[tuple[str, str]]:
    """Yield the damaged products, and what is wrong."""
    names = sorted(complete_names(store))
    progress.start("products", len(names))
    with ThreadPoolExecutor(_READERS) as pool:
        looked = in_order(pool, partial(_damage_of, store), names)
        for name, found in zip(names, looked, strict=True):
            if found:
                yield name, found
            progress.advance("products")


def _damage_of(store: Store, name: str) -> str:
    try:
        if (marker := find_marker(store, name)) is not None:
            verify_product(store, marker)
    except (StoreAwayError, StoreAccessError):
        raise
    except StoreError as error:
        return str(error)
    return ""


def _break(store: Store, broken: Mapping[str, str]) -> Iterator[Finding]:
    """Remove damaged products from the records."""
    for name, found in broken.items():
        unmark(store, name)
        text = f"{found}, so the product no longer counts"
        yield Finding("warning", "products", prefix_of(name), text, _THEN)
