"""The verb `mosaic rollback`."""

from typing import Annotated

import typer

from flows.cli.mosaic.publish import say_published
from flows.cli.shared.options import Json, Store

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
    """Publish an earlier version again, at once; the one that is left can be returned to.

    Later runs start from it: tiles that they touch are made of all scenes of the store again, and
    `mosaic build` makes all tiles so. `withdraw` keeps scenes out.
    """
    from flows.changes import return_to

    say_published(return_to(store, version), as_json)
