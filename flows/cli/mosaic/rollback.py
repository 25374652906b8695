"""The verb `mosaic rollback`."""

from typing import Annotated

import typer

from flows.cli.mosaic.publish import say_published
from flows.cli.shared.options import Json, Store
from flows.cli.shared.text import place

app = typer.Typer()


@app.command(epilog="Example: `deepsalt mosaic rollback store`")
def rollback(
    store: Store,
    version: Annotated[
        str | None,
        typer.Argument(help="Version to publish. Default: the previous one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish an earlier version again, at once; the replaced version stays available.

    Later runs start from it: they recompose the tiles that they touch from all scenes of the store,
    and `mosaic build` recomposes all tiles. To keep scenes out, use `withdraw`.
    """
    from flows.changes import return_to

    say_published(return_to(store, version), as_json)
    if not as_json:
        typer.echo(
            f"{'next':<11}  `deepsalt mosaic history {place(store)}` lists the versions; "
            "`deepsalt mosaic withdraw` keeps scenes out of later ones"
        )
