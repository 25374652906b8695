"""The quicklook of a version: new tiles drawn over the previous picture."""

from collections.abc import Iterable

import numpy as np

from deepsalt.errors import MissingObjectError, StoreError
from deepsalt.grid import Tile
from deepsalt.plot import quicklook
from deepsalt.plot.overview import Overview, TileView, cell_px
from deepsalt.plot.picture import classify, needed
from deepsalt.plot.salt import SaltRule
from deepsalt.store import Store
from deepsalt.versions import Done, Filled, Mosaic, Version, filled_periods, layers_of, open_mosaic

QUICKLOOK = "quicklook.png"


def draw_version(store: Store, mosaic: Mosaic, version: Version, done: Iterable[Done] = ()) -> None:
    """Draw the last period of a published version into the store.

    If another version is published meanwhile, it is drawn over this one: of several concurrent
    writers the last one checks last.

    Parameters
    ----------
    store, mosaic, version
        The version to draw.
    done
        Tiles that were composed for it; the views of others come from the previous picture, or are
        read.

    Raises
    ------
    StoreError
        The version no longer exists, or the store cannot be read or written.
    """
    _draw(store, mosaic, version, done)
    while (head := mosaic.head()) is not None and head.id != version.id:
        version = head
        _draw(store, mosaic, version, ())


def _draw(store: Store, mosaic: Mosaic, version: Version, done: Iterable[Done]) -> None:
    periods = filled_periods(mosaic, version)
    if not periods:
        store.objects.delete([QUICKLOOK])
        return
    overview = _overview(store, mosaic, version, periods[-1], done)
    ds = open_mosaic(mosaic, version=version.id, chunks=None)
    simulated = version.simulated > 0
    png = quicklook(ds, simulated=simulated, picture=overview.picture())
    store.objects.write(QUICKLOOK, png)


def _overview(
    store: Store, mosaic: Mosaic, version: Version, last: Filled, done: Iterable[Done]
) -> Overview:
    """Return the views of the last period, and keep them for the next version."""
    key = f"records/overviews/{last.slot:04d}"
    size = cell_px(store.grid, len(last.tiles))
    wanted = [*last.tiles.items()]
    known = (_kept(store, key) or Overview(store.grid, size, {})).of(wanted)
    fresh = {
        (each.job.tile, each.job.digest): TileView.unpack(each.note.view)
        for each in done
        if each.job.slot == last.slot and last.tiles.get(each.job.tile) == each.job.digest
    }
    edge = next((store.grid.tile_px // len(view.kinds) for view in fresh.values()), size)
    overview = known.painted(edge, fresh)
    missing = [seen for seen in wanted if seen not in overview.views]
    size = max(size, overview.cell_px)
    read = {seen: _read(mosaic, version, last.slot, seen[0], size) for seen in missing}
    overview = overview.painted(size, read)
    if fresh or read:
        store.objects.write(key, overview.pack())
    return overview


def _kept(store: Store, key: str) -> Overview | None:
    try:
        return Overview.unpack(store.objects.read(key), store.grid)
    except MissingObjectError:
        return None


def _read(mosaic: Mosaic, version: Version, slot: int, tile: Tile, size: int) -> TileView:
    """Return the view of a tile, from its pixels."""
    arrays = layers_of(mosaic, version)
    rule = SaltRule.of(arrays)
    grid = mosaic.frame.grid
    _, row, column = mosaic.frame.cell(slot, tile)
    edge = grid.shard_px
    pieces = []
    for top in range(0, grid.tile_px, edge):
        for left in range(0, grid.tile_px, edge):
            y, x = row * grid.tile_px + top, column * grid.tile_px + left
            place = (slot, ..., slice(y, y + edge), slice(x, x + edge))
            try:
                layers = {name: np.asarray(arrays[name][place]) for name in needed(rule)}
            except (ValueError, RuntimeError) as error:  # a wrong checksum, or undecodable data
                raise StoreError(
                    f"tile {tile.id} cannot be read ({error}); run `deepsalt mosaic repair`"
                ) from error
            pieces.append(((top, left), classify(layers, rule)))
    return TileView.of(pieces, grid.tile_px, size)
