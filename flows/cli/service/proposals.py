"""The verb `proposals`."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.cli.service.serve import ConfigFile
from flows.cli.shared.options import Json
from flows.cli.shared.text import place, plain

app = typer.Typer()


@app.command(epilog="Example: `deepsalt proposals --keep enmap-l2a/DT0000000001_001`")
def proposals(
    config: ConfigFile = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="COLLECTION/ACQUISITION", help="Keep this acquisition, do not propose it again."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the acquisitions that their catalogue lost, which a person withdraws or keeps."""
    from deepsalt.extras import require

    require("prefect", "deepsalt proposals")
    from deepsalt.errors import UsageError
    from flows.run.stores import find_store
    from flows.service.config import read_config
    from flows.service.environment import database_of
    from flows.watch.database import Database
    from flows.watch.ledger import Ledger
    from flows.watch.reconcile import undecided

    settings = read_config(config)
    store = find_store(settings.store)
    if store is None:
        raise UsageError(
            f"there is no store at {settings.store} yet, so nothing is proposed; `deepsalt serve` "
            "makes it with the first scene"
        )
    with Database(database_of(settings)) as database:
        ledger = Ledger(database)
        waiting = undecided(store, ledger)
        if keep is not None:
            meant = [each for each in waiting if f"{each.collection}/{each.acquisition}" == keep]
            if not meant:
                raise UsageError(
                    f"{keep} is not proposed for withdrawal; `deepsalt proposals` lists what is"
                )
            ledger.keep(meant[0], datetime.now(UTC))
            waiting.remove(meant[0])
            if not as_json:
                typer.echo(f"kept       {plain(keep)}")
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in waiting], default=str))
        return
    for each in waiting:
        name = plain(f"{each.collection}/{each.acquisition}")
        typer.echo(f"proposed   {name}: {plain(each.reason)}, {each.made:%Y-%m-%d}")
    if not waiting:
        typer.echo("nothing is proposed for withdrawal")
        return
    typer.echo(
        f"next       `deepsalt mosaic withdraw {place(settings.store)} ...` takes one out, "
        "`deepsalt proposals --keep ...` keeps it"
    )
