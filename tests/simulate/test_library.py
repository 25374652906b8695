import numpy as np
import pandas as pd
import pytest

from deepsalt.errors import FormatError
from deepsalt.simulate.library import mixable, read_specimens, shipped_specimens
from deepsalt.simulate.specimens import GRID_NM, specimens
from tests.shared import shared_data

NM = np.arange(350.0, 2551.0, 10.0)


def table(rows, factor=1.0, nm=NM, **columns):
    """A table of flat spectra: rows are (name, group, reflectance)."""
    levels = np.array([level for _, _, level in rows])[:, None] * np.ones(len(nm))
    spectra = pd.DataFrame(levels * factor, columns=[f"r{x:g}" for x in nm])
    names = pd.DataFrame({"name": [r[0] for r in rows], "group": [r[1] for r in rows], **columns})
    return pd.concat([names, spectra], axis=1)


SALTS = [("Halite HS1.1B ASD", "halite", 0.8), ("Halite HS1.2B ASD", "halite", 0.7)]


def write(folder, frame, name="salts.csv.gz"):
    frame.to_csv(folder / name, index=False)
    return folder


@pytest.fixture(scope="module")
def usgs():
    return read_specimens(shared_data("usgs-splib07-av95"))


def test_the_real_library_gives_salts_and_their_confusers(usgs):
    found = {s.mineral for s in mixable(usgs, "train", "usgs")}
    assert found >= {"halite", "thenardite", "mirabilite", "trona", "gypsum", "calcite", "illite"}


def test_grain_sizes_and_instruments_of_the_real_library_are_one_specimen(usgs):
    assert {s.specimen for s in usgs if s.mineral == "halite"} == {"HS433"}
    assert {s.specimen for s in usgs if s.mineral == "thenardite"} == {"HS450", "JT1-3989"}


def test_mixtures_and_coatings_of_the_real_library_are_left_out(usgs):
    names = " ".join(s.record for s in mixable(usgs, "train", "usgs"))
    assert "+" not in names
    assert "Coatd" not in names
    assert "Thin_Film" not in names


def test_the_real_library_keeps_the_demos_specimens_out_of_training(usgs):
    train, demo = ({s.specimen for s in mixable(usgs, use, "usgs")} for use in ("train", "demo"))
    assert not train & {m.specimen for m in specimens("demo")}
    assert "HS450" in demo


def test_the_real_gypsum_absorbs_where_gypsum_does(usgs):
    near = (GRID_NM > 1900) & (GRID_NM < 2000)
    for s in usgs:
        if s.mineral == "gypsum":
            assert abs(GRID_NM[near][np.argmin(s.reflectance[near])] - 1946) <= 10


def test_a_general_table_gives_its_spectra_on_the_grid(tmp_path):
    found = read_specimens(write(tmp_path, table(SALTS)))
    assert [(s.mineral, s.specimen) for s in found] == [("halite", "HS1")] * 2
    assert found[0].reflectance == pytest.approx(np.full(GRID_NM.size, 0.8))


def test_a_column_of_specimens_decides_their_identity(tmp_path):
    found = read_specimens(write(tmp_path, table(SALTS, specimen=["a", "b"])))
    assert [s.specimen for s in found] == ["a", "b"]


def test_a_gap_of_the_source_stays_a_gap(tmp_path):
    frame = table(SALTS)
    frame.loc[0, [f"r{x:g}" for x in NM if 1340 < x < 1480]] = np.nan
    holed, whole = read_specimens(write(tmp_path, frame))
    inside = (GRID_NM > 1340) & (GRID_NM < 1480)
    assert not holed.covered[inside].any()
    assert holed.covered[~inside].all()
    assert whole.covered.all()


def test_a_specimen_that_lacks_what_is_needed_is_not_mixed(tmp_path):
    frame = table([*SALTS, ("Trona T1", "trona", 0.6)])
    frame.loc[2, [f"r{x:g}" for x in NM if x < 900]] = np.nan
    found = read_specimens(write(tmp_path, frame))
    assert {s.mineral for s in mixable(found, "train", "here")} == {"halite"}


def test_a_mineral_of_unknown_density_is_not_mixed(tmp_path):
    found = read_specimens(write(tmp_path, table([*SALTS, ("U U1", "unobtainium", 0.5)])))
    assert {s.mineral for s in mixable(found, "train", "here")} == {"halite"}


def test_tables_of_other_things_are_passed_over(tmp_path):
    write(tmp_path, pd.DataFrame({"band": [1], "center_nm": [400.0]}), "bands.csv")
    assert len(read_specimens(write(tmp_path, table(SALTS)))) == 2


@pytest.mark.parametrize(
    ("factor", "cause"), [(100.0, "percent"), (10000.0, "10000")], ids=["percent", "x10000"]
)
def test_numbers_that_are_no_reflectance_are_refused_with_the_cause(tmp_path, factor, cause):
    with pytest.raises(FormatError, match=cause):
        read_specimens(write(tmp_path, table(SALTS, factor)))


def test_wavelengths_in_micrometres_are_refused(tmp_path):
    with pytest.raises(FormatError, match="nanometres"):
        read_specimens(write(tmp_path, table(SALTS, nm=NM / 1000)))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"name": ["Halite HS1"], "group": ["halite"]}),
        table(SALTS).drop(columns="group"),
    ],
    ids=["no spectra", "no group"],
)
def test_a_folder_without_specimens_is_refused(tmp_path, frame):
    with pytest.raises(FormatError, match="no table of specimens"):
        read_specimens(write(tmp_path, frame))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError, match="is not a folder"):
        read_specimens(tmp_path / "none")


def test_specimens_without_a_soluble_salt_are_refused(tmp_path):
    found = read_specimens(write(tmp_path, table([("Gypsum G1", "gypsum", 0.8)])))
    with pytest.raises(FormatError, match="no soluble salt"):
        mixable(found, "train", "here")


@pytest.mark.parametrize("use", ["train", "demo"])
def test_every_shipped_specimen_is_mixed(use):
    assert len(mixable(shipped_specimens(use), use, "shipped")) == len(specimens(use))
