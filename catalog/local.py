"""A STAC catalogue in a folder that can be moved as a whole.

::

    FOLDER
    ├── catalog.json
    └── enmap-l2a
        ├── collection.json
        └── <item id>
            └── <item id>.json

Links are relative; assets inside FOLDER are named relative to their Item, assets elsewhere by their
absolute path. Writing is atomic per file, and Items are written before the documents that link to
them: a killed `add_items` leaves a valid catalogue, and running it again completes it.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pystac

from catalog.extents import catalog_document, collection_document, grown_extent
from catalog.fields import Fields, shown
from catalog.hrefs import absolute_href, has_url_scheme, portable_href
from catalog.names import file_name
from deepsalt.documents import read_json, write_json
from deepsalt.errors import FormatError, StoreError, StoreMismatchError


@dataclass(frozen=True, slots=True)
class AddReport:
    """Outcome of `add_items`.

    Parameters
    ----------
    added, replaced, unchanged
        Ids of Items that are new, that had other content, and that were the same.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{len(self.added)} added, {len(self.replaced)} replaced, "
            f"{len(self.unchanged)} unchanged"
        )


Refused = Callable[[pystac.Item, str], None]
"""Called with an Item that was not added, and the reason."""


def add_items(
    folder: str | Path, items: Iterable[pystac.Item], refused: Refused | None = None
) -> AddReport:
    """Add Items to a catalogue folder, created if missing.

    Adding the same Items again changes nothing; an Item with the id of an existing one replaces it.
    Only documents that link to changed Items are rewritten.

    Parameters
    ----------
    folder
        Folder of the catalogue.
    items
        Items with a collection; asset hrefs absolute or relative to the Item's self link.
    refused
        Called with each Item that cannot be added, while the others are. Default: raise the first.

    Raises
    ------
    FormatError
        An Item has no collection, a generic cube has the name of another file, or a document of the
        catalogue is damaged (the message names it).
    StoreError
        No permission, no space, or the folder is a file.
    StoreMismatchError
        The folder is a store.
    """
    root = Path(os.path.abspath(folder))
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is a file; give the folder of a catalogue")
    if (root / "store.json").exists():
        raise StoreMismatchError(
            f"{root} is a store, whose catalogue lists its products; ingest into another folder"
        )
    outcome: dict[str, list[str]] = {"added": [], "replaced": [], "unchanged": []}
    written: dict[str, list[dict[str, Any]]] = {}
    try:
        for item in items:
            document = item.to_dict(include_self_link=False, transform_hrefs=False)
            try:
                state, collection = _write_item(root, document, item.get_self_href())
            except FormatError as error:
                if refused is None:
                    raise
                refused(item, str(error))
                continue
            outcome[state].append(item.id)
            written.setdefault(collection, []).append(document)
    finally:  # Items written before a refused one are linked all the same
        for collection, documents in written.items():
            _write_collection(root / file_name(collection), collection, documents)
        if written:
            _write_catalog(root)
    return AddReport(**{state: tuple(ids) for state, ids in outcome.items()})


def read_item(path: str | Path) -> pystac.Item:
    """Read one Item file; its asset hrefs become absolute.

    Raises
    ------
    FormatError
        The file is not a STAC Item.
    """
    file = Path(os.path.abspath(path))
    return as_item(located(read_json(file), str(file)), str(file))


def located(document: dict[str, Any], source: str) -> dict[str, Any]:
    """Return an Item's document with absolute asset hrefs and its own location as ``self`` link.

    Links that only serve walking a catalogue are dropped: following one by accident would read
    other files or contact a server.
    """
    where = f"item {shown(document.get('id'))} in {source}"
    assets = document.get("assets")
    links = document.get("links")
    if not isinstance(assets, dict) or not all(isinstance(a, dict) for a in assets.values()):
        raise FormatError(f"{where} has no 'assets'; expected a JSON object of assets")
    walking = {"self", "root", "parent", "collection", "child", "item", "next", "prev"}
    kept = [
        link
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict) and link.get("rel") not in walking and link.get("href")
    ]
    return {
        **document,
        "assets": {
            name: {**asset, "href": absolute_href(asset.get("href"), source, where)}
            for name, asset in assets.items()
        },
        "links": [{"rel": "self", "href": source, "type": "application/geo+json"}, *kept],
    }


def as_item(document: dict[str, Any], source: str) -> pystac.Item:
    """Return a document as an Item without changing its fields.

    Raises
    ------
    FormatError
        pystac cannot make it an Item.
    """
    try:
        return pystac.Item.from_dict(document, migrate=False, preserve_dict=False)
    except (pystac.STACError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{source}: {shown(document.get('id'))} is not a STAC Item ({error})"
        ) from error


def _write_item(root: Path, document: dict[str, Any], source: str | None) -> tuple[str, str]:
    collection = document.get("collection")
    item_id = document["id"]
    if not collection:
        raise FormatError(f"item {item_id} has no collection; set one before adding it")
    name = file_name(item_id)
    folder = root / file_name(collection) / name
    for asset_name, asset in document["assets"].items():
        where = f"asset {asset_name} of item {item_id}"
        href = absolute_href(asset.get("href"), source, where)
        asset["href"] = portable_href(href, str(root), str(folder))
    kept = [link for link in document["links"] if link["rel"] in {"derived_from", "license", "via"}]
    document["links"] = [
        {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
        {"rel": "parent", "href": "../collection.json", "type": "application/json"},
        {"rel": "collection", "href": "../collection.json", "type": "application/json"},
        *kept,
    ]
    path = folder / f"{name}.json"
    known = path.exists()
    if known:
        _refuse_namesake(path, document)
    changed = write_json(path, document)
    return ("unchanged" if not changed else "replaced" if known else "added"), collection


def _refuse_namesake(path: Path, document: dict[str, Any]) -> None:
    """Refuse to replace a generic cube with another that merely has the same file name."""
    old = read_json(path)
    name = "deepsalt:acquisition_id"
    same = Fields.of(old.get("properties"), f"'properties' in {path}").values.get(name)
    if document["properties"].get("deepsalt:sensor") != "generic" or (
        same == document["properties"].get(name)
    ):
        return
    old_path, new_path = (_first_file(doc, path) for doc in (old, document))
    if not old_path or not new_path or old_path == new_path:
        return
    if os.path.exists(old_path) and os.path.exists(new_path):
        raise FormatError(
            f"{new_path} has the same name as {old_path}, which is in the catalogue as "
            f"{document['id']}; rename one of the files"
        )


def _first_file(document: dict[str, Any], path: Path) -> str | None:
    assets = document.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        href = asset.get("href") if isinstance(asset, dict) else None
        if isinstance(href, str) and not has_url_scheme(href):
            return os.path.normpath(path.parent / href)
    return None


def _write_collection(folder: Path, collection: str, items: list[dict[str, Any]]) -> None:
    path = folder / "collection.json"
    document = read_json(path) if path.exists() else collection_document(collection)
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    write_json(
        path,
        {
            **document,
            "extent": grown_extent(document if path.exists() else None, items),
            "links": [
                {"rel": "root", "href": "../catalog.json", "type": "application/json"},
                {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
                *(
                    {"rel": "item", "href": f"./{n}/{n}.json", "type": "application/geo+json"}
                    for n in names
                    if (folder / n / f"{n}.json").is_file()
                ),
            ],
        },
    )


def _write_catalog(root: Path) -> None:
    names = sorted(path.parent.name for path in root.glob("*/collection.json"))
    children = [f"./{name}/collection.json" for name in names]
    write_json(root / "catalog.json", catalog_document("deepsalt", children))
