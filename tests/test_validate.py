"""What a check finds in a store that somebody damaged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr

from deepsalt.store import Period, Store, current_version
from deepsalt.types import Basis
from deepsalt.validate import Finding, check_store
from tests.store.builders import acquisition, add_product, build, make_store, scene_grid

CATALOG = {"type": "Catalog", "links": [{"rel": "root", "href": "./catalog.json"}]}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = make_store(tmp_path_factory.mktemp("sound") / "store")
    grids = [scene_grid(), scene_grid(row=20, column=30)]
    names = [
        add_product(store.scenes, acquisition(f"s{i}", grid=grid), seed=i)
        for i, grid in enumerate(grids)
    ]
    build(store, {Period.all(): names})
    (store.path / "catalog.json").write_text(json.dumps(CATALOG))
    return store.path


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Store:
    shutil.copytree(sound, tmp_path / "store", symlinks=True)
    return Store.open(tmp_path / "store")


def problems(store: Store) -> list[Finding]:
    return [finding for finding in check_store(store.path) if finding.severity != "info"]


def group(store: Store) -> Path:
    return store.mosaic.resolve()


def shard(store: Store, layer: str) -> Path:
    return sorted(p for p in (group(store) / layer / "c").rglob("*") if p.is_file())[0]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def poke(store: Store, layer: str, value: float) -> None:
    """Set one estimated pixel of a layer, then sign its shards anew as a bad build would."""
    mosaic = zarr.open_group(group(store), mode="r+")
    salinity = mosaic["salinity"]
    assert isinstance(salinity, zarr.Array)
    i, j = (int(k[0]) for k in (salinity[0] == salinity[0]).nonzero())
    array = mosaic[layer]
    assert isinstance(array, zarr.Array)
    array[0, i, j] = value


def add_link(store: Store, rel: str, href: str) -> None:
    document = CATALOG | {"links": [{"rel": rel, "href": href}]}
    (store.path / "catalog.json").write_text(json.dumps(document))


def test_a_sound_store_has_no_problems(store: Store) -> None:
    assert problems(store) == []


def test_each_tile_says_how_much_of_it_is_estimated(store: Store) -> None:
    infos = [finding for finding in check_store(store.path) if finding.severity == "info"]
    version = current_version(store)
    assert version is not None
    assert len(infos) == len(version.layout.tile_manifests())


DAMAGE: dict[str, tuple[Callable[[Store], object], str, str]] = {
    "shard changed": (lambda s: flip(shard(s, "salinity")), "error", "other checksum"),
    "shard lost": (lambda s: shard(s, "basis").unlink(), "error", "shard is missing"),
    "shard too many": (
        lambda s: (group(s) / "salinity" / "c" / "0" / "99").write_bytes(b""),
        "error",
        "belongs to no tile",
    ),
    "product changed": (
        lambda s: flip(next(s.scenes.glob("*/basis/c/0/0"))),
        "error",
        "is damaged",
    ),
    "product unfinished": (
        lambda s: next(s.scenes.glob("*/complete.json")).unlink(),
        "warning",
        "product is unfinished",
    ),
    "product lost": (lambda s: shutil.rmtree(next(s.scenes.glob("*.zarr"))), "error", "unfinished"),
    "tile lost": (
        lambda s: next(s.records.glob("versions/*/tiles/all/*.json")).unlink(),
        "error",
        "never made",
    ),
    "manifest damaged": (
        lambda s: next(s.records.glob("versions/*/tiles/all/*.json")).write_text("{}"),
        "error",
        "manifest",
    ),
    "layer lost": (
        lambda s: (
            shutil.rmtree(group(s) / "basis"),
            (group(s) / "zarr.json").write_text(
                json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})
            ),
        ),
        "error",
        "layer basis is missing",
    ),
    "link dangling": (lambda s: shutil.rmtree(group(s)), "error", "not a Zarr group"),
    "not placed": (
        lambda s: zarr.open_group(group(s), mode="r+").attrs.update({"proj:code": "EPSG:4326"}),
        "error",
        "proj:code",
    ),
    "negative": (lambda s: poke(s, "salinity_lower", -0.5), "error", "negative"),
    "impossible": (lambda s: poke(s, "salinity", 1e6), "error", "above 300"),
    "interval": (lambda s: poke(s, "salinity_upper", 0.0), "error", "outside their interval"),
    "half an interval": (
        lambda s: poke(s, "salinity_lower", float("nan")),
        "error",
        "without an interval",
    ),
    "rejected": (lambda s: poke(s, "basis", int(Basis.WATER)), "error", "basis rejects"),
    "no reason": (lambda s: poke(s, "salinity", float("nan")), "error", "no reason"),
    "unknown bit": (lambda s: poke(s, "basis", 1 << 15), "error", "unknown bits"),
    "unseen": (lambda s: poke(s, "observations", 0), "error", "no observation"),
    "build left": (lambda s: (s.versions / "abc.building").mkdir(), "warning", "interrupted"),
    "write left": (lambda s: (s.scenes / ".a~host.1~b").mkdir(), "warning", "interrupted"),
    "catalogue missing": (lambda s: (s.path / "catalog.json").unlink(), "warning", "no STAC"),
    "catalogue broken": (lambda s: (s.path / "catalog.json").write_text("{"), "error", "readable"),
    "item missing": (lambda s: add_link(s, "item", "./items/a.json"), "error", "does not exist"),
    "item broken": (
        lambda s: ((s.items / "a.json").write_text("[]"), add_link(s, "item", "./items/a.json")),
        "error",
        "readable",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(store: Store, damage: str) -> None:
    harm, severity, message = DAMAGE[damage]
    harm(store)
    found = [f for f in problems(store) if message in f.message]
    assert found, problems(store)
    assert found[0].severity == severity


def test_links_to_other_places_are_not_followed(store: Store) -> None:
    add_link(store, "item", "https://example.invalid/item.json")
    assert problems(store) == []


def test_a_store_without_a_mosaic_says_so(tmp_path: Path) -> None:
    made = make_store(tmp_path / "s")
    assert any("no mosaic is published" in finding.message for finding in problems(made))


def test_what_is_no_store_is_one_error(tmp_path: Path) -> None:
    findings = check_store(tmp_path)
    assert [finding.severity for finding in findings] == ["error"]


def test_errors_come_first(store: Store) -> None:
    flip(shard(store, "salinity"))
    (store.versions / "abc.building").mkdir()
    order = [finding.severity for finding in check_store(store.path)]
    assert order == sorted(order, key=["error", "warning", "info"].index)
