"""What a check finds in a store that somebody damaged."""

import json
import secrets
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from deepsalt.check import check_store
from deepsalt.model.load import model_card, model_ref
from deepsalt.mosaic import Builder, all_period_tiles, withdraw
from deepsalt.objects import Objects
from deepsalt.products import (
    complete_names,
    index_entries,
    mark_done,
    prefix_of,
    read_marker,
    unmark,
    write_product,
)
from deepsalt.store import Period, Store, quarantine, record_withdrawal
from deepsalt.types import QualityFlag
from deepsalt.validate import Limits
from deepsalt.versions import (
    create_mosaic,
)
from deepsalt.versions.records import BuildRecord
from tests.check.harm import (
    GRIDS,
    TODAY,
    chunk,
    drop,
    edit,
    errors,
    fill,
    flip,
    flood,
    head,
    item_key_of,
    keys,
    leave_build,
    leave_unfinished,
    link_too,
    lose,
    marker_key,
    month_of,
    point,
    poke,
    problems,
    product,
    publish,
    retype,
    shard,
    swap_ends,
    tamper,
    tiles_of,
    truncate,
)
from tests.store.builders import (
    REF,
    acquisition,
    add_product,
    add_small,
    build,
    layers,
    make_store,
    scene_grid,
)


def test_a_sound_store_has_no_problems(store: Store) -> None:
    assert problems(store) == []


def test_a_store_in_memory_is_checked_alike() -> None:
    assert problems(fill(make_store())) == []


def test_a_sound_store_is_found_by_path_and_by_uri(store: Store) -> None:
    said = check_store(store.objects.path)
    assert said == check_store(store.objects.uri) == check_store(store)
    assert {each.severity for each in said} == {"info"}


def test_each_tile_says_which_share_of_it_is_missing(store: Store) -> None:
    infos = [finding for finding in check_store(store) if finding.check == "missing"]
    assert len(infos) == len(tiles_of(store))
    assert all("measured pixels have no estimate" in finding.found for finding in infos)


Harm = Callable[[Store], object]
RECORDS: dict[str, tuple[Harm, str, str]] = {
    "tombstone damaged": (
        lambda s: s.objects.write("records/tombstones/a/0000000001.json", b"{"),
        "error",
        "is not valid JSON",
    ),
    "quarantine damaged": (
        lambda s: s.objects.write("records/quarantine/a/0000000001.json", b"[]"),
        "error",
        "not hold a JSON object",
    ),
    "period damaged": (
        lambda s: s.objects.write("records/periods/0007", b"sometime"),
        "error",
        "'sometime' is not a period",
    ),
    "period misnamed": (
        lambda s: s.objects.write("records/periods/first", b"all"),
        "error",
        "is not a record of a period",
    ),
    "period lost": (lambda s: lose(s, "records/periods/0000"), "error", "which period is in slot"),
    "build misnamed": (
        lambda s: s.objects.write("records/builds/a/0", b""),
        "error",
        "is not a record of a build",
    ),
    "build left": (leave_build, "warning", "has been silent since"),
    "write left": (leave_unfinished, "warning", "unfinished since"),
}
PRODUCT: dict[str, tuple[Harm, str, str]] = {
    "shard changed": (lambda s: flip(s, shard(s)), "error", "is damaged (another checksum)"),
    "shard truncated": (lambda s: truncate(s, shard(s)), "error", "bytes of"),
    "shard lost": (lambda s: lose(s, shard(s)), "error", "is missing"),
    "metadata changed": (
        lambda s: flip(s, keys(s, "scenes", ".zarr/zarr.json")[0]),
        "error",
        "is damaged (another checksum)",
    ),
    "marker damaged": (lambda s: flip(s, marker_key(s)), "error", "is not valid JSON"),
    "marker of another": (lambda s: edit(s, marker_key(s), name="other"), "error", "belongs to"),
    "marker of another model": (
        lambda s: edit(s, marker_key(s), model_digest="cd" * 32),
        "error",
        "belongs to model cdcd",
    ),
    "marker lost": (lambda s: lose(s, marker_key(s)), "warning", "do not match the scenes"),
    "product lost": (
        lambda s: s.objects.delete(keys(s, prefix_of(product(s)))),
        "error",
        "is missing",
    ),
    "index entry lost": (
        lambda s: lose(s, keys(s, "records/index", product(s))[0]),
        "error",
        "the index does not lead to the product",
    ),
    "acquisition lost": (
        lambda s: lose(s, keys(s, "records/acquisitions", product(s))[0]),
        "error",
        "the index does not lead to the product",
    ),
    "acquisition damaged": (
        lambda s: s.objects.write(keys(s, "records/acquisitions", product(s))[0], b"["),
        "error",
        "does not list the tiles",
    ),
}
MOSAIC: dict[str, tuple[Harm, str, str]] = {
    "chunk changed": (lambda s: flip(s, chunk(s)), "error", "checksum do not match"),
    "chunk truncated": (lambda s: truncate(s, chunk(s)), "error", "cannot be read"),
    "chunk emptied": (lambda s: s.objects.write(chunk(s), b""), "error", "could not be read"),
    "chunk lost": (lambda s: lose(s, chunk(s)), "error", "an object of the tile is lost"),
    "manifests lost": (
        lambda s: s.objects.delete(keys(s, "mosaic/manifests")),
        "error",
        "remove everything under mosaic/",
    ),
    "snapshot lost": (
        lambda s: lose(s, f"mosaic/snapshots/{head(s).id}"),
        "error",
        "remove everything under mosaic/",
    ),
    "layer lost": (lambda s: drop(s, "quality_flags"), "error", "layer quality_flags is missing"),
    "array lost": (lambda s: drop(s, "tile_counts"), "error", "array tile_counts is missing"),
    "another type": (retype, "error", "type of layer observations is 'float64'"),
    "another shape": (retype, "error", "shape of layer observations is (2, 2, 2)"),
    "another fill value": (retype, "error", "nodata of layer observations"),
    "not referred to its CRS": (retype, "error", "does not refer to spatial_ref"),
    "another CRS": (
        lambda s: tamper(s, lambda group: group.attrs.update({"proj:code": "EPSG:4326"})),
        "error",
        "attribute proj:code is 'EPSG:4326'",
    ),
    "moved": (
        lambda s: tamper(s, lambda group: group.attrs.update({"spatial:transform": [1.0]})),
        "error",
        "attribute spatial:transform is [1.0]",
    ),
    "another grid": (
        lambda s: edit(s, "store.json", extent=[0, 0, 9, 9]),
        "error",
        "another grid or area",
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
    "late scene": (
        lambda s: add_small(s, "x"),
        "warning",
        "do not match the scenes of the store",
    ),
    "withdrawn and not built": (
        lambda s: withdraw(s, [product(s)]),
        "warning",
        "do not match the scenes of the store",
    ),
}
CATALOGUE: dict[str, tuple[Harm, str, str]] = {
    "catalogue missing": (lambda s: lose(s, "catalog.json"), "warning", "no STAC"),
    "catalogue broken": (lambda s: s.objects.write("catalog.json", b"{"), "error", "readable"),
    "links of no kind": (
        lambda s: edit(s, "catalog.json", links=[{"href": "./a.json"}]),
        "error",
        "readable",
    ),
    "links no list": (lambda s: edit(s, "catalog.json", links=7), "error", "readable"),
    "item of a product lost": (
        lambda s: lose(s, item_key_of(s, product(s))),
        "error",
        "which does not exist",
    ),
    "item of the mosaic lost": (
        lambda s: lose(s, item_key_of(s, "mosaic-")),
        "error",
        "does not link an Item of the published version",
    ),
    "item of another version": (
        lambda s: edit(s, item_key_of(s, "mosaic-"), properties={"deepsalt:version": "other"}),
        "error",
        "does not link an Item of the published version",
    ),
    "item not linked": (
        lambda s: edit(s, month_of(s, product(s)), links=[]),
        "error",
        "does not link an Item of the product",
    ),
    "item of a late scene not linked": (
        lambda s: add_small(s, "x"),
        "warning",
        "does not link an Item of the product",
    ),
    "asset dangling": (
        lambda s: point(s, "../../../scenes/gone.zarr"),
        "error",
        "asset data leads to ../../../scenes/gone.zarr, which does not exist",
    ),
    "asset outside": (
        lambda s: point(s, "../../../../outside.tif"),
        "error",
        "is not inside the store",
    ),
    "item missing": (lambda s: link_too(s, "./a.json"), "error", "which does not exist"),
    "item broken": (
        lambda s: (
            s.objects.write(month_of(s, product(s)).replace("catalog.json", "a.json"), b"[]"),
            link_too(s, "./a.json"),
        ),
        "error",
        "readable",
    ),
}
DAMAGE = {
    f"{room}: {name}": case
    for room, cases in (
        ("records", RECORDS),
        ("product", PRODUCT),
        ("mosaic", MOSAIC),
        ("catalogue", CATALOGUE),
    )
    for name, case in cases.items()
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_each_damage_is_found_with_its_severity(store: Store, damage: str) -> None:
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
    assert {each.check for each in errors(store, limits=limits)} == {check}


def test_a_mosaic_within_its_age_is_fresh(store: Store) -> None:
    days = (TODAY - date(2024, 5, 1)).days
    assert not errors(store, limits=Limits(max_age_days=days))


def test_the_range_is_that_of_the_models_card(store: Store) -> None:
    card = replace(model_card(model_ref()), ec_max=5.0)
    store.objects.write(f"models/{store.model[:12]}/card.json", card.to_bytes())
    assert {finding.check for finding in problems(store)} == {"range"}


def test_a_scene_from_the_future_is_a_warning() -> None:
    made = make_store()
    soon = datetime.now(UTC) + timedelta(days=9)
    add_product(made, replace(acquisition("s0"), start=soon, end=soon))
    build(made)
    found = [finding for finding in problems(made) if finding.check == "freshness"]
    assert [finding.severity for finding in found] == ["warning"]


def test_a_quick_check_reads_neither_pixels_nor_checksums(store: Store) -> None:
    flip(store, chunk(store))
    flip(store, shard(store))
    assert problems(store, quick=True) == []


def test_a_quick_check_sees_a_lost_object_of_a_product(store: Store) -> None:
    lose(store, shard(store))
    (found,) = errors(store, quick=True)
    assert "salinity/c/0/0 is missing" in found.found


@pytest.mark.parametrize(
    "damage", ["product: marker damaged", "records: period damaged", "records: tombstone damaged"]
)
def test_one_damaged_record_does_not_hide_a_damaged_tile(store: Store, damage: str) -> None:
    harm, _, message = DAMAGE[damage]
    harm(store)
    lose(store, chunk(store))
    found = errors(store)
    assert any(message in each.message for each in found)
    assert any(each.check == "checksums" for each in found)


def test_a_check_says_how_far_it_is(store: Store) -> None:
    class Heard:
        def __init__(self) -> None:
            self.total, self.done = dict[str, int](), Counter[str]()

        def start(self, stage: str, total: int) -> None:
            self.total[stage] = total

        def advance(self, stage: str, units: int = 1) -> None:
            self.done[stage] += units

    heard = Heard()
    check_store(store, progress=heard)
    assert heard.done == heard.total == {"products": 2, "checks": 2}


@pytest.mark.parametrize(
    "href",
    [
        "https://example.invalid/item.json",
        "//example.invalid/item.json",
        "s3://elsewhere/item.json",
        "/data/item.json",
        "#top",
    ],
)
def test_links_to_other_places_are_not_followed(store: Store, href: str) -> None:
    link_too(store, href)
    assert problems(store) == []


@pytest.mark.parametrize(
    "href",
    [
        "../../../../outside.json",
        "../../../collections/../../outside.json",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/outside.json",
        "a\\..\\..\\outside.json",
        "a%00b",
        "%5c..%5coutside",
        "x" * 5000,
        "a*b?c",
    ],
    ids=lambda href: href[:24],
)
def test_hostile_links_lead_nowhere(store: Store, href: str) -> None:
    (store.objects.path.parent / "outside.json").write_text('{"type": "Feature", "links": []}')
    link_too(store, href)
    (found,) = errors(store)
    assert "is not inside the store" in found.found or "does not exist" in found.found
    assert len(found.message) < 600


def test_links_in_a_circle_end(store: Store) -> None:
    link_too(store, "../../../catalog.json", rel="child")
    assert problems(store) == []


def test_a_withdrawn_product_need_not_be_linked(store: Store) -> None:
    name = product(store)
    withdraw(store, [name])
    build(store)
    publish(store)
    edit(
        store,
        month_of(store, name),
        links=[
            each
            for each in json.loads(store.objects.read(month_of(store, name)))["links"]
            if name not in each["href"]
        ],
    )
    assert problems(store) == []


def test_a_missing_index_is_made_again_and_said(store: Store) -> None:
    before = sorted(index_entries(store))
    store.objects.delete([*keys(store, "records/index"), *keys(store, "records/acquisitions")])
    said = [each for each in check_store(store, repair_index=True) if each.check == "index"]
    assert {each.severity for each in said} == {"warning"}
    assert all("were restored" in each.found for each in said)
    assert sorted(index_entries(store)) == before
    assert problems(store) == []


def test_a_check_writes_nothing(store: Store) -> None:
    lose(store, keys(store, "records/index")[0])
    lose(store, shard(store))
    before = {each.key: (each.size, each.modified) for each in store.objects.list()}
    check_store(store)
    assert {each.key: (each.size, each.modified) for each in store.objects.list()} == before


def test_versions_of_one_acquisition_are_indexed_on_the_tiles_of_each_other() -> None:
    store = make_store()
    add_product(store, acquisition("a", grid=scene_grid(column=0)))
    newer = add_product(store, acquisition("a", version="2", grid=scene_grid(column=200)), seed=1)
    older = next(name for name in complete_names(store) if name != newer)
    tile = read_marker(store, newer).over[-1]
    lose(store, f"records/index/{tile.id}/{older}")
    (found,) = [each for each in errors(store) if each.check == "index"]
    assert found.where == prefix_of(older)


def test_entries_without_a_marker_are_counted(store: Store) -> None:
    unmark(store, product(store))
    said = [each.found for each in check_store(store) if each.check == "index"]
    assert [int(each.split()[0]) for each in said] == [1, 1]
    assert all(each.endswith("do not count") for each in said)


def test_a_product_that_is_being_written_is_no_problem() -> None:
    store = make_store()
    marker = write_product(layers(GRIDS[0]), store, acquisition("a", grid=GRIDS[0]), REF)
    said = [each for each in check_store(store) if each.check == "leftovers"]
    assert [each.severity for each in said] == ["info"]
    mark_done(store, marker)
    assert not [each for each in check_store(store) if each.check == "leftovers"]


def test_a_version_that_is_held_back_is_told_of() -> None:
    store = make_store()
    add_small(store, "a")
    with ThreadPoolExecutor(2) as pool:
        built = Builder(store, pool)(all_period_tiles(store), why="test", hold=True)
    said = [each for each in check_store(store) if each.check == "leftovers"]
    assert built.versions[0].short in said[0].message


def test_a_build_that_is_going_on_is_no_problem(store: Store) -> None:
    alive = BuildRecord(store.objects)
    said = [each for each in check_store(store) if alive.id in each.where]
    assert [each.severity for each in said] == ["info"]


def test_records_of_all_kinds_are_sound(store: Store) -> None:
    record_withdrawal(store, ("test", "x"), "1", "broken")
    quarantine(store, "test/x/1", "unreadable")
    assert problems(store) == []


def test_each_period_of_a_store_is_checked() -> None:
    store = make_store(layout="dated")
    for month in (5, 6):
        day = datetime(2024, month, 3, 10, tzinfo=UTC)
        acq = replace(acquisition(f"m{month}"), start=day, end=day)
        add_product(store, acq, seed=month)
        build(store, Period(date(2024, month, 1), date(2024, month, 30)))
    publish(store)
    said = [each.where for each in check_store(store) if each.check == "missing"]
    assert sum(" of 2024-05-01/2024-05-30" in where for where in said) == 2
    assert sum(" of 2024-06-01/2024-06-30" in where for where in said) == 2
    assert problems(store) == []


def test_a_store_without_a_mosaic_says_so() -> None:
    assert any("no mosaic has been published" in each.message for each in problems(make_store()))


def test_arrays_without_a_version_are_no_mosaic() -> None:
    store = make_store()
    create_mosaic(store.objects, store.frame)
    assert any("no mosaic has been published" in each.message for each in problems(store))


@pytest.mark.parametrize("where", ["", "store.json"])
def test_what_is_no_store_is_one_error(tmp_path: Path, where: str) -> None:
    if where:
        (tmp_path / where).write_text("{")
    assert [each.severity for each in check_store(tmp_path)] == ["error"]


def test_an_unknown_scheme_is_one_error() -> None:
    assert [each.severity for each in check_store("ftp://host/store")] == ["error"]


def test_findings_come_in_the_order_of_their_severity(store: Store) -> None:
    flip(store, shard(store))
    leave_build(store)
    order = [finding.severity for finding in check_store(store)]
    assert order == sorted(order, key=["error", "warning", "info"].index)
    assert len(set(order)) == 3


def test_other_stores_in_memory_do_not_mix() -> None:
    name = f"memory://{secrets.token_hex(8)}"
    fill(make_store(f"{name}/a"))
    other = make_store(f"{name}/b")
    assert not errors(other)
    assert check_store(Objects.of(f"{name}/a")) != check_store(other)
