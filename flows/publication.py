"""A store's own catalogue: STAC Items of sources, products, model and versions, and a quicklook.

Links are relative, so a store can be moved as a whole. Items of sources are made from the
`Acquisition`, without credentials that a signed URL may carry. An Item is written along with its
object, before that counts; links are made once for many Items.
"""

import logging
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from catalog.hrefs import without_credentials
from catalog.items import to_item
from catalog.publish.models import mlm_item
from catalog.publish.products import (
    MODELS,
    MOSAICS,
    PRODUCTS,
    Provenance,
    Source,
    mosaic_item,
    product_item,
)
from catalog.publish.store_catalog import href_of, key_of, publish_items, remove_items, write_item
from deepsalt import __version__
from deepsalt.errors import DeepsaltError
from deepsalt.grid import Extent, footprint
from deepsalt.layers import MOSAIC_LAYERS, SCENE_LAYERS
from deepsalt.products import (
    ALGORITHM_VERSION,
    LABEL_ATTRS,
    ProductMarker,
    open_product,
    prefix_of,
    read_markers,
)
from deepsalt.store.documents import read_document
from deepsalt.types import Acquisition, ModelRef
from flows.model_cache import model_prefix, put_model

if TYPE_CHECKING:
    import pystac

    from deepsalt.store import Store
    from deepsalt.versions import Done, Filled, Mosaic, Version

logger = logging.getLogger(__name__)

_SOFTWARE = {"deepsalt": __version__}
_VERSION = "mosaic-"  # prefix of their Items' ids
_PRODUCT = re.compile(r"-[0-9a-f]{12}$")  # suffix of products' names


def items_of(marker: ProductMarker) -> tuple[str, str]:
    """Return the keys of the Items of a product and of its source."""
    return (
        key_of(PRODUCTS, marker.start, marker.name),
        key_of(marker.collection, marker.start, marker.scene_id),
    )


def scene_keys(acquisition: Acquisition, product: str) -> tuple[str, str]:
    """Return the keys of the Items of a scene's product and of the scene."""
    return (
        key_of(PRODUCTS, acquisition.start, product),
        key_of(acquisition.collection, acquisition.start, acquisition.scene_id),
    )


def write_items(
    store: "Store", acquisition: Acquisition, ref: ModelRef, marker: ProductMarker
) -> None:
    """Write the Items of a scene product, its source and its model; existing ones stay.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    source = _write_source(store, acquisition)
    model = _write_model(store, ref)
    item = product_item(
        marker.name,
        SCENE_LAYERS,
        _provenance(marker, model, (source,)),
        href=href_of(prefix_of(marker.name)),
        footprint=marker.footprint,
        start=marker.start,
        end=marker.end,
        grid=marker.grid,
        report=marker.report,
        scene_key=marker.scene_key,
    )
    write_item(store.objects, item)


class _Unlinked:
    """Items that the catalogue of a store does not link: withdrawn products, other versions."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._mosaic: Mosaic | None = None

    def unlinked(self) -> Callable[[str], bool]:
        """Return the present ones; called only if there are such Items."""
        from deepsalt.mosaic import withdrawn_names

        withdrawn = cache(lambda: withdrawn_names(self._store))
        published = cache(self._published)

        def is_unlinked(name: str) -> bool:
            if name.startswith(_VERSION):
                return name != published()
            return bool(_PRODUCT.search(name)) and name in withdrawn()

        return is_unlinked

    def _published(self) -> str:
        from deepsalt.versions import find_repository

        self._mosaic = self._mosaic or find_repository(self._store.objects)
        head = self._mosaic.head() if self._mosaic else None
        return _item_id(head) if head else ""


def link_items(store: "Store", keys: Iterable[str]) -> None:
    """Link the Items that were written in the catalogue, except those of withdrawn products.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    publish_items(store.objects, set(keys), leave_out=_Unlinked(store))


def link_scene(store: "Store", acquisition: Acquisition, product: str) -> None:
    """Link the Items of one scene, its product and its model in a store's catalogue.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    if product:
        link_items(store, {*scene_keys(acquisition, product), *model_keys(store)})


def picture_key(product: str) -> str:
    """Return the key of the picture of a scene product."""
    return f"pictures/{product}.png"


def draw_scene(store: "Store", product: str) -> None:
    """Draw a scene product into the store, for whoever looks at its run.

    Raises
    ------
    StoreError
        The product is damaged, or the store cannot be written.
    """
    from deepsalt.plot import quicklook
    from deepsalt.plot.picture import picture_of

    marker = read_markers(store, [product])[product]
    layers = open_product(store, product).assign_attrs(sensors=[marker.sensor])
    taken = f"{marker.start:%Y-%m-%d}" if marker.start else ""
    png = quicklook(
        layers,
        simulated=marker.simulated,
        note=f"{marker.scene_key} {taken}",
        picture=picture_of(layers),
    )
    store.objects.write(picture_key(product), png)


def publish_version(
    store: "Store", mosaic: "Mosaic", version: "Version", done: "Iterable[Done]" = ()
) -> None:
    """Draw a published version, write its Item, and link it in the catalogue.

    Readers already have the version: a failure here is a warning, and is made good next time.

    Parameters
    ----------
    store, mosaic, version
        The version.
    done
        Tiles that were composed for it.
    """
    from deepsalt.mosaic import draw_version

    try:
        with ThreadPoolExecutor(1, "draw") as beside:
            drawn = beside.submit(draw_version, store, mosaic, version, done)
            _publish_item(store, mosaic, version)
            drawn.result()
    except DeepsaltError as error:
        logger.warning(
            "version %s is published, but not its picture or catalogue: %s; `deepsalt mosaic "
            "build` tries again",
            version.short,
            error,
        )


def _publish_item(store: "Store", mosaic: "Mosaic", version: "Version") -> None:
    """Write the Item of a version and link it, together with those of its new products."""
    from deepsalt.versions import filled_periods

    before = mosaic.before(version)
    keys = version_keys(mosaic, [version, *([before] if before else [])])
    if periods := filled_periods(mosaic, version):
        write_item(store.objects, _version_item(store, mosaic, version, periods))
    added = read_markers(store, version.added).values()
    link_items(store, {*keys.values(), *(key for each in added for key in items_of(each))})


def unlink_items(store: "Store", keys: Iterable[str]) -> None:
    """Remove Items of versions that can no longer be opened, and of deleted products.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    remove_items(store.objects, keys, leave_out=_Unlinked(store))


def version_keys(mosaic: "Mosaic", versions: "Iterable[Version]") -> dict[str, str]:
    """Return the key of the Item of each version that has one, by its id."""
    found = {version.id: _version_key(mosaic, version) for version in versions}
    return {version: key for version, key in found.items() if key is not None}


def _write_source(store: "Store", acquisition: Acquisition) -> Source:
    assets = tuple(
        replace(asset, href=without_credentials(asset.href)) if "://" in asset.href else asset
        for asset in acquisition.assets
    )
    item = to_item(replace(acquisition, assets=assets))
    return Source(item.id, href_of(write_item(store.objects, item)))


@lru_cache(maxsize=64)
def _write_model(store: "Store", ref: ModelRef) -> Source:
    """Write a model and its Item, once per process."""
    prefix = model_prefix(ref.digest)
    put_model(store.objects, ref)
    # Its date is that of the first copy in the store, so that all have the same Item; a copy not
    # yet listed was made just now.
    stored = {entry.key: entry.modified for entry in store.objects.list(prefix)}
    created = stored.get(f"{prefix}/card.json", datetime.now(UTC))
    item = mlm_item(
        read_document(store.objects, f"{prefix}/card.json"),
        digest=ref.digest,
        weights_href=href_of(f"{prefix}/model.safetensors"),
        card_href=href_of(f"{prefix}/card.json"),
        created=created.replace(microsecond=0),
    )
    return Source(item.id, href_of(write_item(store.objects, item)))


def model_keys(store: "Store") -> set[str]:
    """Return the key of the Item of the store's model; empty before its first scene.

    Writing a product links it; a run killed in between did not, and the products it left do not say
    which it is.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    model = _model_of(store)
    return set() if model is None else {_key(model)}


def _model_of(store: "Store") -> Source | None:
    """Return the Item of the store's model; None before its first scene."""
    ending = f"-{store.model[:12]}.json"
    for entry in store.objects.list(f"collections/{MODELS}"):
        if entry.key.endswith(ending):
            name = entry.key.rpartition("/")[2]
            return Source(name.removesuffix(".json"), href_of(entry.key))
    return None


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


def _version_item(
    store: "Store", mosaic: "Mosaic", version: "Version", periods: "list[Filled]"
) -> "pystac.Item":
    from deepsalt.mosaic import QUICKLOOK
    from deepsalt.versions import layers_of, periods_of

    grid = store.grid.extent_grid(Extent.of([tile for each in periods for tile in each.tiles]))
    slots = {slot: period.id for period, slot in periods_of(store.objects).items()}
    model = _model_of(store)
    attrs = layers_of(mosaic, version)["salinity"].attrs
    added = read_markers(store, version.added)
    before = mosaic.before(version)
    key = _version_key(mosaic, before) if before else None
    return mosaic_item(
        _item_id(version),
        MOSAIC_LAYERS,
        Provenance(
            created=version.created,
            software={"deepsalt": version.software},
            algorithm=ALGORITHM_VERSION,
            model=model or Source(store.model[:12], href_of(model_prefix(store.model))),
            model_digest=store.model,
            sources=tuple(Source(m.name, href_of(items_of(m)[0])) for m in added.values()),
            simulated=version.simulated > 0,
            label={name: str(attrs[name]) for name in LABEL_ATTRS if name in attrs},
        ),
        href=href_of("mosaic"),
        snapshot_id=version.id,
        quicklook_href=href_of(QUICKLOOK),
        bbox=bounds(footprint(grid)),
        start=_midnight(periods[0].days[0]),
        end=datetime.combine(periods[-1].days[1], time.max, UTC),
        grid=grid,
        report=version.totals,
        version=version.short,
        periods=[slots[each.slot] for each in periods],
        predecessor=Source(_item_id(before), href_of(key)) if before and key else None,
    )


def _item_id(version: "Version") -> str:
    return f"{_VERSION}{version.short}"


def _version_key(mosaic: "Mosaic", version: "Version") -> str | None:
    """Return the location of a version's Item; None for one without data, which has no Item."""
    from deepsalt.versions import filled_periods

    periods = filled_periods(mosaic, version)
    if not periods:
        return None
    return key_of(MOSAICS, _midnight(periods[0].days[0]), _item_id(version))


def _key(source: Source) -> str:
    return source.href.removeprefix(href_of(""))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def bounds(corners: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Return west, south, east and north of points, degrees; west > east over 180."""
    longitudes, latitudes = zip(*corners, strict=True)
    west = min(longitudes)
    east = max(longitudes)
    if east - west > 180.0:
        west = min(lon for lon in longitudes if lon > 0)
        east = max(lon for lon in longitudes if lon <= 0)
    return west, min(latitudes), east, max(latitudes)
