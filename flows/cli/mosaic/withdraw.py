"""The verb `mosaic withdraw`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from deepsalt.errors import UsageError
from flows.cli.mosaic.build import mosaic_lines
from flows.cli.shared.groups import compute_of
from flows.cli.shared.options import Json, Scheduler, Store, Workers

app = typer.Typer()


@app.command(
    epilog="Example: `deepsalt mosaic withdraw store enmap-l2a/DT0000001234_006/V010501 "
    "--reason 'bad geolocation'`"
)
def withdraw(
    store: Store,
    scenes: Annotated[
        list[str], typer.Argument(metavar="SCENE...", help="Scene keys or product names.")
    ],
    reason: Annotated[
        str, typer.Option(help="Reason, shown in later runs and in the history.")
    ] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Readmit these scenes.")] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Take scenes out of the mosaic; later runs and builds leave them out, too.

    Publishes a version without them; only the tiles under them are recomposed. Withdraws older
    provider versions of a scene, too; a newer one still counts. `--undo` readmits them.
    """
    from flows.changes import readmit_scenes, withdraw_scenes
    from flows.progress import bars

    if undo and reason:
        raise UsageError("--undo takes no --reason; leave it out")
    compute = compute_of(workers, scheduler)
    named = tuple(scenes)
    with bars() as progress:
        if undo:
            result = readmit_scenes(store, named, compute=compute, progress=progress)
        else:
            result = withdraw_scenes(
                store, named, reason=reason, compute=compute, progress=progress
            )
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    for scene in result.scenes:
        typer.echo(f"{'readmitted' if undo else 'withdrawn':<11}  {scene}")
    if result.mosaic:
        typer.echo("\n".join(mosaic_lines(result.mosaic)))
