"""The STAC catalogue of a store: what links the Items of its products and mosaics together.

::

    STORE
    ├── catalog.json
    ├── collections/<id>/collection.json
    └── items/<item>.json                   immutable; link to the two above
        └── sources/<item>.json             scenes that products were made of, the same

Everything is linked relatively: STORE can be moved or served as it is.
"""

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pystac

from catalog.documents import file_name, read_json, write_json
from catalog.extents import catalog_document, collection_document, grown_extent
from catalog.publish import MODELS, MOSAICS, PRODUCTS, add_store_links
from deepsalt.errors import FormatError

logger = logging.getLogger(__name__)

_ORDER = (MOSAICS, PRODUCTS, MODELS)
_SOURCES = "sources"


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


def write_source(items_dir: str | Path, item: pystac.Item) -> str:
    """Write the Item of a scene that products are made of; one there already stays as it is.

    Returns
    -------
    Its place relative to the Items of the store.

    Raises
    ------
    FormatError
        The Item has no collection.
    StoreError
        No permission, no space.
    """
    if not item.collection_id:
        raise FormatError(f"item {item.id} has no collection; set one before a store can list it")
    add_store_links(item, item.collection_id, up="../..")
    return f"{_SOURCES}/{write_item(Path(items_dir) / _SOURCES, item).name}"


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
    sources = _write_source_collections(root, folder / _SOURCES)
    children = [f"./collections/{file_name(c)}/collection.json" for c in (*ordered, *sources)]
    write_json(root / "catalog.json", catalog_document("deepsalt-store", children))
    linked = sum(len(members) for members in groups.values()) + sum(sources.values())
    logger.info("%d Items linked in %s", linked, root / "catalog.json")
    return linked


def _write_source_collections(root: Path, folder: Path) -> dict[str, int]:
    """Write the collections of the source Items; return how many Items each has, by id.

    Only Items that no collection lists yet are read: a store has thousands, of 224 bands each.
    """
    there = {path.name: path for path in folder.glob("*.json")}
    known: dict[str, dict[str, Any]] = {}
    listed: dict[str, set[str]] = {}
    for path in sorted(root.glob("collections/*/collection.json")):
        document = _whole_collection(path)
        names = {name for name in _listed(document, path, folder) if name in there}
        if names:
            known[document["id"]], listed[document["id"]] = document, names
    new: dict[str, list[dict[str, Any]]] = {}
    for name in sorted(there.keys() - set().union(*listed.values())):
        document = read_json(there[name])
        collection = document.get("collection")
        if document.get("type") != "Feature" or not isinstance(collection, str):
            raise FormatError(
                f"{there[name]} is no STAC Item with a collection; remove it and run again"
            )
        new.setdefault(collection, []).append(document)
        listed.setdefault(collection, set()).add(name)
    for collection in new.keys() | known.keys():
        paths = [there[name] for name in sorted(listed[collection])]
        _write_document(root, collection, paths, new.get(collection, []), known.get(collection))
    return {collection: len(listed[collection]) for collection in sorted(listed)}


def _whole_collection(path: Path) -> dict[str, Any]:
    """Return a collection to go on from; an empty one when damaged: its Items make it anew."""
    try:
        document = read_json(path)
        grown_extent(document, [])
    except (FormatError, AttributeError, KeyError, TypeError, ValueError):
        return {}
    identifier = document.get("id")
    same = isinstance(identifier, str) and file_name(identifier) == path.parent.name
    return document if same else {}


def _listed(document: dict[str, Any], path: Path, folder: Path) -> Iterator[str]:
    """Yield the names of files in a folder that a collection links as Items."""
    inside = os.path.relpath(folder, path.parent)
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        href = link.get("href") if isinstance(link, dict) and link.get("rel") == "item" else None
        if isinstance(href, str) and os.path.dirname(href) == inside:
            yield os.path.basename(href)


def _write_collection(
    root: Path, collection: str, members: list[tuple[Path, dict[str, Any]]]
) -> None:
    paths = [path for path, _ in members]
    _write_document(root, collection, paths, [document for _, document in members], None)


def _write_document(
    root: Path,
    collection: str,
    paths: Sequence[Path],
    items: Sequence[dict[str, Any]],
    known: dict[str, Any] | None,
) -> None:
    """Write a collection that links all `paths`; `items` are those its `known` document lacks."""
    path = root / "collections" / file_name(collection) / "collection.json"
    simulated = any(item["properties"].get("deepsalt:simulated") for item in items)
    links = [
        {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
        {"rel": "parent", "href": "../../catalog.json", "type": "application/json"},
        *(
            {
                "rel": "item",
                "href": os.path.relpath(item, path.parent),
                "type": "application/geo+json",
            }
            for item in paths
        ),
    ]
    flag = {"deepsalt:simulated": True} if simulated else {}
    document = known or collection_document(collection)
    write_json(path, {**document, **flag, "extent": grown_extent(known, items), "links": links})
