"""What a check finds in a store that somebody damaged."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from deepsalt.layers import DATE_FILL
from deepsalt.model.load import model_card, model_ref
from deepsalt.store import Period, Store, current_version
from deepsalt.types import QualityFlag
from deepsalt.validate import Finding, Limits, check_store
from tests.store.builders import acquisition, add_product, build, make_store, scene_grid

TODAY = datetime.now(UTC).date()


def write_item(store: Store, name: str, href: str) -> str:
    document = {"type": "Feature", "id": name, "links": [], "assets": {"data": {"href": href}}}
    (store.items / f"{name}.json").write_text(json.dumps(document))
    return f"./items/{name}.json"


def write_catalogue(store: Store, *more: str) -> None:
    """Write the Items of the published version and the catalogue that leads to them."""
    version = current_version(store)
    assert version is not None
    made = [(name, f"../scenes/{name}.zarr") for name in version.products]
    made += [(f"mosaic-{version.id}-all", f"../versions/{version.id}.zarr")]
    links = [{"rel": "item", "href": write_item(store, *each)} for each in made]
    links += [{"rel": "item", "href": href} for href in more]
    root = {"rel": "root", "href": "./catalog.json"}
    document = {"type": "Catalog", "links": [root, *links]}
    (store.path / "catalog.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = make_store(tmp_path_factory.mktemp("sound") / "store")
    grids = [scene_grid(), scene_grid(row=20, column=30)]
    names = [
        add_product(store.scenes, acquisition(f"s{i}", grid=grid), seed=i)
        for i, grid in enumerate(grids)
    ]
    build(store, {Period.all(): names})
    write_catalogue(store)
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


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def opened(path: Path, layer: str) -> "zarr.Array[Any]":
    array = zarr.open_group(path, mode="r+")[layer]
    assert isinstance(array, zarr.Array)
    return array


def mapping(store: Store) -> "zarr.Array[Any]":
    """Return `spatial_ref`; what readers see is the copy in the group's metadata, dropped here."""
    root = group(store) / "zarr.json"
    document = json.loads(root.read_text())
    document.pop("consolidated_metadata", None)
    root.write_text(json.dumps(document))
    return opened(group(store), "spatial_ref")


def swap_ends(store: Store) -> None:
    lower, upper = (opened(group(store), f"salinity_{end}") for end in ("lower", "upper"))
    kept = lower[...]
    lower[...] = upper[...]
    upper[...] = kept


def flood(store: Store, reason: QualityFlag | None = None) -> None:
    """Take all estimates away, as a build with a broken model would."""
    quality_flags = opened(group(store), "quality_flags")
    measured = (quality_flags[...] & np.uint16(QualityFlag.OUTSIDE)) == 0
    blank = dict.fromkeys(("salinity", "salinity_lower", "salinity_upper"), np.nan)
    blank |= {"disagreement": np.nan, "observations": 0, "last_observed": DATE_FILL}
    for name, value in blank.items():
        array = opened(group(store), name)
        array[...] = np.full(array.shape, value, array.dtype)
    if reason is not None:
        quality_flags[...] = np.where(measured, np.uint16(reason), quality_flags[...])


def test_a_sound_store_has_no_problems(store: Store) -> None:
    assert problems(store) == []


def test_each_tile_says_which_share_of_it_is_missing(store: Store) -> None:
    infos = [finding for finding in check_store(store.path) if finding.check == "missing"]
    version = current_version(store)
    assert version is not None
    assert len(infos) == len(version.layout.tile_manifests())
    assert all("measured pixels have no estimate" in finding.found for finding in infos)


def unlist(store: Store) -> None:
    """Take the shards of one place out of a tile's manifest."""
    path = next(store.records.glob("versions/*/tiles/all/*.json"))
    document = json.loads(path.read_text())
    shards = {k: v for k, v in document["shards"].items() if not k.endswith("/0/0")}
    path.write_text(json.dumps({**document, "shards": shards}))


DAMAGE: dict[str, tuple[Callable[[Store], object], str, str]] = {
    "shard changed": (lambda s: flip(shard(s, "salinity")), "error", "other checksum"),
    "shard truncated": (lambda s: truncate(shard(s, "salinity")), "error", "other checksum"),
    "shard lost": (lambda s: shard(s, "quality_flags").unlink(), "error", "shard is missing"),
    "shard too many": (
        lambda s: (group(s) / "salinity" / "c" / "0" / "99").write_bytes(b""),
        "error",
        "belongs to no tile",
    ),
    "product changed": (
        lambda s: flip(next(s.scenes.glob("*/quality_flags/c/0/0"))),
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
    "shard not listed": (unlist, "error", "lists other shards"),
    "layer lost": (
        lambda s: (
            shutil.rmtree(group(s) / "quality_flags"),
            (group(s) / "zarr.json").write_text(
                json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})
            ),
        ),
        "error",
        "layer quality_flags is missing",
    ),
    "link dangling": (lambda s: shutil.rmtree(group(s)), "error", "not a Zarr group"),
    "not placed": (
        lambda s: zarr.open_group(group(s), mode="r+").attrs.update({"proj:code": "EPSG:4326"}),
        "error",
        "proj:code",
    ),
    "another CRS": (
        lambda s: mapping(s).attrs.update({"crs_wkt": "LOCAL_CS[]"}),
        "error",
        "spatial_ref attribute crs_wkt",
    ),
    "moved": (
        lambda s: mapping(s).attrs.update({"GeoTransform": "0.0 30.0 0.0 0.0 0.0 -30.0"}),
        "error",
        "spatial_ref attribute GeoTransform",
    ),
    "ends swapped": (swap_ends, "error", "outside their interval"),
    "flooded": (flood, "error", "no estimate and no reason"),
    "flooded, with a reason": (
        lambda s: flood(s, QualityFlag.DEFECTIVE),
        "error",
        "without a reason in clouds, water or plants, more than 50.0%",
    ),
    "all under plants": (
        lambda s: flood(s, QualityFlag.GREEN_VEGETATION),
        "warning",
        "no measured pixel has an estimate",
    ),
    "upper end impossible": (lambda s: poke(s, "salinity_upper", 1e6), "error", "above 300"),
    "negative": (lambda s: poke(s, "salinity_lower", -0.5), "error", "negative"),
    "impossible": (lambda s: poke(s, "salinity", 1e6), "error", "above 300"),
    "interval": (lambda s: poke(s, "salinity_upper", 0.0), "error", "outside their interval"),
    "half an interval": (
        lambda s: poke(s, "salinity_lower", float("nan")),
        "error",
        "without an interval",
    ),
    "rejected": (
        lambda s: poke(s, "quality_flags", int(QualityFlag.WATER)),
        "error",
        "quality_flags rejects",
    ),
    "no reason": (lambda s: poke(s, "salinity", float("nan")), "error", "no reason"),
    "unknown bit": (lambda s: poke(s, "quality_flags", 1 << 15), "error", "unknown bits"),
    "unseen": (lambda s: poke(s, "observations", 0), "error", "no observation"),
    "build left": (lambda s: (s.versions / "abc.building").mkdir(), "warning", "interrupted"),
    "write left": (lambda s: (s.scenes / ".a~host.1~b").mkdir(), "warning", "interrupted"),
    "catalogue missing": (lambda s: (s.path / "catalog.json").unlink(), "warning", "no STAC"),
    "catalogue broken": (lambda s: (s.path / "catalog.json").write_text("{"), "error", "readable"),
    "item of a product lost": (
        lambda s: next(s.items.glob("enmap*.json")).unlink(),
        "error",
        "the STAC Item is missing",
    ),
    "item of the mosaic lost": (
        lambda s: next(s.items.glob("mosaic*.json")).unlink(),
        "error",
        "the STAC Item is missing",
    ),
    "item not linked": (
        lambda s: (s.path / "catalog.json").write_text('{"links": []}'),
        "error",
        "the catalogue does not lead to the Item",
    ),
    "asset dangling": (
        lambda s: write_item(s, next(s.items.glob("enmap*.json")).stem, "../scenes/gone.zarr"),
        "error",
        "asset data leads to ../scenes/gone.zarr",
    ),
    "item missing": (lambda s: write_catalogue(s, "./items/a.json"), "error", "does not exist"),
    "item broken": (
        lambda s: ((s.items / "a.json").write_text("[]"), write_catalogue(s, "./items/a.json")),
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


@pytest.mark.parametrize(
    ("limits", "check"),
    [
        (Limits(max_missing=0.1), "missing"),
        (Limits(max_salinity_ds_m=5.0), "range"),
        (Limits(max_age_days=30), "freshness"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_limit_turns_what_was_sound_into_an_error(
    store: Store, limits: Limits, check: str
) -> None:
    errors = {each.check for each in check_store(store.path, limits) if each.severity == "error"}
    assert errors == {check}


def test_a_mosaic_within_its_age_is_fresh(store: Store) -> None:
    days = (TODAY - date(2024, 5, 1)).days
    assert not any(
        finding.severity == "error"
        for finding in check_store(store.path, Limits(max_age_days=days))
    )


def test_the_range_is_that_of_the_models_card(store: Store) -> None:
    card = replace(model_card(model_ref()), ec_max=5.0)
    folder = store.path / "models" / store.model[:12]
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(card.to_json())
    assert {finding.check for finding in problems(store)} == {"range"}


def test_a_scene_from_the_future_is_a_warning(tmp_path: Path) -> None:
    made = make_store(tmp_path / "s")
    soon = datetime.now(UTC) + timedelta(days=9)
    acq = replace(acquisition("s0"), start=soon, end=soon)
    build(made, {Period.all(): [add_product(made.scenes, acq)]})
    found = [finding for finding in problems(made) if finding.check == "freshness"]
    assert [finding.severity for finding in found] == ["warning"]


def test_a_quick_check_sees_a_lost_shard_but_no_changed_byte(store: Store) -> None:
    flip(shard(store, "salinity"))
    shard(store, "quality_flags").unlink()
    found = [each for each in check_store(store.path, quick=True) if each.severity == "error"]
    assert [finding.found for finding in found] == ["the shard is missing"]


def test_a_check_says_how_far_it_is(store: Store) -> None:
    class Heard:
        def __init__(self) -> None:
            self.total, self.done = dict[str, int](), Counter[str]()

        def start(self, stage: str, total: int) -> None:
            self.total[stage] = total

        def advance(self, stage: str, units: int = 1) -> None:
            self.done[stage] += units

    heard = Heard()
    check_store(store.path, listener=heard)
    assert heard.done == heard.total
    assert set(heard.total) == {"products", "checks"}


def test_links_to_other_places_are_not_followed(store: Store) -> None:
    write_catalogue(store, "https://example.invalid/item.json")
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
