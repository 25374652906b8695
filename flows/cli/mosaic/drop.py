"""The verb `mosaic drop`."""

import json
from typing import Annotated

import typer

from flows.cli.shared.options import Json, Store

app = typer.Typer()


@app.command(epilog="Example: `deepsalt mosaic drop store 7Q5HYVD4C2ZG`")
def drop(
    store: Store,
    version: Annotated[str, typer.Argument(help="Id of a held version, or its first characters.")],
    as_json: Json = False,
) -> None:
    """Discard a version held back by `--hold`; a later prune deletes it."""
    from deepsalt.store import Store as OpenStore
    from deepsalt.versions import drop, open_repository

    found = drop(open_repository(OpenStore.open(store).objects), version)
    typer.echo(json.dumps({"version": found.short}) if as_json else f"dropped      {found.short}")
