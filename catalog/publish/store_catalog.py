"""The STAC catalogue of a store, which links the Items of its products and mosaics.

::

    STORE
    ├── catalog.json                                  links the collections
    ├── collections/<collection>/collection.json      links its months
    │   └── <YYYY-MM>/catalog.json                    links the Items of the month; `undated`
    │       └── <item>.json                           immutable
    └── records/catalogue/<collection>/<number>.json  months, extent and simulated or not

Links are relative: STORE can be moved or served as it is. Nothing is linked before it exists.

Any number of publishers may work at once, see `publish_items`. Adding Items costs the same however
many other months have: a month is listed as a whole, and a collection keeps its contents in a
series of records, each of which includes the one before.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

import pystac

from catalog.extents import STAC_VERSION, catalog_document, collection_document, grown_extent
from catalog.fields import Fields
from catalog.names import file_name
from catalog.publish.products import GEOJSON, MODELS, MOSAICS, PRODUCTS
from deepsalt.documents import encode, parse_document
from deepsalt.errors import FormatError, MissingObjectError, StoreError, UsageError
from deepsalt.objects import Objects, append, latest, trim

logger = logging.getLogger(__name__)

IsUnlinked = Callable[[str], bool]
"""Whether an Item is left unlinked, by the last part of its key, without .json."""


class UnlinkedItems(Protocol):
    """Determines which Items are left unlinked, each time a month is listed."""

    def unlinked(self) -> IsUnlinked:
        """Return the present state."""


LeaveOut = UnlinkedItems | IsUnlinked | Collection[str]
"""Which Items are left unlinked."""

_ORDER = (MOSAICS, PRODUCTS, MODELS)
_SERIES = "records/catalogue"
_UNDATED = "undated"
_ITEM_KEY = re.compile(r"collections/([^/]+)/(\d{4}-\d{2}|undated)/([^/]+)\.json")
_WALKING = frozenset({"root", "parent", "collection", "self"})
_TURNS = 100


def key_of(collection: str, when: datetime | None, item_id: str) -> str:
    """Return the location of an Item, as a key from the store's root.

    Parameters
    ----------
    collection
        Id of its collection.
    when
        Its date, or the start of its interval; UTC unless it has a time zone. None if unknown.
    item_id
        Its id.
    """
    month = _UNDATED
    if when is not None:
        at = when.astimezone(UTC) if when.tzinfo else when
        month = f"{at.year:04d}-{at.month:02d}"
    name = file_name(item_id)
    if name == "catalog":  # the month's own document has this name
        name = f"{name}-{sha256(item_id.encode()).hexdigest()[:12]}"
    return f"collections/{file_name(collection)}/{month}/{name}.json"


def item_key(item: pystac.Item) -> str:
    """Return the location of an Item, as a key from the store's root.

    Raises
    ------
    FormatError
        The Item has no collection.
    """
    if not item.collection_id:
        raise FormatError(f"item {item.id} has no collection; set one before a store can list it")
    # A model is not an observation: its date is that of a file, on whichever machine was first.
    unknown = item.collection_id == MODELS or item.properties.get("deepsalt:date_unknown")
    when = None if unknown else item.datetime or item.common_metadata.start_datetime
    return key_of(item.collection_id, when, item.id)


def href_of(key: str) -> str:
    """Return the href of a key in the Items of a store, all of which are equally deep."""
    return f"../../../{key}"


def write_item(objects: Objects, item: pystac.Item) -> str:
    """Write an Item with its links into a store; an existing one stays unchanged.

    Nothing links it before `publish_items` is called with its key.

    Parameters
    ----------
    objects
        The store.
    item
        Item with a collection; its hrefs absolute or relative to its place, see `href_of`.

    Returns
    -------
    Its key.

    Raises
    ------
    FormatError
        The Item has no collection.
    StoreError
        The store cannot be written.
    """
    key = item_key(item)
    document = item.to_dict(include_self_link=False, transform_hrefs=False)
    others = [link for link in document["links"] if link["rel"] not in _WALKING]
    document["links"] = [
        _link("root", href_of("catalog.json")),
        _link("parent", "./catalog.json"),
        _link("collection", "../collection.json"),
        *others,
    ]
    objects.create(key, encode(document, as_written=True))
    return key


def publish_items(objects: Objects, keys: Iterable[str], *, leave_out: LeaveOut = ()) -> None:
    """Link Items in the catalogue of a store, or remove their links.

    Parameters
    ----------
    objects
        The store.
    keys
        Keys of Items that were added or withdrawn, as `write_item` returns them. Calling again with
        the same keys changes nothing; Items removed meanwhile are skipped.
    leave_out
        Which Items of the touched months to leave unlinked: all withdrawn ones, including earlier
        ones. If others may withdraw at the same time, a callable that is asked at each listing.

    Raises
    ------
    FormatError
        An Item or a record of the catalogue is damaged; the message names it.
    StoreError
        The store cannot be written, or others keep changing the same documents.
    UsageError
        A key does not name an Item.

    Notes
    -----
    No link is lost when publishers work at once. A document is a function of what the store holds
    (the Items of a month, the highest record of a collection, the names of the collections). Each
    publisher first changes what the store holds; only then it takes turns: it looks, writes the
    document if it differs, and is done when after a look the document is what it should be. Let the
    last write of all be P's, and X what another publisher Q changed. Q ended because it read a
    document with X. If it read after P's write, this is the document that stays. If it read before,
    X was there before P's write, hence when P looked after it; and P ended because what it had
    written was what it saw then.

    A publisher killed after a write and before its next look may leave an older document over a
    newer one; the next publication in that month or collection, or the same one repeated, corrects
    it.
    """
    unlinked = _asked(leave_out)
    items = sorted({_ItemKey.of(key) for key in keys})
    _link_months(objects, items, unlinked)
    is_unlinked = unlinked()
    for collection in sorted({item.collection for item in items}):
        listed = [item for item in items if item.collection == collection]
        if _grow(objects, collection, [item for item in listed if not is_unlinked(item.name)]):
            _link_collection(objects, collection)
    if items:
        _keep(objects, "catalog.json", lambda: _root(objects))
    logger.info("%d Items published or withdrawn in the catalogue of %s", len(items), objects)


def remove_items(objects: Objects, keys: Iterable[str], *, leave_out: LeaveOut = ()) -> None:
    """Remove Items from a store and its catalogue; missing ones are ignored.

    Months and extents do not shrink.

    Parameters
    ----------
    objects
        The store.
    keys
        Their keys.
    leave_out
        Which other Items of their months to leave unlinked, as for `publish_items`.

    Raises
    ------
    StoreError
        The store cannot be written.
    UsageError
        A key does not name an Item.
    """
    unlinked = _asked(leave_out)
    items = sorted({_ItemKey.of(key) for key in keys})
    gone = {item.name for item in items}

    def without_gone() -> IsUnlinked:
        is_unlinked = unlinked()
        return lambda name: name in gone or is_unlinked(name)

    # Links go first, so that readers follow none to a missing Item; a publisher that listed the
    # Items before may link them again, hence once more after they are gone.
    _link_months(objects, items, without_gone)
    objects.delete(item.key for item in items)
    _link_months(objects, items, unlinked)


@dataclass(frozen=True, slots=True, order=True)
class _ItemKey:
    """Location of an Item: folder of its collection, month, and its file's name without .json."""

    collection: str
    month: str
    name: str

    @classmethod
    def of(cls, key: str) -> "_ItemKey":
        match = _ITEM_KEY.fullmatch(key)
        if match is None or match[3] == "catalog":
            raise UsageError(
                f"{key!r:.200} is not the key of an Item; give a key that write_item returned"
            )
        return cls(match[1], match[2], match[3])

    @property
    def folder(self) -> str:
        return f"collections/{self.collection}/{self.month}"

    @property
    def key(self) -> str:
        return f"{self.folder}/{self.name}.json"


@dataclass(frozen=True, slots=True)
class _Record:
    """What a collection records about its Items.

    Parameters
    ----------
    identifier
        Id of the collection.
    months
        Names of its months, in order.
    extent
        STAC's extent of all Items so far, removed ones included.
    simulated
        Whether any of them was simulated.
    """

    identifier: str
    months: tuple[str, ...]
    extent: dict[str, Any]
    simulated: bool

    @classmethod
    def parse(cls, content: bytes, where: str) -> "_Record":
        document = parse_document(content, where)
        try:
            grown_extent(document, [])
            identifier = document["id"]
            simulated = document["simulated"]
            months = tuple(document["months"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{where} is not a record of a collection ({error!r}); remove it and publish the "
                "Items of the collection again"
            ) from error
        return cls(identifier, months, document["extent"], simulated)

    def encoded(self) -> bytes:
        return encode(
            {
                "id": self.identifier,
                "months": [*self.months],
                "extent": self.extent,
                "simulated": self.simulated,
            },
            as_written=True,
        )


def _asked(leave_out: LeaveOut) -> Callable[[], IsUnlinked]:
    """Return what determines, at a listing, which Items are left unlinked."""
    if callable(leave_out):
        return lambda: leave_out
    if isinstance(leave_out, Collection):
        names = frozenset(leave_out)
        return lambda: names.__contains__
    return leave_out.unlinked


def _keep(objects: Objects, key: str, render: Callable[[], bytes]) -> None:
    """Write a document until it is as wanted; `publish_items` says why this suffices."""
    for _ in range(_TURNS):
        wanted = render()
        try:
            if objects.read(key) == wanted:
                return
        except MissingObjectError:
            pass
        objects.write(key, wanted)
    raise StoreError(
        f"{objects}/{key} keeps being changed by other publishers, which leave out other Items; "
        f"publish again"
    )


def _link_months(
    objects: Objects, items: list[_ItemKey], unlinked: Callable[[], IsUnlinked]
) -> None:
    for collection, month in sorted({(item.collection, item.month) for item in items}):
        folder = f"collections/{collection}/{month}"

        def render(folder: str = folder) -> bytes:
            names = [*_names(objects, folder)]
            is_unlinked = unlinked()
            return _month(folder, (name for name in names if not is_unlinked(name)))

        _keep(objects, f"{folder}/catalog.json", render)


def _names(objects: Objects, folder: str) -> Iterator[str]:
    for entry in objects.list(folder):
        match = _ITEM_KEY.fullmatch(entry.key)
        if match is not None and match[3] != "catalog":
            yield match[3]


def _month(folder: str, names: Iterable[str]) -> bytes:
    _, collection, month = folder.split("/")
    when = "without a known date" if month == _UNDATED else f"of {month}"
    return encode(
        {
            "type": "Catalog",
            "stac_version": STAC_VERSION,
            "id": f"{collection}-{month}",
            "title": month,
            "description": f"Items {when}.",
            "links": [
                _link("root", "../../../catalog.json"),
                _link("parent", "../collection.json"),
                *(_link("item", f"./{name}.json", GEOJSON) for name in sorted(names)),
            ],
        },
        as_written=True,
    )


def _grow(objects: Objects, collection: str, items: list[_ItemKey]) -> bool:
    """Add a record to a collection's series if Items open a new month or widen its extent.

    Returns
    -------
    Whether there is a record.
    """
    series = _series(collection)
    last = latest(objects, series)
    found = [(item, document) for item in items if (document := _read_item(objects, item))]
    if not found:
        return last is not None

    def grown(before: bytes | None) -> _Record:
        known = None if before is None else _Record.parse(before, f"{objects}/{series}")
        documents = [document for _, document in found]
        months = {item.month for item, _ in found}
        simulated = any(each["properties"].get("deepsalt:simulated") for each in documents)
        return _Record(
            documents[0]["collection"],
            tuple(sorted(months | set(known.months if known else ()))),
            grown_extent({"extent": known.extent} if known else None, documents),
            simulated or (known is not None and known.simulated),
        )

    before = None if last is None else last[1]
    record = grown(before)
    if before is None:
        # The root links collections with a series, and nothing that does not exist.
        objects.create(f"collections/{collection}/collection.json", _described(record))
    if record.encoded() != before:
        append(objects, series, lambda _, before: grown(before).encoded())
        trim(objects, series)
    return True


def _read_item(objects: Objects, item: _ItemKey) -> dict[str, Any] | None:
    """Return an Item with a readable extent; None if it was removed."""
    where = f"{objects}/{item.key}"
    try:
        document = parse_document(objects.read(item.key), where)
    except MissingObjectError:
        return None
    collection = document.get("collection")
    whole = document.get("type") == "Feature" and isinstance(collection, str)
    if not whole or file_name(str(collection)) != item.collection:
        raise FormatError(f"{where} is not a STAC Item of its collection; remove it and run again")
    fields = Fields.of(document, where)
    box = fields.numbers("bbox")  # STAC allows an Item without geometry to lack a box
    if box is not None and len(box) not in (4, 6):
        raise fields.wrong("bbox", "4 or 6 numbers")
    properties = Fields.of(document.get("properties"), f"'properties' of {where}")
    for name in ("datetime", "start_datetime", "end_datetime"):
        properties.moment(name)
    return document


def _link_collection(objects: Objects, collection: str) -> None:
    series = _series(collection)

    def render() -> bytes:
        last = latest(objects, series)
        if last is None:
            raise StoreError(f"{objects}/{series} was removed meanwhile; publish again")
        return _described(_Record.parse(last[1], f"{objects}/{series}"))

    _keep(objects, f"collections/{collection}/collection.json", render)


def _described(record: _Record) -> bytes:
    """Return the document of a collection."""
    return encode(
        {
            **collection_document(record.identifier),
            **({"deepsalt:simulated": True} if record.simulated else {}),
            "extent": record.extent,
            "links": [
                _link("root", "../../catalog.json"),
                _link("parent", "../../catalog.json"),
                *(_link("child", f"./{month}/catalog.json") for month in record.months),
            ],
        },
        as_written=True,
    )


def _root(objects: Objects) -> bytes:
    names = objects.folders(_SERIES)
    ordered = sorted(names, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n))
    children = [f"./collections/{name}/collection.json" for name in ordered]
    return encode(catalog_document("deepsalt-store", children), as_written=True)


def _series(collection: str) -> str:
    return f"{_SERIES}/{collection}"


def _link(rel: str, href: str, kind: str = "application/json") -> dict[str, str]:
    return {"rel": rel, "href": href, "type": kind}
