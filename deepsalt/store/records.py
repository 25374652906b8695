"""A store on disk: where its parts lie, what it is, and the records that outlive a run.

::

    STORE/
    ├── scenes/<product>.zarr          scene products
    ├── items/                         STAC Items, one per product
    ├── catalog.json                   written by the publisher
    ├── records/store.json             layout, grid, model, period layout
    ├── records/quarantine/<scene>.json
    ├── records/tombstones/<scene>.json     withdrawn scenes
    ├── records/history/<number>.json       every publication: what it changed, and why
    ├── records/pushed/<target>.json        what was carried to another place
    ├── records/versions/<id>/         what a version is made of, tile by tile
    ├── versions/<id>.zarr             mosaics; unchanged shards are hard links
    └── mosaic.zarr                    link to the published one
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from deepsalt.errors import StoreError, StoreMismatchError, StoreMissingError
from deepsalt.grid import MosaicGrid
from deepsalt.objects.disk import storing
from deepsalt.store.files import digest_of, read_json, write_json
from deepsalt.store.lease import Lease, exclusive

LAYOUT = 1
"""Version of the folder layout; a store of a later one is refused."""


@dataclass(frozen=True, slots=True)
class Store:
    """A store that exists; `create` and `open` check it.

    Parameters
    ----------
    path
        Folder of the store.
    grid
        Grid of its mosaic.
    model
        Digest (`ModelRef.digest`) of the one model whose products it holds.
    period_layout
        ``all`` or ``dated``: see `deepsalt.store.Period`.
    """

    path: Path
    grid: MosaicGrid
    model: str
    period_layout: str

    @classmethod
    def create(
        cls, path: str | Path, *, grid: MosaicGrid, model: str, period_layout: str = "all"
    ) -> Self:
        """Make a store, or open the one that is there when it is of the same kind.

        Raises
        ------
        StoreMismatchError
            The store exists with another grid, model or period layout, or the folder is no store
            and holds files that a store would write over.
        StoreError
            The folder cannot be written.
        """
        wanted = cls(Path(path).absolute(), grid, model, period_layout)
        if wanted._record.exists():
            found = cls.open(path)
            found._refuse_other(wanted)
            return found
        wanted._refuse_foreign_folder()
        for folder in (wanted.scenes, wanted.items, wanted.versions, wanted.records):
            with storing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        write_json(wanted._record, wanted._describe())
        return wanted

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store.

        Raises
        ------
        StoreMissingError
            There is no store.
        StoreError
            A store that this version of deepsalt does not read.
        """
        root = Path(path).absolute()
        record = root / "records" / "store.json"
        if not record.exists():
            raise StoreMissingError(
                f"{path} is not a deepsalt store (no records/store.json); `deepsalt run` makes one"
            )
        document = read_json(record)
        if document.get("layout") != LAYOUT:
            raise StoreError(
                f"{path} has store layout {document.get('layout')}, this deepsalt reads {LAYOUT}; "
                "use the version that wrote it"
            )
        try:
            grid = MosaicGrid.from_dict(document["grid"])
            return cls(root, grid, str(document["model"]), str(document["periods"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{record} is damaged ({error!r}); restore it") from error

    @property
    def scenes(self) -> Path:
        """Folder of the scene products."""
        return self.path / "scenes"

    @property
    def items(self) -> Path:
        """Folder of the STAC Items."""
        return self.path / "items"

    @property
    def records(self) -> Path:
        """Folder of the records."""
        return self.path / "records"

    @property
    def versions(self) -> Path:
        """Folder of the mosaic versions."""
        return self.path / "versions"

    @property
    def mosaic(self) -> Path:
        """Link to the published mosaic."""
        return self.path / "mosaic.zarr"

    @property
    def _record(self) -> Path:
        return self.records / "store.json"

    def _describe(self) -> dict[str, Any]:
        return {
            "layout": LAYOUT,
            "grid": self.grid.to_dict(),
            "model": self.model,
            "periods": self.period_layout,
        }

    def _refuse_other(self, wanted: Self) -> None:
        found, asked = self._describe(), wanted._describe()
        for key in ("grid", "model", "periods"):
            if found[key] != asked[key]:
                raise StoreMismatchError(
                    f"store {self.path} has {key} {_short(found[key])}, this run has "
                    f"{_short(asked[key])}; give another --out or the same {key}"
                )

    def _refuse_foreign_folder(self) -> None:
        """Refuse a folder that holds what a store would write over: a catalogue, for example."""
        with storing(self.path):
            for name in _OURS:
                found = self.path / name
                # Empty folders are what a store leaves that was killed while it was made.
                if found.is_file() or (found.is_dir() and any(found.iterdir())):
                    raise StoreMismatchError(
                        f"{self.path} is no store but holds {name}, which a store would write "
                        "over; give another --out, or restore records/store.json if it was one"
                    )

    def quarantine(self, scene: str, reason: str) -> None:
        """Record that a scene cannot work, with the reason; later runs leave it out.

        Parameters
        ----------
        scene
            Scene key (`Acquisition.key`).
        reason
            One sentence, as the error said it.

        Raises
        ------
        StoreError
            The record cannot be written.
        """
        write_json(self._quarantine_path(scene), {"scene": scene, "reason": reason})

    def release(self, scene: str) -> None:
        """Forget that a scene was quarantined."""
        with storing(self._quarantine_path(scene)):
            self._quarantine_path(scene).unlink(missing_ok=True)

    def quarantined(self) -> dict[str, str]:
        """Return the reason for each quarantined scene, by scene key."""
        records = sorted((self.records / "quarantine").glob("*.json"))
        return {str(d["scene"]): str(d["reason"]) for d in map(read_json, records)}

    def _quarantine_path(self, scene: str) -> Path:
        return self.records / "quarantine" / f"{record_name(scene)}.json"

    @contextmanager
    def locked(self) -> Iterator[Lease]:
        """Hold the store's build lock, so that two builds cannot run at once, on any machine.

        The lock drops when its process ends, however it ends; where that was on another machine,
        after a minute.

        Yields
        ------
        Lease
            For what publishes.

        Raises
        ------
        StoreError
            Another build holds it.
        """
        with exclusive(self.records / "build.lock", "is building in this store") as lease:
            yield lease

    @contextmanager
    def pushing(self) -> Iterator[Lease]:
        """Keep other pushes of this store out; builds go on, a published version stays as it is.

        Yields
        ------
        Lease
            For what changes where readers look.

        Raises
        ------
        StoreError
            Another push holds it.
        """
        with exclusive(self.records / "push.lock", "is pushing this store") as lease:
            yield lease


_OURS = (
    "catalog.json",
    "quicklook.png",
    "mosaic.zarr",
    "collections",
    "items",
    "models",
    "scenes",
    "versions",
)


def record_name(key: str) -> str:
    """Return a file name for a key that may hold anything: readable, and unique by a digest."""
    readable = "".join(c if c.isalnum() or c in "-_" else "_" for c in key)[:80]
    return f"{readable}-{digest_of(key)[:8]}"


def _short(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)[:12]  # digests are told apart by less than their 64 digits
    return f"{value['crs']} at {value['resolution_m']:g} m from {tuple(value['anchor'])}"
