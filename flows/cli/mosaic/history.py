"""The verb `mosaic history`."""

import json
from typing import TYPE_CHECKING

import typer

from flows.cli.shared.options import Json, Store
from flows.cli.shared.text import gain

if TYPE_CHECKING:
    from deepsalt.versions import Version

app = typer.Typer()

_STATES = {"published": "*", "earlier": " ", "held": "?", "left": "-"}
_NAMED = 6
"""Number of products named per version."""


@app.command(epilog="Example: `deepsalt mosaic history store`")
def history(store: Store, as_json: Json = False) -> None:
    """List the kept versions, newest last, and why each was made.

    `*` marks the published version, `?` a held one, `-` one that a roll-back replaced. Each line
    gives the number of scene products that the mosaic gained (+) and lost (-).
    """
    from deepsalt.store import Store as OpenStore
    from deepsalt.versions import find_repository, states

    mosaic = find_repository(OpenStore.open(store).objects)
    found = states(mosaic) if mosaic else []
    if as_json:
        typer.echo(json.dumps([_facts(version, state) for version, state in found]))
        return
    lines = [line for version, state in found for line in _lines(version, state)]
    typer.echo("\n".join(lines or ["nothing has been published yet"]))


def _facts(version: "Version", state: str) -> dict[str, object]:
    """Return a version as plain JSON values."""
    return {
        "id": version.short,
        "state": state,
        "created": version.created.isoformat(),
        "why": version.why,
        "parent": version.parent,
        "added": list(version.added),
        "removed": list(version.removed),
        "added_count": version.added_count,
        "removed_count": version.removed_count,
        "tiles_composed": version.tiles,
        "pixels": version.totals.pixels,
        "estimated": version.totals.estimated,
        "by_flag": dict(version.totals.by_flag),
        "simulated": version.simulated > 0,
        "software": version.software,
        **version.facts,
    }


def _lines(version: "Version", state: str) -> list[str]:
    """Return what `history` prints on a version, with its first few changes."""
    line = (
        f"{_STATES[state]} {version.short}  {version.created:%Y-%m-%d %H:%M:%S} UTC  "
        f"{version.tiles:>5} tiles  {gain(version.added_count, version.removed_count):<9}  "
        f"{version.why}" + (f" ({state})" if state in ("held", "left") else "")
    )
    named = [*(f"+ {name}" for name in version.added), *(f"- {name}" for name in version.removed)]
    more = version.added_count + version.removed_count - min(len(named), _NAMED)
    return [
        line.rstrip(),
        *(f"    {name}" for name in named[:_NAMED]),
        *([f"    and {more} more; --json names up to 1,000"] if more else []),
    ]
