"""What a store says about itself: STAC Items of sources, products, model and mosaic, quicklook.

Everything lies below the store with relative links, so a store can be moved as a whole. Items of
sources are made anew from the `Acquisition`, without credentials that a signed URL may carry.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from catalog.hrefs import without_credentials
from catalog.items import to_item
from catalog.models import mlm_item
from catalog.publish import Provenance, Source, mosaic_item, product_item
from catalog.store_catalog import rebuild_catalog, write_item, write_source
from deepsalt import __version__
from deepsalt.errors import StoreError
from deepsalt.layers import MOSAIC_LAYERS, SCENE_LAYERS
from deepsalt.objects.disk import storing
from deepsalt.products import ALGORITHM_VERSION, ProductMarker, read_marker
from deepsalt.store.files import write_bytes
from deepsalt.types import Acquisition, ModelRef, Report

if TYPE_CHECKING:
    import pystac

    from deepsalt.store import Period, Store, Version
    from deepsalt.store.versions import Layout

QUICKLOOK = "quicklook.png"
_SOFTWARE = {"deepsalt": __version__}


def publish_product(
    store: "Store", marker: ProductMarker, acquisition: Acquisition, ref: ModelRef
) -> None:
    """Write the Items of a scene product, its source and its model; those there already stay.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    source = _publish_source(store, acquisition)
    item = product_item(
        marker.name,
        SCENE_LAYERS,
        _provenance(marker, _publish_model(store, ref), (source,)),
        href=f"../scenes/{marker.name}.zarr",
        footprint=marker.footprint,
        start=marker.start,
        end=marker.end,
        grid=marker.grid,
        report=marker.report,
        scene_key=marker.scene_key,
    )
    write_item(store.items, item)


def _publish_source(store: "Store", acquisition: Acquisition) -> Source:
    assets = tuple(
        replace(asset, href=without_credentials(asset.href)) if "://" in asset.href else asset
        for asset in acquisition.assets
    )
    item = to_item(replace(acquisition, assets=assets))
    return Source(item.id, write_source(store.items, item))


def _publish_model(store: "Store", ref: ModelRef) -> Source:
    folder = store.path / "models" / ref.digest[:12]
    with storing(folder):
        for file in filter(Path.is_file, Path(ref.path).iterdir()):
            if not (folder / file.name).exists():
                write_bytes(folder / file.name, file.read_bytes())
    card = folder / "card.json"
    item = mlm_item(
        json.loads(card.read_bytes()),
        digest=ref.digest,
        weights_href=f"../models/{folder.name}/model.safetensors",
        card_href=f"../models/{folder.name}/card.json",
        created=datetime.fromtimestamp(int(card.stat().st_mtime), UTC),
    )
    return Source(item.id, write_item(store.items, item).name)


def _provenance(marker: ProductMarker, model: Source, sources: tuple[Source, ...]) -> Provenance:
    return Provenance(
        created=marker.created,
        software=_SOFTWARE,
        algorithm=ALGORITHM_VERSION,
        model=model,
        model_digest=marker.model_digest,
        sources=sources,
        simulated=marker.simulated,
        label=marker.label,
    )


@contextmanager
def drawing(layout: "Layout") -> "Iterator[Future[bytes]]":
    """Draw the quicklook of a version beside the block; given up when the block is left."""
    left = Event()
    with ThreadPoolExecutor(1) as beside:
        try:
            yield beside.submit(draw_quicklook, layout, left.is_set)
        finally:
            left.set()


def draw_quicklook(layout: "Layout", given_up: Callable[[], bool] = lambda: False) -> bytes:
    """Draw the last period of a version, published or not, as a PNG."""
    from deepsalt.plot import quicklook
    from deepsalt.plot.version import picture_of_version
    from deepsalt.store.arrays import open_group

    mosaic = open_group(layout.group, chunked=False)
    picture = picture_of_version(layout, layout.periods[-1], given_up)
    return quicklook(mosaic, simulated=bool(mosaic.attrs["simulated"]), picture=picture)


def publish_mosaic(store: "Store", version: "Version", quicklook: bytes) -> None:
    """Write the Items of a published version, its quicklook, and the store's catalogue.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    from deepsalt.mosaic import withdrawn_products

    current = set()
    for period, names in version.periods:
        if not names:  # all its scenes were withdrawn
            continue
        item_id = f"mosaic-{version.id}-{period.slug}"
        markers = [read_marker(store.scenes / f"{name}.zarr") for name in names]
        write_item(store.items, _mosaic_item(store, version, period, markers, item_id))
        current.add(item_id)
    write_bytes(store.path / QUICKLOOK, quicklook)
    older = {path.stem for path in store.items.glob("mosaic-*.json")} - current
    rebuild_catalog(store.path, leave_out=older | withdrawn_products(store))


def remove_old_mosaics(store: "Store") -> None:
    """Remove the Items of mosaics whose versions are not kept any more.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    for path in store.items.glob("mosaic-*.json"):
        version = path.stem.split("-")[1]
        # Looked up one by one: another build may publish a version meanwhile.
        if not (store.versions / f"{version}.zarr").is_dir():
            with storing(path):
                path.unlink()


def _mosaic_item(
    store: "Store",
    version: "Version",
    period: "Period",
    markers: list[ProductMarker],
    item_id: str,
) -> "pystac.Item":
    layout = version.layout
    reports = (each.report for each in layout.tile_manifests(period.id))
    start, end = _span(period, markers)
    model = _model_source(store, markers[0].model_digest)
    sources = tuple(Source(each.name, f"{each.name}.json") for each in markers)
    newest = max(markers, key=lambda marker: marker.created)
    simulated = any(marker.simulated for marker in markers)
    return mosaic_item(
        item_id,
        MOSAIC_LAYERS,
        replace(_provenance(newest, model, sources), simulated=simulated, created=version.created),
        href=f"../versions/{version.id}.zarr",
        quicklook_href=f"../{QUICKLOOK}",
        bbox=bounds(markers),
        start=start,
        end=end,
        grid=layout.grid.extent_grid(layout.extent),
        report=sum(reports, start=Report()),
        version=version.id,
        period=period.id,
    )


def _span(
    period: "Period", markers: list[ProductMarker]
) -> tuple[datetime | None, datetime | None]:
    if period.start is not None and period.end is not None:
        return _midnight(period.start), datetime.combine(period.end, time.max, UTC)
    starts = [marker.start for marker in markers if marker.start is not None]
    ends = [marker.end or marker.start for marker in markers if marker.start is not None]
    return (min(starts), max(end for end in ends if end is not None)) if starts else (None, None)


def _model_source(store: "Store", digest: str) -> Source:
    for path in store.items.glob(f"*-{digest[:12]}.json"):
        return Source(path.stem, path.name)
    raise StoreError(
        f"store {store.path} has no STAC Item of model {digest[:12]}; run one of its scenes again"
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def bounds(markers: list[ProductMarker]) -> tuple[float, float, float, float]:
    """Return west, south, east and north of all footprints, degrees; west > east over 180."""
    longitudes = [lon for marker in markers for lon, _ in marker.footprint]
    latitudes = [lat for marker in markers for _, lat in marker.footprint]
    west, east = min(longitudes), max(longitudes)
    if east - west > 180.0:
        west = min(lon for lon in longitudes if lon > 0)
        east = max(lon for lon in longitudes if lon <= 0)
    return west, min(latitudes), east, max(latitudes)
