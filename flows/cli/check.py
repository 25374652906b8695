"""The verb `check`."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.shared.grouping import with_groups
from flows.cli.shared.groups import ContentLimits
from flows.cli.shared.options import Json, Store
from flows.cli.shared.text import place

if TYPE_CHECKING:
    from deepsalt.validate import Finding

app = typer.Typer()

_DAMAGE = {"checksums", "contents", "products", "values"}
"""Checks whose errors `mosaic repair` may fix; others are limits, or say what to do."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@app.command(epilog="Example: `deepsalt check store`")
@with_groups
def check(
    store: Store,
    *,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Skip checksums and pixels, whose check reads every byte."),
    ] = False,
    repair_index: Annotated[
        bool, typer.Option("--repair-index", help="Restore missing entries of the index.")
    ] = False,
    content: ContentLimits,
    as_json: Json = False,
) -> None:
    """Check a store: products, checksums, missing and impossible values, age, CRS, links.

    Exit code 0: no error, though there may be warnings; 1: errors; 2: no such store.
    """
    from deepsalt.check import check_store
    from deepsalt.store import Store as OpenStore
    from flows.progress import bars
    from flows.run.mosaic import limits_of

    opened = OpenStore.open(store)  # a location without a store is bad input rather than a finding
    limits = limits_of(content.checks())
    with bars() as progress:
        findings = check_store(
            opened, limits, quick=quick, repair_index=repair_index, progress=progress
        )
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        typer.echo("\n".join(_finding_lines(findings)))
        typer.echo(_closing_line(findings))
        typer.echo(_next_line(findings, store, quick=quick))
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def _finding_lines(findings: Sequence["Finding"]) -> list[str]:
    """Return a line per finding; of remarks that differ only in numbers one, with their range."""
    alike: dict[object, list[Finding]] = {}
    for finding in findings:
        key = (finding.check, _NUMBER.sub("#", finding.message))
        alike.setdefault(key if finding.severity == "info" else finding, []).append(finding)
    lines = []
    for first, *others in alike.values():
        where = f"{first.where} and {len(others)} more" if others else first.where
        message = _in_ranges([first.message, *(each.message for each in others)])
        lines.append(f"{first.severity:<8} {where}: {message}")
    return lines


def _in_ranges(messages: Sequence[str]) -> str:
    """Return messages that differ only in numbers as one, with the range of each number."""
    begin, *rest = _NUMBER.split(messages[0])
    ranges = []
    for numbers in zip(*map(_NUMBER.findall, messages), strict=True):
        least, most = min(numbers, key=float), max(numbers, key=float)
        ranges.append(least if least == most else f"{least} to {most}")
    return begin + "".join(map("".join, zip(ranges, rest, strict=True)))


def _next_line(findings: Sequence["Finding"], store: str, *, quick: bool) -> str:
    """Return what to do about the findings, or what to do next if there are none."""
    from deepsalt.mosaic.picture import QUICKLOOK

    errors = {finding.check for finding in findings if finding.severity == "error"}
    if errors and not errors & _DAMAGE:
        return "next: do what each error says, then check again"
    if errors:
        return (
            f"next: `deepsalt mosaic repair {place(store)}` rebuilds damaged tiles from their "
            f"products; the same `deepsalt run` then maps lost products again"
        )
    if quick:
        return f"next: `deepsalt check {place(store)}` also verifies checksums and pixels"
    return (
        f"next: look at {place(store, QUICKLOOK)}; `deepsalt mosaic history {place(store)}` lists "
        "what was published"
    )


def _closing_line(findings: Sequence["Finding"]) -> str:
    errors, warnings = (
        sum(finding.severity == severity for finding in findings)
        for severity in ("error", "warning")
    )
    if not errors and not warnings:
        return "clean: no errors, no warnings"
    return f"{errors} errors, {warnings} warnings" + ("" if errors else "; nothing is broken")
