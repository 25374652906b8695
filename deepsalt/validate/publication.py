"""What a version passes before readers see it: everything that is new in it."""

from collections.abc import Collection, Iterable
from concurrent.futures import Executor
from contextlib import nullcontext
from itertools import chain

from deepsalt.errors import StoreError
from deepsalt.store import Store, current_version
from deepsalt.store.arrays import open_group
from deepsalt.store.lease import Lease
from deepsalt.store.versions import Layout
from deepsalt.validate.catalogue import check_items
from deepsalt.validate.findings import Finding, Limits, Listener, Nobody
from deepsalt.validate.mosaic import (
    check_freshness,
    check_georeferencing,
    check_layers,
    check_shards,
)
from deepsalt.validate.store import check_contents, threads


def refuse_unfit(
    store: Store,
    layout: Layout,
    products: Collection[str],
    limits: Limits,
    lease: Lease,
    *,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> None:
    """Refuse to publish a version in which a check finds an error.

    Shards are looked for in all tiles. Checksums and pixels are read of the tiles that the
    published version does not have, Items of the products that it does not have, so the cost
    follows what changed. A damaged tile loses its manifest and damaged metadata their file, so that
    the next build makes them again.

    Parameters
    ----------
    store
        The store.
    layout
        Where the version lies that was built.
    products
        Names of its products.
    limits
        From where on it is wrong.
    lease
        The right to remove what is damaged.
    executor
        What reads the tiles, a call per tile; threads of this process without.
    listener
        Told about checks of tiles.

    Raises
    ------
    StoreError
        Names the first thing that is wrong, and how many more are.
    """
    current = current_version(store)
    published = current.layout.tile_manifests() if current else []
    before = {(each.period, each.tile): each.digest for each in published}
    fresh = {*products} - {*(current.products if current else ())}
    tiles = layout.tile_manifests()
    new = [each for each in tiles if before.get((each.period, each.tile)) != each.digest]
    ds = open_group(layout.group, chunked=False)
    metadata = _errors([*check_layers(layout, ds), *check_georeferencing(layout, ds)])
    aged = check_freshness(store, products, max_age_days=limits.max_age_days)
    errors = [*metadata, *_errors(check_items(store, fresh)), *_errors(aged)]
    shards = ((tile, check_shards(layout, tile, checksums=False)) for tile in tiles)
    with nullcontext(executor) if executor else threads() as pool:
        heard = listener or Nobody()
        contents = check_contents(store, layout, new, limits, executor=pool, heard=heard)
        for tile, found in chain(shards, contents):
            if wrong := _errors(found):
                lease.check()
                layout.manifest_path(tile.period, tile.tile).unlink(missing_ok=True)
                errors += wrong
    if metadata:
        lease.check()
        (layout.group / "zarr.json").unlink()
    if errors:
        first, more = errors[0], len(errors) - 1
        rest = f" ({more} more)" if more else ""
        raise StoreError(
            f"{layout.group.stem} is not published: {first.where}: {first.message}{rest}"
        )


def _errors(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]
