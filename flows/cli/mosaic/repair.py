"""The verb `mosaic repair`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from flows.cli.shared.options import Json, Scheduler, Store, Workers, compute_of

if TYPE_CHECKING:
    from deepsalt.mosaic.repair import Repaired

app = typer.Typer()


@app.command(epilog="Example: `deepsalt mosaic repair store`")
def repair(
    store: Store,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Make again what a disk has damaged: tiles of the published version, from their products.

    Every product is compared with its checksums and every tile read. A damaged product counts no
    more, so that the next run maps its scene. What cannot be made again is named with the reason
    (exit code 3).
    """
    from flows.changes import repair_store
    from flows.progress import bars

    with bars() as progress:
        done = repair_store(store, compute=compute_of(workers, scheduler), progress=progress)
    typer.echo(json.dumps(_facts(done)) if as_json else "\n".join(_lines(done)))
    if not done.is_whole:
        raise typer.Exit(3)


def _facts(done: "Repaired") -> dict[str, object]:
    """Return what `mosaic repair` did as plain JSON values."""
    versions = done.built.versions if done.built else ()
    return {
        "tiles": done.tiles,
        "again": [f"{tile.id} of {period.id}" for period, tile in done.again],
        "products": list(done.products),
        "version": versions[-1].short if versions else None,
        "findings": [asdict(finding) for finding in done.findings],
        "whole": done.is_whole,
    }


def _lines(done: "Repaired") -> list[str]:
    """Return what `mosaic repair` prints."""
    lines = [
        f"{finding.severity:<11}  {finding.where}: {finding.message}" for finding in done.findings
    ]
    if done.built and done.built.versions:
        version = done.built.versions[-1].short
        lines.append(f"{'repaired':<11}  version {version}: {len(done.again)} tiles composed again")
    return lines or [f"{'sound':<11}  {done.tiles} tiles are as they were written"]
