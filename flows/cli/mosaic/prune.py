"""The verb `mosaic prune`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.shared.options import Json, Store
from flows.cli.shared.text import size

if TYPE_CHECKING:
    from deepsalt.mosaic import Pruning

app = typer.Typer()


@app.command(epilog="Example: `deepsalt mosaic prune store --keep 5 --yes`")
def prune(
    store: Store,
    keep: Annotated[
        int,
        typer.Option(
            min=1, help="Number of versions to keep, newest first, the published one included."
        ),
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove. Default: only show what would be removed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show or remove old versions, and scene products unused for 30 days.

    Never removes the published version, a held one, or the data of a running build; a later prune
    deletes data younger than seven days. Readers of a removed version get an error that says so.
    """
    from flows.changes import prune_store

    found = prune_store(store, keep=keep, remove=yes)
    typer.echo(json.dumps(_facts(found)) if as_json else "\n".join(_lines(found)))


def _facts(found: "Pruning") -> dict[str, object]:
    """Return what `prune` removed, or would remove, as plain JSON values."""
    return {
        "versions": [version.short for version in found.versions.gone],
        "kept": [version.short for version in found.versions.kept],
        "products": list(found.products),
        "builds": list(found.builds),
        "freed_bytes": found.freed_bytes,
        "removed": found.freed_bytes is not None,
    }


def _lines(found: "Pruning") -> list[str]:
    """Return what `prune` removed, or would remove."""
    done = found.freed_bytes is not None
    removed = "removed" if done else "to remove"
    lines = [
        f"{removed:<11}  version {version.short} of {version.created:%Y-%m-%d %H:%M} UTC"
        for version in found.versions.gone
    ]
    lines += [f"{removed:<11}  product {name}, which no version uses" for name in found.products]
    lines += [f"{removed:<11}  build {name}, which died" for name in found.builds]
    kept = ", ".join(version.short for version in found.versions.kept)
    count = len(found.versions.kept)
    lines.append(f"{'kept':<11}  {count} version{'s' if count != 1 else ''}: {kept}")
    if found.freed_bytes is not None:
        lines.append(f"{'freed':<11}  {size(found.freed_bytes)}; the rest once it is 7 days old")
    elif len(lines) > 1:
        lines.append("nothing was removed; add --yes to remove it")
    return lines
