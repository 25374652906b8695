"""The simulated METADATA.XML has the elements of a delivered one, and what public readers ask."""

import gzip
from datetime import datetime
from xml.etree import ElementTree

import pytest

from tests.shared import shared_data

DELIVERED = "ENMAP01-____L2A-DT0000326721_20170626T102020Z_001_V000204_20200406T201930Z"

LEFT_OUT = {
    "product/calibration": "telemetry: orbit and attitude of a flight that never was",
    "product/navigation": "the camera's orientation and a polynomial per band of the raw image",
    "product/time": "time of each line of the raw image",
    "product/matching": "tie points with a reference image; the scene lies where it should",
    "specific/productQuality/screeningResultTemp": "the instrument's temperatures",
    "specific/productQuality/screeningResultCurr": "the instrument's currents",
    "specific/productQuality/screeningResultVolt": "the instrument's voltages",
    "specific/productQuality/screeningResultDevStatus": "the state of the instrument's devices",
}

NEWER = ("specific/viewingZenithAngle", "specific/viewingAzimuthAngle")
"""Elements of products today that the delivered document, of an older schema, lacks."""


@pytest.fixture(scope="module")
def simulated(enmap):
    return ElementTree.parse(enmap.folder / f"{enmap.name}-METADATA.XML").getroot()


@pytest.fixture(scope="module")
def delivered():
    path = shared_data("esa-snap-product-metadata", f"{DELIVERED}-METADATA.XML.gz")
    with gzip.open(path) as file:
        return ElementTree.parse(file).getroot()


def shape(root):
    """Every element path below the root with the names of its attributes."""
    found = set()

    def walk(element, path):
        found.add((path, *sorted(element.attrib)))
        for child in element:
            walk(child, f"{path}/{child.tag}" if path else child.tag)

    for child in root:
        walk(child, child.tag)
    return found


def below(entries, prefixes):
    return {
        entry
        for entry in entries
        if any(entry[0] == prefix or entry[0].startswith(f"{prefix}/") for prefix in prefixes)
    }


def test_every_delivered_element_and_attribute_is_there_but_for_a_short_list(simulated, delivered):
    wanted = shape(delivered)
    assert wanted - below(wanted, LEFT_OUT) - shape(simulated) == set()


@pytest.mark.parametrize("prefix", LEFT_OUT, ids=str)
def test_what_is_said_to_be_left_out_is_delivered_and_is_left_out(simulated, delivered, prefix):
    assert below(shape(delivered), [prefix])
    assert not below(shape(simulated), [prefix])


def test_no_element_is_made_up(simulated, delivered):
    extra = shape(simulated) - shape(delivered)
    assert extra - below(extra, NEWER) == set()


@pytest.mark.parametrize(
    "path",
    [
        "metadata/citation",  # xarray-enmap
        "specific/meanGroundElevation",  # EnPT, EnFROSP, 6ABOS
        "specific/spatialCoverageOfOrthoScene/boundingPolygon/point/latitude",  # SNAP
        "product/quicklook/vnir/name",  # EnPT
        "product/image/merge/name",  # SNAP, xarray-enmap
    ],
    ids=str,
)
def test_what_public_readers_look_up_has_a_text(simulated, path):
    assert simulated.findtext(path)


@pytest.mark.parametrize(
    "path", ["metadata/comment", "metadata/citation", "metadata/copyright"], ids=str
)
def test_a_simulated_product_says_that_it_is_simulated(simulated, path):
    assert "simulated" in simulated.findtext(path)


def test_the_time_of_processing_is_that_of_the_name(simulated, enmap):
    processed = datetime.fromisoformat(simulated.findtext("specific/processingDateTime"))
    assert f"{processed:%Y%m%dT%H%M%S}Z" == enmap.name.rpartition("_")[2]


def test_files_are_listed_with_their_sizes(simulated, enmap):
    for entry in simulated.iterfind("product/productFileInformation/file"):
        name = entry.findtext("name")
        if entry.findtext("format") == "binary":
            size = (enmap.folder / name).stat().st_size
            assert int(entry.findtext("size")) == size // 1024, name


def test_the_outline_of_the_image_holds_the_footprint(simulated):
    def box(coverage):
        points = f"{coverage}/boundingPolygon/point"
        return [
            (min(values), max(values))
            for axis in ("longitude", "latitude")
            for values in [[float(e.text) for e in simulated.iterfind(f"{points}/{axis}")]]
        ]

    outline = box("specific/spatialCoverageOfOrthoScene")
    for (low, high), (inner_low, inner_high) in zip(
        outline, box("base/spatialCoverage"), strict=True
    ):
        assert low <= inner_low <= inner_high <= high
