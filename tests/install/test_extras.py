"""The extras of the installation: what they bring, and what they are needed for."""

import re
import tomllib
from pathlib import Path

import pytest

from deepsalt.errors import ExtraMissingError
from deepsalt.extras import MODULES, require

ROOT = Path(__file__).resolve().parents[2]
IMPORTED_AS = {"scikit-learn": "sklearn"}


def modules_of(extra: str) -> set[str]:
    """Return what an extra of pyproject.toml brings, those it includes among them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    for requirement in project["optional-dependencies"][extra]:
        name = re.match(r"[\w-]+", requirement)
        assert name
        if included := re.match(r"deepsalt\[([\w,]+)\]", requirement):
            found |= {module for each in included[1].split(",") for module in modules_of(each)}
        else:
            found.add(IMPORTED_AS.get(name[0], name[0].replace("-", "_")))
    return found


@pytest.mark.parametrize("extra", MODULES)
def test_an_extra_is_looked_for_as_it_is_installed(extra: str) -> None:
    assert set(MODULES[extra]) == modules_of(extra)


def test_all_brings_every_extra_but_the_tools_of_developers() -> None:
    assert modules_of("all") == modules_of("train") | modules_of("service")


def test_a_cluster_from_code_brings_no_prefect() -> None:
    assert not {module for module in modules_of("kubernetes") if module.startswith("prefect")}


def test_what_needs_a_missing_extra_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "run", ("json", "a_module_that_is_not_there"))
    with pytest.raises(ExtraMissingError, match=r"'deepsalt\[run\]' adds a_module_that_is_not"):
        require("run", "deepsalt run")
