from importlib.resources import files

import pytest

from deepsalt.simulate.derive import derive_minerals, derive_soils
from tests.shared import shared_data


def test_the_shipped_soils_are_what_the_library_gives(tmp_path):
    derive_soils(shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz"), tmp_path)
    assert_same_table(tmp_path / "soils.csv", "soils.csv")


@pytest.mark.slow
def test_the_shipped_minerals_are_what_the_library_gives(tmp_path):
    usgs = shared_data("usgs-splib07-av95", "selected_salts_minerals_cover.csv.gz")
    derive_minerals(usgs, tmp_path)
    assert_same_table(tmp_path / "minerals.csv", "minerals.csv")


def assert_same_table(derived, shipped):
    expected = (files("deepsalt.simulate") / shipped).read_text("utf-8")
    assert derived.read_text().splitlines() == expected.splitlines()
