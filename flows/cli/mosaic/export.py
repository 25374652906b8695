"""The verb `mosaic export`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.shared.options import Json, Store
from flows.cli.shared.text import size

if TYPE_CHECKING:
    from deepsalt.export import Exported

app = typer.Typer()


@app.command(epilog="Example: `deepsalt mosaic export store s3://salinity/asia.zarr`")
def export(
    store: Store,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Folder or URI to write to.")],
    unsharded: Annotated[
        bool,
        typer.Option(
            "--unsharded", help="Write one object per chunk, for QGIS and GDAL before 3.13."
        ),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of exported versions to keep in a bucket. Default: all.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the published mosaic as plain Zarr v3, for readers without deepsalt.

    Writes only shards that changed since the last export. In a folder, and in a bucket if TARGET
    ends in .zarr, shards are overwritten in place; meanwhile the attribute `version_id` is empty.
    Otherwise each version in a bucket has its own prefix, and `open_mosaic` finds the latest.
    """
    from deepsalt.export import export_mosaic
    from deepsalt.store import Store as OpenStore
    from deepsalt.versions import open_repository
    from flows.progress import bars

    mosaic = open_repository(OpenStore.open(store).objects)
    with bars() as progress:
        done = export_mosaic(mosaic, target, sharded=not unsharded, keep=keep, progress=progress)
    typer.echo(json.dumps(_facts(done)) if as_json else "\n".join(_lines(done)))


def _facts(done: "Exported") -> dict[str, object]:
    """Return the outcome of an export as plain JSON values."""
    return {**asdict(done), "target": str(done.target)}


def _lines(done: "Exported") -> list[str]:
    """Return the outcome of an export, and how to open it."""
    what = "all of it" if done.is_full else f"{done.shards} shards changed"
    why = ", because data lie outside the earlier extent" if done.grown else ""
    older = f", {done.removed} older versions removed" if done.removed else ""
    return [
        f"{'exported':<11}  version {done.version} to {done.target}: {what}{why}, "
        f"{size(done.bytes)} written{older}",
        f"{'next':<11}  xarray.open_zarr({done.group!r})",
    ]
