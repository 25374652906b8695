import numpy as np
import pytest

from deepsalt.errors import FormatError
from deepsalt.spectral.bands import select_bands, sensor_bands
from tests.shared import shared_data


@pytest.mark.parametrize(
    ("sensor", "count", "usable", "first_nm", "last_nm"),
    [
        ("enmap", 224, 206, 418.2, 2445.53),
        ("prisma", 234, 230, 406.9934, 2497.1155),
        ("emit", 285, 235, 381.0056, 2492.9239),
        ("lab", 180, 180, 400.0, 2450.0),
    ],
    ids=["enmap", "prisma", "emit", "lab"],
)
def test_a_sensor_table_has_the_documented_bands(sensor, count, usable, first_nm, last_nm):
    bands = sensor_bands(sensor)
    assert (len(bands), sum(bands.usable)) == (count, usable)
    assert bands.centers_nm[0] == pytest.approx(first_nm, abs=0.01)
    assert bands.centers_nm[-1] == pytest.approx(last_nm, abs=0.01)


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "emit", "lab"])
def test_a_sensor_table_ascends_in_wavelength(sensor):
    assert (np.diff(sensor_bands(sensor).centers_nm) > 0).all()


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "emit"])
def test_usable_bands_do_not_overlap_between_detectors(sensor):
    bands = sensor_bands(sensor)
    centers = np.array(bands.centers_nm)[np.array(bands.usable)]
    assert np.diff(centers).min() > 4.5


def test_the_enmap_bands_that_are_delivered_empty_are_not_usable():
    assert not any(sensor_bands("enmap").usable[129:135])


def test_the_emit_bands_that_real_pixels_lack_are_not_usable():
    header = shared_data("emit-jpl-10x10", "emit20250324t221005_jpl_unmix_ex.hdr")
    pixels = np.fromfile(header.with_suffix(""), "<f4").reshape(10, 285, 10)  # BIL
    lacking = np.isclose(pixels, -0.01).all(axis=(0, 2))
    assert lacking.sum() == 41
    assert not (np.array(sensor_bands("emit").usable) & lacking).any()


def test_select_bands_keeps_order_and_columns():
    bands = sensor_bands("enmap")
    chosen = np.zeros(224, dtype=bool)
    chosen[[3, 10]] = True
    assert select_bands(bands, chosen).names == ("band_004", "band_011")


@pytest.mark.parametrize(
    "text",
    [
        "Wavelength,FWHM\n500,10\n510,10\n",
        "\ufeffCENTER_NM, fwhm_nm ,name\n500,10,a\n510,10,b\n",
        "# a comment\ncentre_nm,fwhm,usable\n500,10,true\n\n510,10,1\n",
    ],
    ids=["enmap-box", "byte-order-mark", "comments"],
)
def test_a_table_from_a_file_is_tolerant_of_spelling(tmp_path, text):
    path = tmp_path / "bands.csv"
    path.write_text(text, encoding="utf-8")
    bands = sensor_bands(str(path))
    assert (bands.centers_nm, bands.fwhm_nm) == ((500.0, 510.0), (10.0, 10.0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"wavelength,width\n500,10\n", "needs one of fwhm_nm"),
        (b"wavelength,fwhm\n500,broad\n", "give numbers"),
        (b"wavelength,fwhm\n500\n", "give numbers"),
        (
            b"wavelength,fwhm\n0.5,0.01\n2.4,0.01\n",
            "0.5 to 2.4.*micrometres; multiply them by 1000",
        ),
        (b"wavelength,fwhm\n500,0.01\n", "widths.*micrometres"),
        (b"wavelength,fwhm\n500,10\nnan,10\n", "band 2 is not finite"),
        (b"wavelength,fwhm\n500,inf\n", "band 1 is not finite"),
        (b"wavelength,fwhm\n500,10\n510,10\n500,12\n", "two usable bands at 500 nm"),
        (b"column,wavelength,fwhm\na,500,10\na,510,10\n", "names two bands a"),
        (b"name,wavelength,fwhm\na,500,10\na,510,10\n", "names two bands a"),
        (b"column,wavelength,fwhm\na,500,10\n,510,10\n", "column of band 2 empty"),
        (b"wavelength,fwhm,fwhm\n500,10,12\n", "two columns named fwhm"),
        (b"wavelength,fwhm,usable\n500,10,maybe\n", "'maybe' under usable"),
        (b"wavelength,fwhm\n", "needs equal numbers"),
        (b"", "has the columns none"),
        (b"\xff\xfe\x00wave", "not a CSV text file"),
    ],
    ids=[
        "no-width",
        "text",
        "short-row",
        "micrometres",
        "micrometre-widths",
        "nan",
        "infinite",
        "centre-twice",
        "column-twice",
        "name-twice",
        "column-empty",
        "header-twice",
        "flag",
        "no-rows",
        "empty",
        "binary",
    ],
)
def test_a_malformed_table_is_refused_with_a_reason(tmp_path, content, message):
    path = tmp_path / "bands.csv"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        sensor_bands(str(path))


def test_a_table_may_name_the_columns_of_its_spectra_in_any_order(tmp_path):
    path = tmp_path / "bands.csv"
    path.write_text("Column,name,center_nm,fwhm_nm\nB 2,second,510,10\nB 1,first,500,10\n")
    bands = sensor_bands(str(path))
    assert bands.names == ("B 2", "B 1")
    assert bands.centers_nm == (510.0, 500.0)


def test_two_detectors_may_share_a_wavelength_when_one_is_not_usable(tmp_path):
    path = tmp_path / "bands.csv"
    path.write_text("center_nm,fwhm_nm,usable\n950,9,1\n950,11,0\n")
    assert sensor_bands(str(path)).usable == (True, False)


def test_an_unknown_sensor_is_refused_and_the_known_ones_are_named():
    with pytest.raises(FormatError, match="enmap, prisma, emit, lab"):
        sensor_bands("hyperion")
