import csv
import os
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest

from deepsalt.simulate import specimens
from deepsalt.simulate.derive import STOP_RMS, derive_edges, derive_soils, derive_surfaces
from deepsalt.simulate.specimens import GRID_NM, mineral_reflectance
from tests.shared import shared_data


def test_the_shipped_soils_are_what_the_library_gives(tmp_path):
    derive_soils(shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz"), tmp_path)
    assert_same_table(tmp_path / "soils.csv", "soils.csv")


def test_the_shipped_components_are_what_the_library_gives(tmp_path):
    derive_edges(shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz"), tmp_path)
    derived, shipped = (
        np.loadtxt(path, delimiter=",", comments="#", skiprows=4)
        for path in (tmp_path / "edges.csv", files("deepsalt.spectral") / "edges.csv")
    )
    # A singular value decomposition differs between machines in the last digits.
    np.testing.assert_allclose(derived, shipped, atol=1e-4)


def test_the_shipped_surfaces_are_what_the_libraries_give(tmp_path):
    derive_surfaces(
        shared_data("usgs-splib07-av95", "selected_salts_minerals_cover.csv.gz"),
        shared_data("earthlib-cover", "earthlib_non_icraf.csv.gz"),
        shared_data("emit-sevier-marmit", "emit_sevier_lake_pixels.csv"),
        tmp_path,
    )
    assert_same_table(tmp_path / "surfaces.csv", "surfaces.csv")


@pytest.mark.slow
def test_the_shipped_minerals_are_what_the_library_gives(tmp_path):
    usgs = shared_data("usgs-splib07-av95", "selected_salts_minerals_cover.csv.gz")
    icraf = shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz")
    earthlib = shared_data("earthlib-cover", "earthlib_non_icraf.csv.gz")
    sevier = shared_data("emit-sevier-marmit", "emit_sevier_lake_pixels.csv")
    sources = [usgs, icraf, earthlib, sevier]
    command = [sys.executable, "-m", "deepsalt.simulate.derive", *sources, tmp_path]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=600)
    derived = _minerals((tmp_path / "minerals.csv").read_text("utf-8"))
    shipped = _minerals((files("deepsalt.simulate") / "minerals.csv").read_text("utf-8"))
    assert derived.keys() == shipped.keys()
    # Machines differ in the last digit of a sum, which ends some fits in a neighbouring minimum:
    # other absorptions, the same spectrum.
    for record, spectrum in shipped.items():
        apart = np.sqrt(np.mean((derived[record] - spectrum) ** 2))
        assert apart < 0.1 * STOP_RMS, record


def _minerals(text):
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    known = [specimens.mineral_of(row) for row in rows]
    return {(m.specimen, m.record): mineral_reflectance(m, GRID_NM) for m in known}


def assert_same_table(derived, shipped):
    expected = (files("deepsalt.simulate") / shipped).read_text("utf-8")
    assert derived.read_text().splitlines() == expected.splitlines()
