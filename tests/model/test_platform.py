"""How far results of one instruction set differ from those of another."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepsalt.layers import CHANCE
from deepsalt.model.platform import TOLERANCE_DS_M

_PREDICT = """
import sys
import numpy as np
from deepsalt.model.load import model_ref
from deepsalt.model.platform import platform
from deepsalt.predict.cube import predict_spectra
from deepsalt.spectral.bands import sensor_bands
from tests.model.students import soils

bands = sensor_bands("enmap")
spectra = soils(40_000, bands.centers_nm).astype(np.float32)
spectra[::7, 20:23] = np.nan
np.savez(sys.argv[1], platform=platform("cpu"), found=predict_spectra(spectra, bands, model_ref()))
"""


def predictions(folder: Path, capability: str) -> tuple[str, np.ndarray]:
    """Return what a process that may use these instructions computes on, and what it finds."""
    path = folder / f"{capability or 'own'}.npz"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    if capability:
        environment["ATEN_CPU_CAPABILITY"] = capability
    subprocess.run([sys.executable, "-c", _PREDICT, path], env=environment, check=True)
    with np.load(path) as found:
        return str(found["platform"]), found["found"]


@pytest.mark.slow
def test_results_of_instruction_sets_differ_by_less_than_the_tolerance(tmp_path: Path) -> None:
    """Those that torch can be told to use, and so its own kernels; not all of those of MKL."""
    own, wanted = predictions(tmp_path, "")
    for capability in ("default", "avx2"):
        other, found = predictions(tmp_path, capability)
        assert other != own or own.lower().endswith(capability)
        for name in ("salinity", "salinity_lower", "salinity_upper", CHANCE):
            np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(wanted[name]))
            difference = np.abs(found[name] - wanted[name]) / (1 + np.abs(wanted[name]))
            print(f"{other} and {own}: {name} {np.nanmax(difference):.2e}")
            assert np.nanmax(difference) < TOLERANCE_DS_M
