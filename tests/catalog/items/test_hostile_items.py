"""Items that are not what they claim to be: one sentence with the Item's id, never a traceback."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.hrefs import absolute_href
from catalog.items import parse_item, to_item
from deepsalt.errors import DeepsaltError, FormatError, UnsupportedError
from tests.catalog.scenes import acquisition

Change = Callable[[dict[str, Any]], Any]


def changed(change: Change) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(to_item(acquisition()).to_dict()))
    change(document)
    return document


def props(**values: Any) -> Change:
    return lambda d: d["properties"].update({k.replace("__", ":"): v for k, v in values.items()})


def image(**values: Any) -> Change:
    return lambda d: d["assets"]["image"].update(
        {k.replace("__", ":"): v for k, v in values.items()}
    )


def band(**values: Any) -> Change:
    return lambda d: d["assets"]["image"]["bands"][0].update(
        {k.replace("__", ":"): v for k, v in values.items()}
    )


CASES: dict[str, tuple[Change, str]] = {
    "no properties": (lambda d: d.update(properties=None), "JSON object"),
    "no assets": (lambda d: d.update(assets={}), "0 assets"),
    "assets a list": (lambda d: d.update(assets=[]), "JSON object"),
    "no collection": (lambda d: d.pop("collection"), "collection"),
    "no geometry": (lambda d: d.update(geometry=None), "footprint"),
    "a point": (lambda d: d.update(geometry={"type": "Point", "coordinates": [1, 2]}), "Point"),
    "geometry in metres": (
        lambda d: d["geometry"].update(coordinates=[[[5e5, 4e6]] * 4]),
        "not longitude",
    ),
    "no image": (lambda d: d["assets"].pop("image"), "0 assets that list"),
    "shape text": (props(proj__shape="large"), "proj:shape"),
    "shape huge": (props(proj__shape=[10**7, 10**7]), "proj:shape"),
    "shape negative": (props(proj__shape=[-1, 5]), "proj:shape"),
    "shape half": (props(proj__shape=[1.5, 5]), "proj:shape"),
    "transform short": (props(proj__transform=[30, 0, 1]), "proj:transform"),
    "transform nan": (props(proj__transform=["nan"] * 6), "proj:transform"),
    "transform rotated": (props(proj__transform=[30, 5, 0, 5, -30, 0]), "north-up"),
    "code free text": (props(proj__code="somewhere"), "proj:code"),
    "no crs": (props(proj__code=None), "no CRS"),
    "level L1C": (props(processing__level="L1C"), "L1C"),
    "level L1B": (props(processing__level="L1B"), "L1B"),
    "night": (props(view__sun_elevation=-3.5), "night"),
    "sun beyond zenith": (props(view__sun_elevation=373), "sun_elevation"),
    "cloud 101": (props(eo__cloud_cover="101"), "cloud_cover"),
    "cloud text": (props(eo__cloud_cover="many"), "cloud_cover"),
    "quality 7": (props(enmap__overallQuality="7"), "overallQuality"),
    "naive time": (props(start_datetime="2024-06-30T08:20:45"), "start_datetime"),
    "no time": (props(start_datetime=None, datetime=None), "datetime"),
    "end before begin": (props(end_datetime="2020-01-01T00:00:00Z"), "end_datetime"),
    "sensor unknown": (props(deepsalt__sensor="landsat"), "deepsalt:sensor"),
    "block of zero": (props(deepsalt__block_shape=[0, 256]), "block_shape"),
    "dtype object": (image(data_type="object"), "data_type"),
    "dtype missing": (lambda d: d["assets"]["image"].pop("data_type"), "data_type"),
    "nodata text": (image(nodata="none"), "nodata"),
    "bands text": (image(bands="many"), "bands"),
    "too many bands": (image(bands=[{}] * 10_001), "10001"),
    "band no object": (image(bands=[1, 2]), "JSON object"),
    "wavelength true": (band(eo__center_wavelength=True), "center_wavelength"),
    "wavelength in metres": (band(eo__center_wavelength=4e-7), "nanometres"),
    "units mixed": (band(eo__center_wavelength=418.4, deepsalt__center_nm=None), "micrometres"),
    "twice one name": (band(name="b2"), "two bands"),
    "scale missing": (lambda d: d["assets"]["image"]["bands"][0].pop("raster:scale"), "scale"),
    "size negative": (image(file__size=-1), "file:size"),
    "href number": (image(href=7), "href"),
    "href empty": (image(href=" "), "href"),
    "href relative": (image(href="../../etc/passwd"), "relative"),
    "href control": (image(href="/data/a\nb"), "control"),
    "href archive": (image(href="/vsizip/data.zip/a.tif"), "virtual"),
    "href vrt": (image(href="vrt:///data/a.tif?bands=1"), "vrt"),
    "href xml": (image(href="<VRTDataset rasterXSize='1'></VRTDataset>"), "'<'"),
    "href to virtual files over folders": (
        image(href="/data/../vsizip/data.zip/a.tif"),
        "virtual",
    ),
    "href to virtual files over a dot": (image(href="/./vsitar/data.tar/a.tif"), "virtual"),
    "href of a bracket": (image(href="https://[/a.tif"), "not a valid URL"),
    "gain huge and negative": (band(raster__scale=-1e300), "gain -1e[+]300 in band b1"),
    "gain zero": (band(raster__scale=0), "gain 0 in band b1"),
    "gain infinite": (band(raster__scale=float("inf")), "scale"),
    "gain of hundreds": (band(raster__scale=100), "gain 100 in band b1"),
    "offset huge": (band(raster__offset=1e300), "offset 1e[+]300 in band b1"),
    "no reflectance left": (band(raster__scale=1e-9, raster__offset=2), "between 0 and 1"),
    "cloud nan": (props(eo__cloud_cover=float("nan")), "cloud_cover"),
    "cloud infinite": (props(eo__cloud_cover=float("inf")), "cloud_cover"),
    "cloud nan as text": (props(eo__cloud_cover="nan"), "cloud_cover"),
    "quality huge": (props(enmap__overallQuality=1e300), "overallQuality"),
    "nodata the type has not": (image(nodata=1e300), "int16, which cannot hold nodata 1e[+]300"),
    "nodata nan of integers": (image(nodata="nan"), "int16, which cannot hold nodata nan"),
    "nodata a fraction": (image(nodata=0.5), "int16, which cannot hold nodata 0.5"),
    "size huge": (image(file__size=1e300), "file:size"),
    "transform huge": (props(proj__transform=[1e308, 0, 0, 0, -1e308, 0]), "not finite"),
    "epsg huge": (props(proj__code=None, proj__epsg=1e300), "proj:epsg"),
    "time before year 1": (props(start_datetime="0001-01-01T00:00:00+23:59"), "start_datetime"),
    "href other host": (image(href="file://server/a.tif"), "file"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_item_is_refused_in_one_sentence_with_its_id(case: str) -> None:
    change, word = CASES[case]
    document = changed(change)
    with pytest.raises(FormatError, match=word) as error:
        parse_item(document)
    assert document["id"] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "document", [None, 7, "item", [], {}, {"type": "Feature"}], ids=lambda d: repr(d)
)
def test_what_is_no_item_at_all_is_refused(document: Any) -> None:
    with pytest.raises(FormatError):
        parse_item(document)


def test_desis_is_refused_for_want_of_swir() -> None:
    def foreign(document: dict[str, Any]) -> None:
        document["id"] = "DESIS-HSI-L2A-DT1"
        document["properties"] = {"platform": "ISS", "instruments": ["DESIS"]}

    with pytest.raises(UnsupportedError, match="short-wave infrared"):
        parse_item(changed(foreign))


def test_a_local_file_named_by_a_server_is_refused() -> None:
    def from_server(document: dict[str, Any]) -> None:
        document["links"] = [{"rel": "self", "href": "https://host/items/a"}]
        document["assets"]["image"]["href"] = "file:///etc/passwd"

    with pytest.raises(FormatError, match="file"):
        parse_item(changed(from_server))


@pytest.mark.parametrize(
    "href",
    [
        "file:/etc/passwd",
        "FILE:/etc/passwd",
        "vrt:/etc/passwd",
        "zip:/data/a.zip!/a.tif",
        'NETCDF:"/data/a.nc":v',
        "hdf5:/data/a.h5",
        "//[",
    ],
)
@pytest.mark.parametrize("base", ["https://host/items/a", "http://host/a", "s3://bucket/items/a"])
def test_a_server_cannot_name_a_file_by_a_scheme_without_slashes(href: str, base: str) -> None:
    with pytest.raises(FormatError, match="came from a server"):
        absolute_href(href, base, "asset image of item a")


@pytest.mark.parametrize(
    ("href", "base", "expected"),
    [
        ("a.tif", "https://host/items/a.json", "https://host/items/a.tif"),
        ("/etc/passwd", "https://host/items/a.json", "https://host/etc/passwd"),
        ("../a.tif", "s3://bucket/items/a/a.json", "s3://bucket/items/a.tif"),
        ("vsicurl/a.tif", "http://host/", "http://host/vsicurl/a.tif"),
    ],
)
def test_relative_hrefs_of_a_server_stay_on_it(href: str, base: str, expected: str) -> None:
    assert absolute_href(href, base, "asset image of item a") == expected


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("file:///data/a%20b.tif", "/data/a b.tif"),
        ("../scene/a.tif", "/data/scene/a.tif"),
        ("/data/x/../a.tif", "/data/a.tif"),
        ("https://host/a.tif", "https://host/a.tif"),
    ],
)
def test_hrefs_become_absolute_against_the_self_link(href: str, expected: str) -> None:
    def beside(document: dict[str, Any]) -> None:
        document["links"] = [{"rel": "self", "href": "/data/items/a.json"}]
        document["assets"]["image"]["href"] = href

    assert parse_item(changed(beside)).asset("image").href == expected


def test_an_item_of_another_catalogue_with_bands_is_a_generic_scene() -> None:
    def foreign(document: dict[str, Any]) -> None:
        own = document["properties"]
        kept = {k: v for k, v in own.items() if k.startswith(("proj:", "datetime", "start", "end"))}
        document |= {"id": "airborne", "collection": "flights", "properties": kept}

    scene = parse_item(changed(foreign))
    assert (scene.sensor, scene.key) == ("generic", "flights/airborne/")
    assert scene.bands.centers_nm == (418.416, 2445.3)


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_PATHS = [
    (part, key)
    for part, names in {
        "properties": [*to_item(acquisition()).properties],
        "image": ["href", "roles", "file:size", "data_type", "nodata", "bands"],
        "band": ["name", "eo:center_wavelength", "raster:scale", "deepsalt:usable"],
        "item": ["geometry", "bbox", "links", "assets", "properties", "collection", "id"],
    }.items()
    for key in names
]


@settings(max_examples=200)
@given(st.sampled_from(_PATHS), _json)
def test_whatever_stands_in_a_field_nothing_but_our_own_errors_comes_out(
    where: tuple[str, str], value: Any
) -> None:
    part, key = where
    document = changed(lambda d: None)
    target = {
        "item": document,
        "properties": document["properties"],
        "image": document["assets"]["image"],
        "band": document["assets"]["image"]["bands"][0],
    }[part]
    target[key] = value
    with suppress(DeepsaltError):
        parse_item(document)
