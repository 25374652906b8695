"""The ten real EnMAP Items of DLR's catalogue, with their traps."""

import gzip
import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pystac
import pytest

from catalog.items import enmap, parse_item, to_item
from deepsalt.errors import FormatError, UnsupportedError
from deepsalt.scenes.base import read_acquisition
from tests.made.enmap import write_enmap
from tests.shared import shared_data

# Acquisition, begin, version, EPSG, left, top, rows, columns, cloud %, quality, sun elevation:
# read from the files by hand.
TABLE = """
DT0000080454_001 20240630T082045Z 01.04.02 32736 454245 7246185 1220 1517  0 0 36.90644
DT0000140097_001 20250708T104407Z 01.05.02 32633 467085 6321105 1222 1268 72 2 55.310864
DT0000140505_004 20250708T025709Z 01.05.02 32750 484785 7620315 1171 1217  0 0 41.775076
DT0000140505_005 20250708T025713Z 01.05.02 32750 478305 7590285 1162 1214  0 0 41.512386
DT0000141488_001 20250708T054623Z 01.05.02 32648 499935 8093205 1370 1386  0 0 39.31465
DT0000141488_002 20250708T054627Z 01.05.02 32648 485145 8066565 1379 1392  0 0 39.577576
DT0000141488_003 20250708T054631Z 01.05.02 32648 470535 8039655 1370 1387  0 0 39.840242
DT0000142249_001 20250708T055404Z 01.05.02 32645 349215 5089035 1222 1256 34 2 65.882399
DT0000142249_002 20250708T055408Z 01.05.02 32645 340845 5059695 1231 1260  3 0 66.121408
DT0000142249_003 20250708T055412Z 01.05.02 32645 332565 5030085 1221 1257 33 2 66.360567
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


def item_file(pattern: str) -> Path:
    (path,) = shared_data("stac-dlr-enmap").glob(pattern)
    return path


def document(row: list[str] = ROWS[0]) -> dict[str, Any]:
    datatake, tile = row[0].split("_")
    path = item_file(f"ENMAP01-____L2A-{datatake}_{row[1]}_{tile}_*.json")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_real_item_parses_to_what_the_file_says(row: list[str]) -> None:
    scene = parse_item(document(row))
    name, begin, version, epsg, left, top, rows, columns, cloud, quality, sun = row
    assert scene.key == f"enmap-l2a/{name}/{version}"
    assert scene.grid.crs == f"EPSG:{epsg}"
    assert scene.grid.transform == (30.0, 0.0, float(left), 0.0, -30.0, float(top))
    assert (scene.grid.height, scene.grid.width) == (int(rows), int(columns))
    assert scene.cloud_cover_pct == float(cloud)
    assert scene.overall_quality == int(quality)
    assert scene.sun_elevation_deg == float(sun)
    assert scene.start is not None
    assert scene.start.strftime("%Y%m%dT%H%M%SZ") == begin


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_real_item_comes_back_unchanged_from_an_item_of_ours(row: list[str]) -> None:
    scene = parse_item(document(row))
    assert parse_item(to_item(scene)) == scene


def test_pystac_may_migrate_a_real_item_without_changing_what_is_parsed() -> None:
    assert parse_item(pystac.Item.from_dict(document())) == parse_item(document())


def test_wavelengths_under_eo_bands_are_taken_as_nanometres() -> None:
    bands = parse_item(document()).bands
    assert (bands.centers_nm[0], bands.fwhm_nm[0]) == (418.416, 6.99561)
    assert (bands.names[0], bands.names[-1], len(bands)) == ("band_001", "band_224", 224)


def test_usable_leaves_out_vnir_in_the_overlap_and_the_usually_empty_bands() -> None:
    bands = parse_item(document()).bands
    unused = [number for number, usable in enumerate(bands.usable, 1) if not usable]
    vnir = [81, 83, 84, 86, 88, 90, 92, 93, 95, 97, 99, 101]
    assert unused == [*vnir, 130, 131, 132, 133, 134, 135]


def test_detectors_are_told_apart_although_drift_swaps_neighbours() -> None:
    """In this product 911.66 (VNIR) lies below 911.88 nm (SWIR); in DLR's Items it is reversed."""
    path = shared_data("esa-snap-product-metadata", "enmap_l2a_bands_DT0000001049.csv")
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    table = sorted((float(row[1]), float(row[2])) for row in rows)
    usable = enmap.usable(tuple(c for c, _ in table), tuple(w for _, w in table))
    dropped = [c for (c, _), u in zip(table, usable, strict=True) if not u and c < 1000]
    assert len(dropped) == 12
    steps = [b - a for a, b in pairwise(dropped)]
    assert all(8.0 < step < 8.4 for step in steps)


def test_what_items_leave_to_the_product_definition_is_filled_in() -> None:
    scene = parse_item(document())
    assert (scene.dtype, scene.nodata, scene.gain[0], scene.offset[0]) == (
        "int16",
        -32768.0,
        0.0001,
        0.0,
    )
    assert scene.end == datetime(2024, 6, 30, 8, 20, 49, 658941, UTC)


def test_quicklooks_are_no_files_of_the_scene() -> None:
    names = {asset.name for asset in parse_item(document()).assets}
    assert {"image", "metadata", "quality_cloud", "defective_pixel_mask"} <= names
    assert not {"vnir", "swir", "thumbnail"} & names


def test_the_footprint_is_the_items_polygon() -> None:
    footprint = parse_item(document()).footprint
    assert footprint[0] == footprint[-1] == (32.61899, -24.899014)


def test_a_level_0_item_is_refused_by_its_level() -> None:
    path = item_file("ENMAP01-_____L0-*.json")
    with pytest.raises(UnsupportedError, match="processing level '0'"):
        parse_item(json.loads(path.read_text()))


def test_a_whole_page_of_the_real_catalogue_parses_or_is_refused() -> None:
    path = shared_data("stac-dlr-enmap", "search_page_20_items.json.gz")
    page = json.loads(gzip.decompress(path.read_bytes()))
    parsed, refused = [], []
    for item in page["features"]:
        try:
            parsed.append(parse_item(item).scene_id)
        except UnsupportedError:
            refused.append(item["id"])
    assert (len(parsed), len(refused)) == (9, 11)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: d["assets"]["image"]["eo:bands"][7].pop("center_wavelength"), "first: 8"),
        (lambda d: d["assets"]["image"]["eo:bands"].pop(), "223 bands"),
        (lambda d: d["properties"].pop("enmap:nodata"), "nodata"),
        (lambda d: d["properties"].pop("processing:level"), "processing:level"),
        (lambda d: d.update(id="ENMAP-renamed"), "product name"),
        (lambda d: d["assets"]["image"].update({"proj:epsg": None}), "no CRS"),
    ],
    ids=["wavelength missing", "band missing", "nodata", "level", "renamed", "no CRS"],
)
def test_a_damaged_real_item_is_refused_by_name(change: Any, word: str) -> None:
    damaged = document()
    change(damaged)
    with pytest.raises(FormatError, match=word) as error:
        parse_item(damaged)
    assert damaged["id"] in str(error.value)


def test_a_product_on_disk_and_its_item_of_the_catalogue_are_one_scene(tmp_path: Path) -> None:
    item = document()
    on_disk = read_acquisition(write_enmap(tmp_path, scene=item["id"]))
    listed = parse_item(item)
    assert on_disk.key == listed.key
    assert on_disk.scene_id == listed.scene_id
    assert on_disk.bands.names == listed.bands.names
    bands = on_disk.bands  # its table has drifted against the Item's, so flags move with it
    assert bands.usable == enmap.usable(bands.centers_nm, bands.fwhm_nm)
    assert {a.name for a in on_disk.assets} == {a.name for a in listed.assets}
    assert (on_disk.dtype, on_disk.nodata, on_disk.gain) == (
        listed.dtype,
        listed.nodata,
        listed.gain,
    )
    assert parse_item(to_item(on_disk)) == on_disk
