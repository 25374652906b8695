"""Differences between two versions, and their encoded bytes, for copying them elsewhere."""

from icechunk import IcechunkError
from zarr.abc.store import Store

from deepsalt.grid import Tile
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.versions.read import Reading
from deepsalt.versions.repository import Mosaic, Version
from deepsalt.versions.storage import is_missing

Piece = tuple[int, Tile]
"""A tile of a period, identified by its slot."""

_NO_ANCESTOR = "ancestry doesn't include"


def changed_pieces(mosaic: Mosaic, since: str, version: Version) -> set[Piece] | None:
    """Return the tiles that were composed or emptied between two versions, as Icechunk recorded.

    Parameters
    ----------
    mosaic
        The mosaic.
    since
        Id of the older version's snapshot.
    version
        The newer version.

    Returns
    -------
    set of Piece or None
        None if the older one is not an ancestor of the newer, or has expired.

    Raises
    ------
    StoreError
        No access.
    """
    if since == version.id:
        return set()
    with mosaic.reaching():
        try:
            found = mosaic.repository.diff(from_snapshot_id=since, to_snapshot_id=version.id)
        except IcechunkError as error:
            if _NO_ANCESTOR in str(error) or is_missing(error):
                return None
            raise
    n = mosaic.frame.grid.tile_shards
    cells = {
        (slot, y // n, x // n)
        for layer in MOSAIC_LAYERS
        for slot, *_, y, x in found.updated_chunks.get(f"/{layer.name}", ())
    }
    cells |= {(slot, y, x) for slot, y, x in found.updated_chunks.get("/tile_digest", ())}
    return {(slot, mosaic.frame.tile(row, column)) for slot, row, column in cells}


def encoded(mosaic: Mosaic, version: Version) -> Store:
    """Return the Zarr store of a version: documents and encoded shards by key, to read.

    Raises
    ------
    StoreError
        The version no longer exists, or no access.
    """
    with mosaic.reaching():
        session = mosaic.session_at(version.id)
        return Reading(session.store, mosaic.objects, version.short)
