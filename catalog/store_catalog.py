"""The STAC catalogue of a store: what links the Items of its products and mosaics together.

::

    STORE
    ├── catalog.json
    ├── collections/<id>/collection.json
    └── items/<item>.json                   immutable; link to the two above

Everything is linked relatively: STORE can be moved or served as it is.
"""

import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pystac

from catalog.documents import file_name, read_json, write_json
from catalog.extents import catalog_document, collection_document, grown_extent
from catalog.publish import MODELS, MOSAICS, PRODUCTS
from deepsalt.errors import FormatError

logger = logging.getLogger(__name__)

_ORDER = (MOSAICS, PRODUCTS, MODELS)


def write_item(items_dir: str | Path, item: pystac.Item) -> Path:
    """Write the Item of a product; one that is there already stays as it is.

    Returns
    -------
    Path of the Item's file.

    Raises
    ------
    StoreError
        No permission, no space.
    """
    path = Path(items_dir) / f"{file_name(item.id)}.json"
    if not path.exists():
        write_json(path, item.to_dict(include_self_link=False, transform_hrefs=False))
    return path


def rebuild_catalog(
    store_root: str | Path, items_dir: str | Path | None = None, *, leave_out: Collection[str] = ()
) -> int:
    """Write ``catalog.json`` and the collections of a store from its Item files.

    Parameters
    ----------
    store_root
        Folder of the store.
    items_dir
        Folder of the Items; ``STORE/items`` by default.
    leave_out
        Ids of Items not to link: products of withdrawn scenes, mosaics of versions that were
        cleared away.

    Returns
    -------
    Number of Items linked.

    Raises
    ------
    FormatError
        An Item file is damaged; the message names it.
    StoreError
        No permission, no space.
    """
    root = Path(store_root)
    folder = root / "items" if items_dir is None else Path(items_dir)
    groups: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for path in sorted(folder.glob("*.json")):
        document = read_json(path)
        collection = document.get("collection")
        if document.get("type") != "Feature" or not isinstance(collection, str):
            raise FormatError(f"{path} is no STAC Item with a collection; remove it and run again")
        if document.get("id") not in leave_out:
            groups.setdefault(collection, []).append((path, document))
    for collection, members in groups.items():
        _write_collection(root, collection, members)
    ordered = sorted(groups, key=lambda c: (_ORDER.index(c) if c in _ORDER else len(_ORDER), c))
    children = [f"./collections/{file_name(c)}/collection.json" for c in ordered]
    write_json(root / "catalog.json", catalog_document("deepsalt-store", children))
    linked = sum(len(members) for members in groups.values())
    logger.info("%d Items linked in %s", linked, root / "catalog.json")
    return linked


def _write_collection(
    root: Path, collection: str, members: list[tuple[Path, dict[str, Any]]]
) -> None:
    path = root / "collections" / file_name(collection) / "collection.json"
    simulated = any(doc["properties"].get("deepsalt:simulated") for _, doc in members)
    document = collection_document(collection)
    links = [
        {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
        {"rel": "parent", "href": "../../catalog.json", "type": "application/json"},
        *(
            {
                "rel": "item",
                "href": os.path.relpath(item, path.parent),
                "type": "application/geo+json",
            }
            for item, _ in members
        ),
    ]
    extent = grown_extent(None, [doc for _, doc in members])
    flag = {"deepsalt:simulated": True} if simulated else {}
    write_json(path, {**document, **flag, "extent": extent, "links": links})
