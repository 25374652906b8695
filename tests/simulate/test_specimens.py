import numpy as np
import pandas as pd
import pytest

from deepsalt.errors import UsageError
from deepsalt.simulate.specimens import (
    GRID_NM,
    demo_profile,
    mineral_reflectance,
    soil_basis,
    specimens,
)
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.srf import response_matrix
from tests.shared import shared_data

EXPECTED = {"calcite", "kaolinite", "montmorillonite", "illite", "hematite", "goethite", "quartz"}


def test_a_specimen_is_for_training_or_for_the_demo_and_never_for_both():
    train, demo = ({m.specimen for m in specimens(use)} for use in ("train", "demo"))
    assert train
    assert demo
    assert not train & demo


@pytest.mark.parametrize(
    ("use", "salts"),
    [
        (
            "train",
            {"halite", "gypsum", "thenardite", "mirabilite", "epsomite", "carnallite", "bassanite"},
        ),
        ("demo", {"halite", "gypsum", "thenardite", "bassanite", "carnallite"}),
    ],
)
def test_each_use_has_salts_and_their_confusers(use, salts):
    assert {m.mineral for m in specimens(use)} == salts | EXPECTED


@pytest.mark.parametrize("use", ["train", "demo"])
def test_reflectance_of_specimens_is_physical(use):
    spectra = np.array([mineral_reflectance(m, GRID_NM) for m in specimens(use)])
    assert (spectra > 0).all()
    assert (spectra < 1.0).all()


@pytest.mark.parametrize(
    ("mineral", "center_nm"),
    [("gypsum", 1946), ("gypsum", 1751), ("kaolinite", 2207), ("calcite", 2336), ("illite", 2207)],
)
def test_specimens_absorb_where_their_mineral_is_known_to(mineral, center_nm):
    for specimen in specimens("train") + specimens("demo"):
        if specimen.mineral == mineral:
            near = np.arange(center_nm - 30.0, center_nm + 31.0)
            spectrum = mineral_reflectance(specimen, near)
            assert abs(near[np.argmin(spectrum)] - center_nm) < 20


def test_the_fitted_specimens_are_close_to_the_library():
    table = pd.read_csv(
        shared_data("usgs-splib07-av95", "selected_salts_minerals_cover.csv.gz")
    ).set_index("name")
    channels = [c for c in table.columns if c[:1] == "r" and c[1:2].isdigit()]
    wavelength = np.array([float(c[1:]) for c in channels])
    fitted = [m for m in specimens("train") + specimens("demo") if m.record in table.index]
    assert len(fitted) > 25
    for mineral in fitted:
        measured = table.loc[mineral.record, channels].to_numpy(dtype=float)
        good = (measured > 0) & (wavelength < 2450)
        difference = mineral_reflectance(mineral, wavelength[good]) - measured[good]
        assert np.sqrt(np.mean(difference**2)) < 0.006


def test_a_fifth_of_the_soil_profiles_is_reserved_for_the_demo():
    reserved = [demo_profile(f"XX {i}") for i in range(2000)]
    assert 0.17 < np.mean(reserved) < 0.23
    assert demo_profile(" XX 3 ") == demo_profile("XX 3")


def test_the_soil_bases_of_the_two_uses_differ():
    assert not np.allclose(soil_basis("train").mean, soil_basis("demo").mean, atol=1e-3)


def test_the_soil_basis_reproduces_soils_of_its_profiles():
    table = pd.read_csv(shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz"))
    table = table[table.profile_id.map(demo_profile) & (table.ec_ds_m < 1)]
    channels = [f"r{center:.0f}" for center in sensor_bands("lab").centers_nm]
    measured = np.log(table[channels].to_numpy(dtype=float).clip(0.01, 1))
    basis = soil_basis("demo")
    response = response_matrix(GRID_NM, sensor_bands("lab")).T
    shapes = basis.components @ response
    scores = (measured - basis.mean @ response) @ np.linalg.pinv(shapes)
    residual = measured - basis.mean @ response - scores @ shapes
    assert np.sqrt(np.mean(residual**2)) < 0.02


def test_an_unknown_use_is_refused():
    with pytest.raises(UsageError, match="'test'"):
        specimens("test")
