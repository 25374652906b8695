"""The examples in the docstrings of public names run as they stand."""

import doctest
import shutil
from pathlib import Path

import pytest

import deepsalt
from tests.flows.conftest import Scenes
from tests.predict.test_table import spectra

NAMES = sorted(set(deepsalt.__all__) - {"__version__"})


@pytest.fixture(scope="module")
def place(mapped: Path, scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: a store, one of its scenes, and a table."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(mapped, folder / "store", symlinks=True)
    (folder / "enmap-scene").symlink_to(scenes.west)
    spectra().to_csv(folder / "spectra.csv", index=False)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_runs(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    found = doctest.DocTestFinder(recurse=False).find(getattr(deepsalt, name), name, globs={})
    assert [test for test in found if test.examples], f"deepsalt.{name} has no example"
    told: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for test in found:
        runner.run(test, out=told.append)
    assert not runner.failures, "".join(told)
