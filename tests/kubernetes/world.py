"""What runs with pods map, and what an undisturbed run on this machine makes of it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pystac

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.errors import DeepsaltError
from deepsalt.fetch.checksums import with_checksums
from deepsalt.objects import Objects
from deepsalt.scenes.base import read_acquisition
from tests.engines.runs import Command, Ended
from tests.faults.contents import contents_of
from tests.faults.world import differences, named
from tests.kubernetes.bucket import BUCKET, Bucket
from tests.kubernetes.cluster import Manifest
from tests.waiting import wait_until

CATALOGUE = "catalogue"
"""Name of the ConfigMap with the catalogue."""


@dataclass(frozen=True)
class World:
    """Scenes in a bucket.

    Parameters
    ----------
    bucket
        The bucket.
    catalogue
        Folder of their catalogue, on this machine.
    wanted
        What a store holds after a run on this machine that nothing disturbed.
    """

    bucket: Bucket
    catalogue: Path
    wanted: Mapping[str, str] = field(default_factory=dict)

    def store(self, name: str) -> str:
        """Return the place of a store in the bucket."""
        return f"s3://{BUCKET}/{name}/store"

    def run_here(self, name: str, *options: str) -> Ended:
        """Run on this machine, with threads, into the bucket."""
        out = self.store(name)
        return Command.run(
            self.catalogue, out, "--export", export_of(out), *options, **self.bucket.environment
        ).wait(300.0)

    def contents(self, name: str) -> dict[str, str]:
        """Return digests of all that a store holds, but for moments."""
        out = self.store(name)
        with self.asked():
            return contents_of(out, export_of(out), ())

    def keys(self, name: str, prefix: str) -> list[str]:
        """Return which objects a store has."""
        with self.asked():
            return [entry.key for entry in Objects.of(self.store(name)).list(prefix)]

    def is_whole(self, name: str) -> bool:
        """Whether a store holds what an undisturbed run gives; what differs is said."""
        found = self.contents(name)
        lost, wrong = differences(found, self.wanted)
        assert not lost, f"lost or surplus: {named(lost)}"
        assert not wrong, f"other values: {named(wrong)}"
        return True

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Let this process ask the bucket."""
        before = dict(os.environ)
        os.environ.update(self.bucket.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def export_of(out: str) -> str:
    return f"{out.removesuffix('store')}mosaic.zarr"


def uploaded(scenes: tuple[Path, ...], bucket: Bucket, folder: Path) -> World:
    """Put scenes into the bucket and catalogue them there."""
    world = World(bucket, folder)
    with world.asked():
        here = Objects.of(f"s3://{BUCKET}/scenes")
        wait_until(lambda: _takes_objects(here), "the bucket takes no objects")
        items = [_uploaded(path, here) for path in scenes]
    add_items(folder, items)
    return world


def _takes_objects(objects: Objects) -> bool:
    try:
        objects.write("probe", b"1")
    except DeepsaltError:  # there is no volume to write to yet
        return False
    return True


def _uploaded(scene: Path, objects: Objects) -> pystac.Item:
    item = to_item(with_checksums(read_acquisition(scene)))
    for asset in item.assets.values():
        key = Path(asset.href).relative_to(scene.parent).as_posix()
        objects.write(key, Path(asset.href).read_bytes())
        asset.href = f"{objects.uri}/{key}"
    return item


def catalogue_manifest(folder: Path) -> Manifest:
    """Return the catalogue's folder as a ConfigMap; `catalogue_volume` puts it together again."""
    data = {key: path.read_text() for key, path in _documents(folder).items()}
    return {"kind": "ConfigMap", "metadata": {"name": CATALOGUE}, "data": data}


def catalogue_volume(folder: Path) -> Manifest:
    """Return the volume that is the catalogue's folder in a pod."""
    items = [
        {"key": key, "path": path.relative_to(folder).as_posix()}
        for key, path in _documents(folder).items()
    ]
    return {"configMap": {"name": CATALOGUE, "items": items}}


def _documents(folder: Path) -> dict[str, Path]:
    return {f"{n}.json": path for n, path in enumerate(sorted(folder.rglob("*.json")))}
