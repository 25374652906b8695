"""The pages of `docs/kubernetes` name commands, options and files that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from flows.cli.app import app
from flows.cluster_profile import read_profile
from tests.infra.pages import GUIDE, marked, words, written
from tests.infra.rendering import ROOT

PAGES = sorted(GUIDE.parent.glob("*.md"))
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def unknown(command: str) -> list[str]:
    """Return the verbs and options of a command that deepsalt does not have."""
    found: Any = get_command(app)
    options = {*_options(found)}
    wrong = []
    for word in words(command)[1:]:
        if word.startswith("-"):
            wrong += [word] if word.partition("=")[0] not in options else []
        elif isinstance(found, TyperGroup):
            if word not in found.commands:
                return [*wrong, word]
            found = found.commands[word]
            options |= {*_options(found)}
    return wrong


def _options(command: TyperGroup | TyperCommand) -> list[str]:
    return [name for each in command.params for name in (*each.opts, *each.secondary_opts)]


@pages
def test_a_page_names_verbs_and_options_that_exist(page: Path) -> None:
    ours = [each for each in written(page) if each.startswith("deepsalt ")]
    assert {each: unknown(each) for each in ours if unknown(each)} == {}


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("deepsalt map --out store", ["map"]),
        ("deepsalt mosaic improve store", ["improve"]),
        ("deepsalt run --out store --quickly=yes # soon", ["--quickly=yes"]),
        ("deepsalt --quiet status", ["--quiet"]),
        ("deepsalt run --out store | tee --append log", []),
    ],
)
def test_what_deepsalt_does_not_have_is_found(command: str, wrong: list[str]) -> None:
    assert unknown(command) == wrong


@pages
def test_a_page_names_files_that_exist(page: Path) -> None:
    named = re.findall(r"\b(?:infra|tests)/[\w./-]*\w", "\n".join(written(page)))
    assert [each for each in named if not (ROOT / each).exists()] == []


def test_the_profile_of_the_guide_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    path = tmp_path / "cluster.toml"
    path.write_text(text, encoding="utf-8")
    assert read_profile(path).groups


def test_the_first_mosaic_takes_ten_commands_and_names_what_is_yours() -> None:
    commands = marked("first-mosaic")
    assert len(commands) <= 10
    exported = {*re.findall(r"\b([A-Z_]+)=", "\n".join(marked("yours")))}
    assert {*re.findall(r"\$([A-Z_]+)", "\n".join(commands))} <= exported
