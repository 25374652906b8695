"""The verb `search`."""

import json

import typer

from flows.cli.shared.grouping import with_groups
from flows.cli.shared.groups import Filters
from flows.cli.shared.options import Catalogue, Json
from flows.cli.shared.text import plain

app = typer.Typer()


@app.command(epilog="Example: `deepsalt search --catalogue catalogue --bbox 83.9,40.8,84.1,40.95`")
@with_groups
def search(catalogue: Catalogue, filters: Filters, as_json: Json = False) -> None:
    """List the scenes that a run with the same filters would use."""
    from catalog.fields import finite
    from flows.progress import bars
    from flows.run.selection import find_items

    with bars() as progress:
        items = find_items(filters.of(catalogue), progress)
    if as_json:
        typer.echo(json.dumps([item.to_dict() for item in items]))
        return
    for item in items:
        cloud = finite(item.properties.get("eo:cloud_cover"))
        when = item.datetime.strftime("%Y-%m-%d %H:%M") if item.datetime else "undated"
        typer.echo(
            f"{when:16}  cloud {'?' if cloud is None else format(cloud, '.0f'):>3} %  "
            f"{plain(item.collection_id or '')}  {plain(item.id)}"
        )
    typer.echo(f"{len(items)} scene{'' if len(items) == 1 else 's'}", err=True)
    if items:
        # Beside the count, so that standard output has exactly one line per scene.
        typer.echo(
            "next: the same options with `plan` instead of `search`, and --out STORE", err=True
        )
