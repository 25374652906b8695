"""The public face: the same names at run time as for checkers, with types."""

import ast
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import deepsalt

ROOT = Path(__file__).resolve().parents[2]
CONSUMER = Path(__file__).with_name("consumer.py")


def stub() -> ast.Module:
    return ast.parse((ROOT / "deepsalt/__init__.pyi").read_text())


def test_checkers_see_each_name_at_the_home_it_is_loaded_from() -> None:
    seen = {
        alias.asname: node.module
        for node in stub().body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == deepsalt.HOMES


def test_checkers_and_the_interpreter_export_the_same_names() -> None:
    (listed,) = (
        ast.literal_eval(node.value) for node in stub().body if isinstance(node, ast.Assign)
    )
    assert sorted(listed) == sorted(deepsalt.__all__) == dir(deepsalt)


def test_no_module_has_the_name_of_something_public() -> None:
    # Once it was imported, it would stand in for what the name means.
    modules = {module.name for module in pkgutil.iter_modules(deepsalt.__path__)}
    assert not modules & set(deepsalt.__all__)


def test_the_consumer_uses_every_public_name() -> None:
    used = set(re.findall(r"\bdeepsalt\.(\w+)", CONSUMER.read_text()))
    assert used == set(deepsalt.__all__)


@pytest.mark.slow
@pytest.mark.parametrize(
    "checker",
    [
        ("mypy", "--strict", "--follow-imports=silent"),
        ("basedpyright", "--project", "strict.json", "--pythonpath", sys.executable),
    ],
    ids=lambda command: command[0],
)
def test_a_strict_checker_accepts_the_consumer(tmp_path: Path, checker: tuple[str, ...]) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER.read_text())
    strict = '{"typeCheckingMode": "strict", "include": ["consumer.py"], "extraPaths": ["%s"]}'
    (tmp_path / "strict.json").write_text(strict % ROOT)
    files = ["consumer.py"] if checker[0] == "mypy" else []
    run = subprocess.run(
        [Path(sys.executable).with_name(checker[0]), *checker[1:], *files],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
