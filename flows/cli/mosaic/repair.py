"""The verb `mosaic repair`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from flows.cli.shared.groups import compute_of
from flows.cli.shared.options import Json, Scheduler, Store, Workers
from flows.cli.shared.text import place

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
    """Rebuild damaged tiles of the published version from their products.

    Compares every product with its checksums and reads every tile. A damaged product is discarded,
    so that the next run maps its scene again. Whatever cannot be rebuilt is listed with the reason
    (exit code 3).
    """
    from flows.changes import repair_store
    from flows.progress import bars

    with bars() as progress:
        done = repair_store(store, compute=compute_of(workers, scheduler), progress=progress)
    typer.echo(json.dumps(_facts(done)) if as_json else "\n".join(_lines(done, store)))
    if not done.is_whole:
        raise typer.Exit(3)


def _facts(done: "Repaired") -> dict[str, object]:
    """Return the outcome of `mosaic repair` as plain JSON values."""
    versions = done.built.versions if done.built else ()
    return {
        "tiles": done.tiles,
        "again": [f"{tile.id} of {period.id}" for period, tile in done.again],
        "products": list(done.products),
        "version": versions[-1].short if versions else None,
        "findings": [asdict(finding) for finding in done.findings],
        "whole": done.is_whole,
    }


def _lines(done: "Repaired", store: str) -> list[str]:
    """Return what `mosaic repair` prints."""
    lines = [
        f"{finding.severity:<11}  {finding.where}: {finding.message}" for finding in done.findings
    ]
    if done.built and done.built.versions:
        version = done.built.versions[-1].short
        lines.append(f"{'repaired':<11}  version {version}: {len(done.again)} tiles composed again")
    lines = lines or [f"{'sound':<11}  {done.tiles} tiles are undamaged"]
    if done.products:
        step = "the same `deepsalt run` as before maps the scenes of damaged products again"
    elif done.is_whole:
        step = f"`deepsalt check {place(store)}`"
    else:
        step = "do what each line says, then repair again"
    return [*lines, f"{'next':<11}  {step}"]
