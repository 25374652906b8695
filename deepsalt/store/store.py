"""A store: its identity, and the layout of its parts.

::

    STORE                                      a folder, or a prefix of a bucket
    ├── store.json                             schema, grid, extent, model, period layout
    ├── scenes/<product>.zarr/                 scene products, plain Zarr
    ├── mosaic/                                Icechunk repository: a version is a commit
    ├── mosaic.lock                            held around commits, in folders
    ├── mosaic.zarr/                           an export of the published version, if any
    ├── catalog.json, collections/             STAC catalogue
    ├── models/<digest>/                       weights and card of the model
    ├── quicklook.png
    └── records/
        ├── done/<product>.json                a product is complete ├──
        acquisitions/<acquisition>/<product>   its versions and the tiles under them ├──
        index/<tile>/<product>             which products lie over a tile ├──
        tombstones/<acquisition>/<n>.json  withdrawn acquisitions ├── quarantine/<scene>/<n>.json
        scenes that can never work, and why ├── platforms/<platform>               what computed
        products, such as x86_64 AVX2 ├── periods/<slot>                     the slot of each period
        in the mosaic ├── builds/<build>/<n>                 builds that are alive ├──
        catalogue/<collection>/<n>.json    what a collection of the catalogue records about its
        Items └── overviews/<slot>                   views of tiles; may be lost

Records are objects that are created once, or numbered series of which the highest counts; so any
number of machines may work in a store, and a bucket works as well as a folder.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from deepsalt.documents import encode
from deepsalt.errors import (
    MissingObjectError,
    StoreAccessError,
    StoreError,
    StoreMismatchError,
    StoreMissingError,
)
from deepsalt.grid import Extent, Frame, MosaicGrid
from deepsalt.objects import Objects
from deepsalt.store.documents import read_document

SCHEMA = 3
"""Version of a store's layout; stores of a later one are refused."""
RECORD = "store.json"

Where = str | os.PathLike[str] | Objects
"""A path, a URI, or the objects there."""

_OURS = (
    "catalog.json",
    "collections",
    "models",
    "mosaic",
    "mosaic.zarr",
    "quicklook.png",
    "records",
    "scenes",
)


@dataclass(frozen=True, slots=True)
class Store:
    """A store that exists; `create` and `open` check it.

    Parameters
    ----------
    objects
        Its objects, by key.
    frame
        Grid of its mosaic, and all tiles that the mosaic can have.
    model
        Digest (`ModelRef.digest`) of the one model whose products it holds.
    period_layout
        ``all`` or ``dated``: see `deepsalt.store.Period`.

    Examples
    --------
    >>> import deepsalt
    >>> store = deepsalt.Store.open("store")
    >>> store.grid.crs, store.grid.resolution_m
    ('EPSG:6933', 30.0)
    """

    objects: Objects
    frame: Frame
    model: str
    period_layout: str

    @classmethod
    def create(
        cls, where: Where, *, grid: MosaicGrid, model: str, period_layout: str = "all"
    ) -> Self:
        """Create a store, or open an existing one of the same kind.

        Parameters
        ----------
        where
            Path or URI.
        grid
            Grid of the mosaic.
        model
            Digest of the model.
        period_layout
            ``all`` or ``dated``.

        Raises
        ------
        UsageError
            It cannot hold a store.
        StoreMismatchError
            The store exists with another grid, model or period layout; or the location is not a
            store and holds something that a store would overwrite, or lies inside another store.
        StoreError
            The location cannot be written.
        """
        objects = Objects.of(where)
        wanted = cls(objects, Frame.of(grid), model, period_layout)
        found = cls._find(objects)
        if found is None:
            try:
                cls.refuse_foreign_place(objects)
            except StoreMismatchError:
                # The existing one may be of another creator that was faster.
                found = cls._find(objects)
                if found is None:
                    raise
        if found is None:
            if objects.create(RECORD, encode(wanted._describe())):
                return wanted
            found = cls.open(objects)
        found.refuse_other(grid, model, period_layout)
        return found

    @classmethod
    def open(cls, where: Where) -> Self:
        """Open a store.

        Parameters
        ----------
        where
            Path or URI.

        Raises
        ------
        UsageError
            It cannot hold a store.
        StoreMissingError
            There is no store.
        StoreError
            This version of deepsalt does not read the store.
        """
        objects = Objects.of(where)
        found = cls._find(objects)
        if found is None and _is_there(objects, f"records/{RECORD}"):
            raise StoreMissingError(
                f"{objects} is a store of an older deepsalt, which this version does not read; "
                f"map its scenes again into another store"
            )
        if found is None:
            raise StoreMissingError(
                f"{objects} is not a deepsalt store (no {RECORD}); `deepsalt run` makes one"
            )
        return found

    @classmethod
    def exists(cls, where: Where) -> bool:
        """Return whether there is a store.

        Raises
        ------
        StoreError
            The location cannot be read.
        """
        return _is_there(Objects.of(where), RECORD)

    @classmethod
    def _find(cls, objects: Objects) -> Self | None:
        try:
            document = read_document(objects, RECORD)
        except MissingObjectError:
            return None
        if not isinstance(document.get("schema"), int):
            raise StoreError(
                f"{objects}/{RECORD} is not the record of a store; give another location"
            )
        if document["schema"] != SCHEMA:
            raise StoreError(
                f"{objects} has store schema {document.get('schema')}, but this deepsalt reads "
                f"{SCHEMA}; use the version that wrote it"
            )
        try:
            frame = Frame(MosaicGrid.from_dict(document["grid"]), Extent(*document["extent"]))
            return cls(objects, frame, str(document["model"]), str(document["periods"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{objects}/{RECORD} is damaged ({error!r}); restore it") from error

    @property
    def grid(self) -> MosaicGrid:
        """Grid of the mosaic."""
        return self.frame.grid

    def __str__(self) -> str:
        return str(self.objects)

    def _describe(self) -> dict[str, Any]:
        extent = self.frame.extent
        return {
            "schema": SCHEMA,
            "grid": self.grid.to_dict(),
            "extent": [extent.ix0, extent.iy0, extent.ix1, extent.iy1],
            "model": self.model,
            "periods": self.period_layout,
        }

    def refuse_other(self, grid: MosaicGrid, model: str, period_layout: str) -> None:
        """Refuse a store that does not fit a run.

        Raises
        ------
        StoreMismatchError
            It has another grid, model or period layout.
        """
        asked = {"grid": grid.to_dict(), "model": model, "periods": period_layout}
        found = self._describe()
        for key, value in asked.items():
            if found[key] != value:
                raise StoreMismatchError(
                    f"store {self} has {key} {_short(found[key])}, this run has "
                    f"{_short(value)}; {_ADVICE.get(key, f'give another --out or the same {key}')}"
                )

    def refuse_other_model(self, digest: str) -> None:
        """Refuse another model than the store's.

        Raises
        ------
        StoreMismatchError
            The store belongs to another model.
        """
        if digest != self.model:
            raise StoreMismatchError(
                f"store {self} has products of model {_short(self.model)}, not of "
                f"{_short(digest)}; give another store or the same model"
            )

    @staticmethod
    def refuse_foreign_place(where: Where) -> None:
        """Refuse a location with files that a store would overwrite, or inside another store.

        Raises
        ------
        UsageError
            It cannot hold a store.
        StoreMismatchError
            It holds other files, or lies inside a store.
        """
        objects = Objects.of(where)
        for name in _OURS:
            if next(objects.list(name), None) or ("." in name and _is_there(objects, name)):
                raise StoreMismatchError(
                    f"{objects} is not a store but has {name}, which a store would overwrite; give "
                    f"another --out, or restore {RECORD} if it was one"
                )
        for outer in objects.outer():
            # Credentials limited to a prefix cannot tell whether it lies in a store.
            with suppress(StoreAccessError):
                if _is_there(outer, RECORD):
                    raise StoreMismatchError(
                        f"{objects} lies inside the store {outer}; give a location outside it"
                    )


def _is_there(objects: Objects, key: str) -> bool:
    try:
        objects.read(key)
    except MissingObjectError:
        return False
    return True


_ADVICE = {
    "periods": "a store holds either one mosaic of all dates (a run without --datetime) or one "
    "for each --datetime; for both, use two stores"
}


def _short(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)[:12]  # a few of the 64 digits tell digests apart
    return f"{value['crs']} at {value['resolution_m']:g} m from {tuple(value['anchor'])}"
