"""A light installation: what works without the extras, and what says which extra it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from deepsalt.extras import MODULES
from flows.cli.app import app
from flows.cli.shared.extras import OPTIONS, VERBS
from tests.flows.conftest import CENTER

ROOT = Path(__file__).resolve().parents[2]
HEAVY = sorted({module for modules in MODULES.values() for module in modules})
WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))\n"
COMMAND = WITHOUT + "from deepsalt.__main__ import main; main()"


SAMPLED = """
import sys
import numpy as np, xarray as xr
import deepsalt
from deepsalt.plot import quicklook

_, store, west, south, east, north = sys.argv
mosaic = deepsalt.open_mosaic(store, bbox=(float(west), float(south), float(east), float(north)))
seen = mosaic.observations.isel(period=0).values > 0
rows, columns = (places[:9] for places in np.nonzero(seen))
y = xr.DataArray(mosaic.y.values[rows], dims="point")
x = xr.DataArray(mosaic.x.values[columns], dims="point")
points = mosaic.salinity.isel(period=0).sel(x=x, y=y, method="nearest")
assert points.shape == (9,) and np.isfinite(points.values).all()
mosaic.salinity.isel(period=0).plot()
open("quicklook.png", "wb").write(quicklook(mosaic))
"""
OPENED = """
import sys
import deepsalt

_, store, product = sys.argv
for ds in (deepsalt.open_mosaic(store + "/mosaic.zarr"), deepsalt.open_product(store, product)):
    assert ds.salinity[..., :9, :9].values.size == 81
"""
NAMED = """
try:
    from deepsalt import map_scene
except ImportError as error:
    print(error)
"""


def box() -> tuple[float, float, float, float]:
    """Return west, south, east, north of what the scenes show, degrees."""
    east, north = CENTER
    return east - 0.02, north - 0.02, east + 0.02, north + 0.02


def light(code: str, *args: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python as if no extra were installed."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_a_mosaic_is_opened_sampled_and_plotted_without_dask(mapped: Path, tmp_path: Path) -> None:
    run = light(WITHOUT + SAMPLED, mapped, *box(), cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "quicklook.png").stat().st_size > 10_000


def test_an_export_and_a_product_are_opened_without_dask(mapped: Path, tmp_path: Path) -> None:
    product = next((mapped / "scenes").glob("*.zarr")).stem
    run = light(WITHOUT + OPENED, mapped, product, cwd=tmp_path)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("check", "STORE"),
        ("search", "--catalogue", "CATALOGUE"),
        ("mosaic", "history", "STORE"),
        ("mosaic", "build", "STORE"),
        ("mosaic", "export", "STORE", "elsewhere.zarr"),
        ("mosaic", "repair", "STORE"),
        ("mosaic", "prune", "STORE", "--keep", "1"),
    ],
    ids=lambda args: "-".join(args[:2]),
)
def test_a_verb_of_a_light_installation_works_without_the_extras(
    args: tuple[str, ...], store: Path, catalogue: Path, tmp_path: Path
) -> None:
    places = {"STORE": store, "CATALOGUE": catalogue}
    run = light(COMMAND, *(places.get(arg, arg) for arg in args), cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("args", "what", "extra"),
    [
        *(((verb,), verb, extra) for verb, extra in VERBS.items()),
        (("run", "--prefect"), "run --prefect", "prefect"),
        (("mosaic", "build", "nowhere", "--workers=2"), "build --workers", "run"),
    ],
)
def test_a_verb_without_its_extra_says_which_in_one_line_before_anything_else(
    args: tuple[str, ...], what: str, extra: str, tmp_path: Path
) -> None:
    # Neither a nonsensical option nor one that is missing is looked at.
    run = light(COMMAND, *args, "--nonsense", cwd=tmp_path)
    (line,) = run.stderr.splitlines()
    assert run.returncode == 2
    assert f"{what} needs packages that are not installed: pip install 'deepsalt[{extra}]'" in line
    assert not run.stdout


def test_the_help_of_a_verb_is_there_without_its_extra(tmp_path: Path) -> None:
    run = light(COMMAND, "run", "--help", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "--catalogue" in run.stdout


def test_the_help_of_the_command_says_what_needs_an_extra(tmp_path: Path) -> None:
    run = light(COMMAND, "--help", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "pip install 'deepsalt[train]' for train, validate, benchmark" in " ".join(
        run.stdout.split()
    )


def test_a_name_without_its_extra_says_which_when_it_is_imported(tmp_path: Path) -> None:
    run = light(WITHOUT + NAMED, cwd=tmp_path)
    assert "deepsalt.map_scene needs packages that are not installed" in run.stdout, run.stderr


def test_every_verb_and_option_with_an_extra_is_one_of_the_command() -> None:
    from typer.main import get_command

    command = get_command(app)
    verbs = command.commands  # type: ignore[attr-defined]
    options = {option for verb in verbs.values() for each in verb.params for option in each.opts}
    assert set(VERBS) <= set(verbs)
    assert set(OPTIONS) <= options
