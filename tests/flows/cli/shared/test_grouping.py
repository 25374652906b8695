"""Groups of options: what typer is shown of them, and what a verb gets."""

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner, Result

from flows.cli.shared.grouping import with_groups

Count = Annotated[int, typer.Option("--count")]


@dataclass(frozen=True)
class Inner:
    count: Count = 1


@dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str = "none"


def called(*arguments: str) -> Result:
    app = typer.Typer()

    @app.command()
    @with_groups
    def verb(place: Annotated[str, typer.Argument()], *, first: int = 0, outer: Outer) -> None:
        """Do."""
        typer.echo((place, first, outer))

    return CliRunner().invoke(app, arguments)


def test_a_verb_gets_its_groups_filled_with_options_and_defaults() -> None:
    result = called("here", "--count", "3")
    assert result.output.strip() == str(("here", 0, Outer(Inner(3), "none")))


def test_the_options_of_a_group_are_shown_where_the_verb_takes_it() -> None:
    shown = called("--help").output
    assert shown.index("--first") < shown.index("--count") < shown.index("--name")
