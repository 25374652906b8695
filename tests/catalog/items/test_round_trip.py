"""`parse_item(to_item(a)) == a`, and what the Items in between look like."""

import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import pystac
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.items import parse_item, to_item
from catalog.items.bands import all_shifted
from deepsalt.errors import FormatError
from deepsalt.types import Acquisition, Asset
from tests.catalog.scenes import SQUARE, acquisition, acquisitions, square


@settings(max_examples=80)
@given(acquisitions())
def test_an_acquisition_comes_back_unchanged_through_an_item_and_through_json(
    scene: Acquisition,
) -> None:
    item = to_item(scene)
    assert parse_item(item) == scene
    assert parse_item(json.loads(json.dumps(item.to_dict(), allow_nan=False))) == scene


@pytest.mark.parametrize(
    "nm",
    [418.416, 402.44171142578125, 1e3 / 3, 2445.2999999999997, 100.00000000000001],
    ids=repr,
)
def test_wavelengths_come_back_to_the_last_bit(nm: float) -> None:
    plain = acquisition()
    scene = acquisition(
        bands=type(plain.bands)(("a", "b"), (nm, nm), (nm / 100, 7.0), (True, True))
    )
    assert parse_item(to_item(scene)).bands == scene.bands


@settings(max_examples=500)
@given(
    st.lists(
        st.floats(-1e308, 1e308)
        | st.floats(0.1, 50)
        | st.builds(round, st.floats(0.1, 3000), st.integers(0, 17))
        | st.sampled_from([0.0, 1e-5, 99999.9999999999, 100000.0]),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([0, 3]),
)
def test_the_decimal_point_of_many_numbers_moves_as_that_of_one(
    values: list[float], places: int
) -> None:
    expected = tuple(float(Decimal(repr(value)).scaleb(places)) for value in values)
    assert all_shifted(tuple(values), places) == expected


@pytest.mark.parametrize("row", [0, 1, -1])
@pytest.mark.parametrize("name", ["name", "eo:center_wavelength", "deepsalt:usable"])
def test_bands_whose_fields_differ_in_number_or_order_say_the_same(row: int, name: str) -> None:
    item = to_item(acquisition()).to_dict()
    scene = parse_item(item)
    bands = item["assets"]["image"]["bands"]
    bands[row] = {"remark": None, name: bands[row].pop(name), **bands[row]}
    assert parse_item(item) == scene


def test_bands_are_written_in_micrometres_on_the_image_asset() -> None:
    band = to_item(acquisition()).assets["image"].extra_fields["bands"][0]
    assert band == {
        "name": "b1",
        "eo:center_wavelength": 0.418416,
        "eo:full_width_half_max": 0.00699561,
        "raster:scale": 0.0001,
        "raster:offset": 0.0,
        "deepsalt:usable": True,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("proj:code", "EPSG:32632"),
        ("proj:shape", [1220, 1217]),
        ("proj:transform", [30.0, 0.0, 454245.0, 0.0, -30.0, 5000025.0]),
        ("view:sun_elevation", 36.90644),
        ("eo:cloud_cover", 12.0),
        ("processing:level", "L2A"),
        ("processing:version", "01.04.02"),
        ("enmap:overallQuality", 0),
        ("deepsalt:acquisition_id", "DT0000000001_001"),
    ],
)
def test_item_properties_are_those_that_stac_names(field: str, value: object) -> None:
    assert to_item(acquisition()).properties[field] == value


def test_the_image_asset_states_type_nodata_and_size() -> None:
    extra = to_item(acquisition()).assets["image"].extra_fields
    assert (extra["data_type"], extra["nodata"], extra["file:size"]) == ("int16", -32768, 12345)


def test_a_scene_without_date_is_marked_and_comes_back_without_date() -> None:
    item = to_item(acquisition(start=None, end=None))
    assert item.datetime is None
    assert item.properties["deepsalt:date_unknown"] is True
    assert parse_item(item).start is None


def test_nan_as_nodata_is_written_as_text_beside_the_field_that_holds_numbers() -> None:
    item = to_item(acquisition(dtype="float32", nodata=math.nan))
    extra = item.assets["image"].extra_fields
    assert (extra["deepsalt:nodata"], extra.get("nodata")) == ("nan", None)
    nodata = parse_item(item).nodata
    assert nodata is not None
    assert math.isnan(nodata)


def test_nan_written_as_nodata_is_understood_as_stac_allows_it_and_as_we_wrote_it_before() -> None:
    item = to_item(acquisition(dtype="float32", nodata=None))
    item.assets["image"].extra_fields["nodata"] = "nan"
    nodata = parse_item(item).nodata
    assert nodata is not None
    assert math.isnan(nodata)


def test_a_footprint_across_the_antimeridian_is_cut_in_two_as_geojson_wants() -> None:
    item = to_item(acquisition(footprint=square(179.9, 10.0)))
    assert item.geometry is not None
    assert item.geometry["type"] == "MultiPolygon"
    assert item.bbox == pytest.approx([179.9, 10.0, -179.8, 10.3])


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"assets": ()}, "files"),
        ({"assets": (Asset("a", "/x", None), Asset("a", "/y", None))}, "once"),
        ({"footprint": ()}, "ring"),
        ({"footprint": SQUARE[:-1]}, "close"),
    ],
    ids=["no files", "twice the same name", "no footprint", "open ring"],
)
def test_to_item_refuses_what_an_item_cannot_say(changes: dict[str, object], word: str) -> None:
    with pytest.raises(FormatError, match=word):
        to_item(acquisition(**changes))


def test_times_of_other_zones_become_utc() -> None:
    document = to_item(acquisition()).to_dict()
    document["properties"] |= {"start_datetime": "2024-06-30T10:20:45+02:00"}
    assert parse_item(document).start == datetime(2024, 6, 30, 8, 20, 45, tzinfo=UTC)
    assert parse_item(pystac.Item.from_dict(document)).start is not None
