import numpy as np
import pytest

from deepsalt.errors import FormatError
from deepsalt.spectral.bands import bands_digest, clean_bands, select_bands, sensor_bands


@pytest.mark.parametrize(
    ("sensor", "count", "usable", "first_nm", "last_nm"),
    [
        ("enmap", 224, 206, 418.2, 2445.53),
        ("prisma", 234, 230, 406.9934, 2497.1155),
        ("lab", 180, 180, 400.0, 2450.0),
    ],
    ids=["enmap", "prisma", "lab"],
)
def test_a_sensor_table_has_the_documented_bands(sensor, count, usable, first_nm, last_nm):
    bands = sensor_bands(sensor)
    assert (len(bands), sum(bands.usable)) == (count, usable)
    assert bands.centers_nm[0] == pytest.approx(first_nm, abs=0.01)
    assert bands.centers_nm[-1] == pytest.approx(last_nm, abs=0.01)


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "lab"])
def test_a_sensor_table_ascends_in_wavelength(sensor):
    assert (np.diff(sensor_bands(sensor).centers_nm) > 0).all()


@pytest.mark.parametrize("sensor", ["enmap", "prisma"])
def test_usable_bands_do_not_overlap_between_detectors(sensor):
    bands = sensor_bands(sensor)
    centers = np.array(bands.centers_nm)[np.array(bands.usable)]
    assert np.diff(centers).min() > 4.5


def test_the_enmap_bands_that_are_delivered_empty_are_not_usable():
    assert not any(sensor_bands("enmap").usable[129:135])


def test_clean_bands_leave_out_the_water_vapour_windows():
    bands = sensor_bands("prisma")
    centers = np.array(bands.centers_nm)[clean_bands(bands)]
    assert not ((centers > 1331) & (centers < 1465)).any()
    assert not ((centers > 1760) & (centers < 1965)).any()
    assert (centers.min() >= 420, centers.max() <= 2450) == (True, True)


def test_the_digest_ignores_names_and_sees_a_shifted_band():
    bands = sensor_bands("lab")
    renamed = type(bands)(
        tuple(f"x{i}" for i in range(180)), bands.centers_nm, bands.fwhm_nm, bands.usable
    )
    shifted = type(bands)(bands.names, (400.2, *bands.centers_nm[1:]), bands.fwhm_nm, bands.usable)
    assert bands_digest(renamed) == bands_digest(bands) != bands_digest(shifted)


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
        (b"wavelength,fwhm\n0.5,0.01\n", "nanometres"),
        (b"wavelength,fwhm\n", "needs equally many"),
        (b"", "has the columns none"),
        (b"\xff\xfe\x00wave", "not a CSV text file"),
    ],
    ids=["no-width", "text", "short-row", "micrometres", "no-rows", "empty", "binary"],
)
def test_a_malformed_table_is_refused_with_a_reason(tmp_path, content, message):
    path = tmp_path / "bands.csv"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        sensor_bands(str(path))


def test_an_unknown_sensor_is_refused_and_the_known_ones_are_named():
    with pytest.raises(FormatError, match="enmap, prisma, lab"):
        sensor_bands("hyperion")
