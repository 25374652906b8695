"""The tiles of a version, read completely: their content, and whether they are readable."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from deepsalt.concurrency import in_order
from deepsalt.errors import StoreAccessError, StoreAwayError, StoreError, VersionMissingError
from deepsalt.grid import Tile
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.progress import Progress, Silent
from deepsalt.validate.findings import Finding
from deepsalt.validate.limits import Limits
from deepsalt.validate.pixels import check_pixels
from deepsalt.versions import Filled, Mosaic, Stored, Version, filled_periods

_BATCH = 8
"""Tiles per call: a version is opened once for each."""

REPAIR = "run `deepsalt mosaic repair`"
ANEW = (
    "remove everything under mosaic/ and run `deepsalt mosaic build`, which rebuilds the mosaic "
    "from its scenes, without older versions"
)


@dataclass(frozen=True, slots=True)
class TileFindings:
    """Result of checking a tile.

    Parameters
    ----------
    slot
        Of its period.
    tile
        The tile.
    findings
        What was found.
    """

    slot: int
    tile: Tile
    findings: tuple[Finding, ...]


def check_tiles(
    mosaic: Mosaic,
    version: Version,
    limits: Limits,
    *,
    executor: Executor,
    progress: Progress | None = None,
) -> Iterator[TileFindings]:
    """Read every tile of a version and check its values and checksums.

    Parameters
    ----------
    mosaic, version
        The version to check.
    limits
        Limits beyond which values are wrong.
    executor
        What reads the tiles.
    progress
        Receives progress on them, as ``checks``.

    Raises
    ------
    VersionMissingError
        The version was pruned meanwhile.
    StoreError
        No access, or the list of tiles is lost.
    """
    periods = filled_periods(mosaic, version)
    named = [
        (filled.slot, tile, _name(tile, filled if len(periods) > 1 else None))
        for filled in periods
        for tile in sorted(filled.tiles)
    ]
    progress = progress or Silent()
    progress.start("checks", len(named))
    check = partial(_check, mosaic, version, limits)
    batches = (named[first : first + _BATCH] for first in range(0, len(named), _BATCH))
    for checked in in_order(executor, check, batches):
        yield from checked
        progress.advance("checks", len(checked))


def _name(tile: Tile, filled: Filled | None) -> str:
    return f"tile {tile.id}" + (f" of {filled.days[0]}/{filled.days[1]}" if filled else "")


def _check(
    mosaic: Mosaic, version: Version, limits: Limits, named: Sequence[tuple[int, Tile, str]]
) -> list[TileFindings]:
    stored = Stored.of(mosaic, version)
    return [
        TileFindings(slot, tile, tuple(_check_tile(stored, version, limits, (slot, tile, where))))
        for slot, tile, where in named
    ]


def _check_tile(
    stored: Stored, version: Version, limits: Limits, named: tuple[int, Tile, str]
) -> Iterator[Finding]:
    slot, tile, where = named
    frame = stored.mosaic.frame
    cell = frame.cell(slot, tile)
    arrays = {layer.name: stored.arrays[layer.name] for layer in MOSAIC_LAYERS}
    try:
        regions = stored.regions(cell)
    except (StoreAwayError, StoreAccessError):
        raise
    except StoreError as error:
        found = f"the list of the tile's shards is lost ({error})"
        yield Finding("error", "records", where, found, ANEW)
        return
    try:
        stored.made_of(cell)
        pixels = frame.grid.tile_px**2
        yield from check_pixels(arrays, slot, regions, limits, where=where, pixels=pixels)
    except VersionMissingError:
        # Raised for a missing object; the version itself may have been pruned.
        stored.mosaic.find(version.id)
        yield Finding("error", "checksums", where, "an object of the tile is lost", REPAIR)
    except (StoreAwayError, StoreAccessError):
        raise
    except StoreError as error:
        yield Finding("error", "checksums", where, str(error), REPAIR)
