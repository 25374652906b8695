"""The verb `mosaic publish`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.shared.options import Json, Store

if TYPE_CHECKING:
    from deepsalt.versions import Version

app = typer.Typer()


@app.command(epilog="Example: `deepsalt mosaic publish store 7Q5HYVD4C2ZG`")
def publish(
    store: Store,
    version: Annotated[str, typer.Argument(help="Id of a held version, or its first characters.")],
    as_json: Json = False,
) -> None:
    """Publish a version held back by `--hold`.

    Refused if another version was published meanwhile, since this one lacks its changes; build
    again.
    """
    from flows.changes import publish_held

    say_published(publish_held(store, version), as_json)


def say_published(version: "Version", as_json: bool) -> None:
    """Return which version readers see now."""
    if as_json:
        typer.echo(json.dumps({"version": version.short, "created": version.created.isoformat()}))
    else:
        typer.echo(
            f"{'published':<11}  version {version.short} of {version.created:%Y-%m-%d %H:%M} UTC"
        )
