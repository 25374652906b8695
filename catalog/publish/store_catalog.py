"""The STAC catalogue of a store: what links the Items of its products and mosaics together.

::

    STORE
    ├── catalog.json                                  links the collections
    ├── collections/<collection>/collection.json      links its months
    │   └── <YYYY-MM>/catalog.json                    links the Items of the month; `undated`
    │       └── <item>.json                           immutable
    └── records/catalogue/<collection>/<number>.json  months, extent and simulated or not

Everything is linked relatively: STORE can be moved or served as it is. Nothing is linked before it
is there.

Any number of publishers may work at once, see `publish_items`. What one of them adds costs the same
however many Items other months have: a month is listed as a whole, a collection remembers what it
holds in a series of records, each of which knows all that the one before did.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

import pystac

from catalog.documents import encode, file_name, parse_document
from catalog.extents import STAC_VERSION, catalog_document, collection_document, grown_extent
from catalog.fields import Fields
from catalog.publish.products import GEOJSON, MODELS, MOSAICS, PRODUCTS
from deepsalt.errors import FormatError, MissingObjectError, StoreError, UsageError
from deepsalt.objects import Objects, append, latest, trim

logger = logging.getLogger(__name__)

IsUnlinked = Callable[[str], bool]
"""Whether an Item is not linked, by the name that ends its key, without .json."""


class UnlinkedItems(Protocol):
    """Who finds out which Items are not linked, each time a month is listed."""

    def unlinked(self) -> IsUnlinked:
        """Return what holds now."""


LeaveOut = UnlinkedItems | IsUnlinked | Collection[str]
"""Which Items are not linked."""

_ORDER = (MOSAICS, PRODUCTS, MODELS)
_SERIES = "records/catalogue"
_UNDATED = "undated"
_ITEM_KEY = re.compile(r"collections/([^/]+)/(\d{4}-\d{2}|undated)/([^/]+)\.json")
_WALKING = frozenset({"root", "parent", "collection", "self"})
_TURNS = 100


def key_of(collection: str, when: datetime | None, item_id: str) -> str:
    """Return where an Item lies, as a key from the store's root.

    Parameters
    ----------
    collection
        Id of its collection.
    when
        Its date, or the begin of its interval; without a time zone it is UTC. None when unknown.
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
    """Return where an Item lies, as a key from the store's root.

    Raises
    ------
    FormatError
        The Item has no collection.
    """
    if not item.collection_id:
        raise FormatError(f"item {item.id} has no collection; set one before a store can list it")
    # A model is no observation: its date is that of a file, on whichever machine was first.
    unknown = item.collection_id == MODELS or item.properties.get("deepsalt:date_unknown")
    when = None if unknown else item.datetime or item.common_metadata.start_datetime
    return key_of(item.collection_id, when, item.id)


def href_of(key: str) -> str:
    """Return how the Items of a store name what lies at a key of it; all lie equally deep."""
    return f"../../../{key}"


def write_item(objects: Objects, item: pystac.Item) -> str:
    """Write an Item with its links into a store; one that is there already stays as it is.

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
        The store does not let us.
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
    objects.create(key, encode(document))
    return key


def publish_items(objects: Objects, keys: Iterable[str], *, leave_out: LeaveOut = ()) -> None:
    """Make the catalogue of a store link Items, or link them no longer.

    Parameters
    ----------
    objects
        The store.
    keys
        Places of Items that were added or withdrawn, as `write_item` returns them. Calling again
        with the same keys changes nothing; those that were removed meanwhile are passed over.
    leave_out
        Which Items of the touched months are not linked: all that are withdrawn, also those that
        were before. Where others may withdraw at the same time it is one who looks at each listing.

    Raises
    ------
    FormatError
        An Item or a record of the catalogue is damaged; the message names it.
    StoreError
        The store does not let us, or others go on changing the same documents.
    UsageError
        A key where no Item lies.

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

    A publisher that is killed after a write and before its next look may leave an older document
    over a newer one; the next publication in that month or collection, or the same one repeated,
    puts it right.
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
    """Remove Items from a store and its catalogue; those not there are none to remove.

    Months and extents stay as wide as they were.

    Parameters
    ----------
    objects
        The store.
    keys
        Their places.
    leave_out
        Which other Items of their months are not linked, as for `publish_items`.

    Raises
    ------
    StoreError
        The store does not let us.
    UsageError
        A key where no Item lies.
    """
    unlinked = _asked(leave_out)
    items = sorted({_ItemKey.of(key) for key in keys})
    gone = {item.name for item in items}

    def without_gone() -> IsUnlinked:
        is_unlinked = unlinked()
        return lambda name: name in gone or is_unlinked(name)

    # Readers follow no link to what is not there; a publisher that listed them before links them
    # once more, hence again when they are gone.
    _link_months(objects, items, without_gone)
    objects.delete(item.key for item in items)
    _link_months(objects, items, unlinked)


@dataclass(frozen=True, slots=True, order=True)
class _ItemKey:
    """Where an Item lies: folder of its collection, month, and its file's name without .json."""

    collection: str
    month: str
    name: str

    @classmethod
    def of(cls, key: str) -> "_ItemKey":
        match = _ITEM_KEY.fullmatch(key)
        if match is None or match[3] == "catalog":
            raise UsageError(f"no Item lies at {key!r:.200}; give a key that write_item returned")
        return cls(match[1], match[2], match[3])

    @property
    def folder(self) -> str:
        return f"collections/{self.collection}/{self.month}"

    @property
    def key(self) -> str:
        return f"{self.folder}/{self.name}.json"


@dataclass(frozen=True, slots=True)
class _Record:
    """What a collection knows of its Items.

    Parameters
    ----------
    identifier
        Id of the collection.
    months
        Names of its months, in order.
    extent
        STAC's extent of all Items that ever were.
    simulated
        Whether one of them was simulated.
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
            }
        )


def _asked(leave_out: LeaveOut) -> Callable[[], IsUnlinked]:
    """Return what tells, at a listing, which Items are not linked."""
    if callable(leave_out):
        return lambda: leave_out
    if isinstance(leave_out, Collection):
        names = frozenset(leave_out)
        return lambda: names.__contains__
    return leave_out.unlinked


def _keep(objects: Objects, key: str, render: Callable[[], bytes]) -> None:
    """Write a document until it is what it should be; `publish_items` says why this is enough."""
    for _ in range(_TURNS):
        wanted = render()
        try:
            if objects.read(key) == wanted:
                return
        except MissingObjectError:
            pass
        objects.write(key, wanted)
    raise StoreError(
        f"{objects}/{key} is written by others all the time, who leave out other Items; publish "
        "again"
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
        }
    )


def _grow(objects: Objects, collection: str, items: list[_ItemKey]) -> bool:
    """Add a record to a collection's series where Items are of a new month or widen its extent.

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
        # The root links what has a series, and links nothing that is not there.
        objects.create(f"collections/{collection}/collection.json", _described(record))
    if record.encoded() != before:
        append(objects, series, lambda _, before: grown(before).encoded())
        trim(objects, series)
    return True


def _read_item(objects: Objects, item: _ItemKey) -> dict[str, Any] | None:
    """Return an Item whose extent can be read; None where it was removed."""
    where = f"{objects}/{item.key}"
    try:
        document = parse_document(objects.read(item.key), where)
    except MissingObjectError:
        return None
    collection = document.get("collection")
    whole = document.get("type") == "Feature" and isinstance(collection, str)
    if not whole or file_name(str(collection)) != item.collection:
        raise FormatError(
            f"{where} is no STAC Item of the collection it lies in; remove it and run again"
        )
    fields = Fields.of(document, where)
    box = fields.numbers("bbox")  # STAC lets an Item without geometry have none
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
            raise StoreError(f"{objects}/{series} was removed by somebody else; publish again")
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
        }
    )


def _root(objects: Objects) -> bytes:
    names = objects.folders(_SERIES)
    ordered = sorted(names, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n))
    children = [f"./collections/{name}/collection.json" for name in ordered]
    return encode(catalog_document("deepsalt-store", children))


def _series(collection: str) -> str:
    return f"{_SERIES}/{collection}"


def _link(rel: str, href: str, kind: str = "application/json") -> dict[str, str]:
    return {"rel": rel, "href": href, "type": kind}
