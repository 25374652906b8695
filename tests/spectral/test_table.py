"""Reading tables of spectra: which column is which band, and what is refused."""

import gzip

import numpy as np
import pandas as pd
import pytest

from deepsalt.errors import FormatError
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.table import (
    match_columns,
    match_names,
    read_table,
    spectral_columns,
    table_spectra,
)
from deepsalt.types import BandTable
from tests.model.students import soils

NM = (450.0, 550.0, 650.0, 800.0)
NAMED = BandTable(("blue", "green", "red", "nir"), NM, (10.0,) * 4, (True, True, True, False))
PLAIN = BandTable(("b1", "b2", "b3", "b4"), NM, (10.0,) * 4, (True, True, True, False))


def frame(names: tuple[str, ...], rows: int = 3) -> pd.DataFrame:
    values = np.linspace(0.1, 0.4, rows * len(names)).reshape(rows, -1)
    return pd.DataFrame(values, columns=list(names))


def r_frame(rows: int = 3) -> pd.DataFrame:
    return frame(tuple(f"r{nm:.0f}" for nm in NM), rows)


def test_columns_are_matched_by_name_whatever_the_names_are():
    table = frame(("nir", "green", "blue", "red"))
    spectra = table_spectra(table, NAMED, "a table")
    expected = table[list(NAMED.names)].to_numpy(np.float32)
    np.testing.assert_array_equal(spectra.reflectance, expected)


def test_an_unusable_band_may_lack_its_named_column():
    spectra = table_spectra(frame(("blue", "green", "red")), NAMED, "a table")
    assert np.isnan(spectra.reflectance[:, 3]).all()
    assert np.isfinite(spectra.reflectance[:, :3]).all()


def test_columns_are_matched_by_centre_where_no_band_names_one():
    spectra = table_spectra(r_frame(), PLAIN, "a table")
    np.testing.assert_array_equal(spectra.reflectance, r_frame().to_numpy(np.float32))


def test_a_named_column_that_is_lacking_is_told():
    with pytest.raises(FormatError, match=r"lacks 1 of the columns.*such as red"):
        table_spectra(frame(("blue", "green", "nir")), NAMED, "a table")


def test_named_columns_win_over_columns_named_by_centre():
    table = pd.concat([frame(NAMED.names), r_frame() / 2], axis=1)
    spectra = table_spectra(table, NAMED, "a table")
    np.testing.assert_array_equal(spectra.reflectance, frame(NAMED.names).to_numpy(np.float32))
    assert spectra.ignored == ("r450", "r550", "r650", "r800")


def test_a_table_of_the_laboratory_lacking_a_band_is_matched_by_centre():
    lab = sensor_bands("lab")
    assert match_names(lab.names[:-1], lab, "a table") == {}


def test_missing_text_in_named_columns_is_missing(tmp_path):
    (tmp_path / "t.csv").write_text("id,blue,green,red\n007,0.1,NA,0.3\n008,0.2,0.3,\n")
    table = read_table(tmp_path / "t.csv", keep_text=True)
    missing = np.isnan(table_spectra(table, NAMED, "t.csv").reflectance[:, :3])
    assert missing.tolist() == [[False, True, False], [False, False, True]]


def test_micrometres_in_the_names_are_refused_with_the_cause():
    with pytest.raises(FormatError, match=r"r0.45 to r2.4, which look like micrometres.*r450"):
        match_columns({"r0.45": 0.45, "r2.4": 2.4}, PLAIN, "a table")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("header", ["id,r450,r550,r450", "\ufeffid,r450,r550,id", "\nid,a,b,a"])
def test_a_column_that_stands_twice_is_refused_as_written(tmp_path, name, header):
    data = f"{header}\n1,0.1,0.2,0.3\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(FormatError, match=r"two columns named (r450|id|a);"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("row", ["s1,0.1,0.2,", "1,s1,0.1,0.2"], ids=["comma", "row-number"])
def test_rows_with_more_fields_than_names_are_refused(tmp_path, row):
    (tmp_path / "t.csv").write_text(f"sample_id,r450,r550\n{row}\n")
    with pytest.raises(FormatError, match="more fields than its header"):
        read_table(tmp_path / "t.csv", keep_text=True)


def test_a_cut_gzip_file_is_refused(tmp_path):
    whole = gzip.compress(r_frame(2000).to_csv(index=False).encode())
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="cannot be read"):
        read_table(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    ("factor", "likely"), [(100, "percent"), (10000, "x 10000")], ids=["percent", "integers"]
)
@pytest.mark.parametrize("share", [1.0, 0.2], ids=["all-rows", "some-rows"])
def test_another_unit_is_refused_with_the_likely_one(factor, likely, share):
    table = r_frame(50)
    table.iloc[: int(50 * share)] *= factor
    with pytest.raises(FormatError, match=f"looks like (reflectance )?{likely}"):
        table_spectra(table, PLAIN, "a table")


def test_noise_in_unusable_bands_is_no_reason_to_refuse():
    spectra = table_spectra(r_frame().assign(r800=5000.0), PLAIN, "a table")
    assert np.isfinite(spectra.reflectance[:, :3]).all()


def test_a_band_without_a_value_is_not_usable():
    spectra = table_spectra(r_frame().assign(r550=np.nan), PLAIN, "a table")
    assert spectra.bands.usable == (True, False, True, False)


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_columns_that_commas_do_not_separate_are_refused_with_the_cause(tmp_path, mark, name):
    (tmp_path / "t.csv").write_text(f"id{mark}r450\n1{mark}0,1\n")
    with pytest.raises(FormatError, match=rf"separated by {name}; .*commas"):
        read_table(tmp_path / "t.csv")


MANNERS = ("{:.0f}", "wl_{:.0f}", "X{:.0f}", "meas_{:.0f}nm", "{:.0f} nm", "{:.0f}nm", "R{:.1f}")


def lab_frame(manner: str, rows: int = 3) -> pd.DataFrame:
    """Return soils on the laboratory's bands, with columns named in this manner."""
    nm = sensor_bands("lab").centers_nm
    return pd.DataFrame(soils(rows, nm), columns=[manner.format(each) for each in nm])


@pytest.mark.parametrize("manner", MANNERS)
def test_names_that_instruments_give_are_understood_and_said(manner):
    table = lab_frame(manner)
    spectra = table_spectra(table, sensor_bands("lab"), "a table")
    np.testing.assert_array_equal(spectra.reflectance, table.to_numpy(np.float32))
    (note,) = spectra.notes
    assert f"columns {table.columns[0]} ..." in note
    assert "are taken as reflectance at" in note


def test_names_of_the_documented_manner_win_over_others_and_need_no_word():
    table = pd.concat([lab_frame("r{:.0f}"), lab_frame("X{:.0f}") * 2], axis=1)
    spectra = table_spectra(table, sensor_bands("lab"), "a table")
    np.testing.assert_array_equal(spectra.reflectance, lab_frame("r{:.0f}").to_numpy(np.float32))
    assert spectra.notes == ()


@pytest.mark.parametrize(
    "names",
    [
        [f"{nm}" for nm in range(600, 4000, 10)],
        [f"X{number}" for number in range(1, 400)],
        [f"{part}_{nm}" for nm in range(400, 2500, 10) for part in ("meas", "refl")],
        [f"{year}" for year in range(2001, 2005)],
    ],
    ids=["wavenumbers", "running numbers", "two kinds", "years"],
)
def test_names_that_may_mean_something_else_are_not_taken_for_wavelengths(names):
    assert spectral_columns(names) == {}


@pytest.mark.parametrize(
    ("manner", "written"),
    [
        ("r{:.0f}", "r15oo"),
        ("r{:.0f}", "rl500"),
        ("r{:.0f}", "R1500"),
        ("r{:.0f}", "r_1500"),
        ("r{:.0f}", "1500"),
        ("r{:.0f}", "r1500,5"),
        ("{:.0f}", "15oo"),
        ("{:.0f} nm", "1500 mn"),
        ("wl_{:.0f}", "wl1500"),
    ],
)
def test_a_misspelt_column_is_said(manner, written):
    first, meant = manner.format(sensor_bands("lab").centers_nm[0]), manner.format(1500)
    table = lab_frame(manner).rename(columns={meant: written})
    notes = table_spectra(table, sensor_bands("lab"), "a table").notes
    assert f"1 column looks like a band but is not named like {first}: {written}; not used" in notes


@pytest.mark.parametrize(
    "name", ["id", "ec", "site12", "depth_10", "lon", "r2", "sample_1500", "L1"]
)
def test_other_columns_do_not_look_like_bands(name):
    table = lab_frame("r{:.0f}").assign(**{name: 1.0})
    assert not [
        each
        for each in table_spectra(table, sensor_bands("lab"), "a table").notes
        if "looks like a band" in each
    ]


def absorbance_frame() -> pd.DataFrame:
    """Return the absorbance of soils that grow brighter from 0.1 to 0.5, as soils do."""
    table = lab_frame("r{:.0f}")
    table.loc[:, :] = -np.log10(np.linspace(0.1, 0.5, len(table.columns)))
    return table


def test_absorbance_that_may_be_reflectance_is_said():
    table = absorbance_frame()
    (note,) = table_spectra(table, sensor_bands("lab"), "a table").notes
    assert "like absorbance" in note
    assert "10 ** -absorbance" in note


def test_absorbance_beyond_reflectance_is_refused_by_name():
    table = absorbance_frame().assign(r400=2.6)
    with pytest.raises(FormatError, match=r"looks like absorbance log10\(1/R\)"):
        table_spectra(table, sensor_bands("lab"), "a table")


def test_values_mostly_above_one_are_said():
    table = 1.1 + lab_frame("r{:.0f}") * 0
    (note,) = table_spectra(table, sensor_bands("lab"), "a table").notes
    assert "more than half of the values are above 1" in note
