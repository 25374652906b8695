"""The verb `mosaic build`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from flows.cli.shared.grouping import with_groups
from flows.cli.shared.groups import GridOptions, VersionOptions, compute_of
from flows.cli.shared.options import Datetime, Json, Scheduler, Store, Workers
from flows.cli.shared.text import gain, place, size

if TYPE_CHECKING:
    from flows.run.mosaic import MosaicResult

app = typer.Typer()


@app.command(epilog="Example: `deepsalt mosaic build store --crs EPSG:32640`")
@with_groups
def build(
    store: Store,
    *,
    grid: GridOptions,
    datetime: Datetime = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    version: VersionOptions,
    as_json: Json = False,
) -> None:
    """Composite the complete scene products of a store and publish the mosaic."""
    from deepsalt.store import Store as OpenStore
    from flows.progress import bars
    from flows.run.mosaic import build_at, export_after_build

    config = version.config(grid.grid(), datetime, compute_of(workers, scheduler))
    with bars() as progress:
        built = build_at(store, config, progress)
        result = export_after_build(OpenStore.open(store), built, config.export, progress)
    typer.echo(json.dumps(asdict(result)) if as_json else "\n".join(mosaic_lines(result)))
    if not as_json and not result.held and not result.export_failed:
        typer.echo(f"{'next':<11}  `deepsalt check {place(store)}`")
    if result.export_failed:
        raise typer.Exit(1)


def mosaic_lines(mosaic: "MosaicResult") -> list[str]:
    """Return one line on a mosaic, and one on its export."""
    changed = f"{gain(mosaic.added, mosaic.removed)} scenes, " if mosaic.composed else ""
    lines = [
        f"mosaic       version {mosaic.version}: {changed}{mosaic.tiles} tiles, "
        f"{mosaic.composed} composed"
    ]
    if mosaic.why_held:
        lines.append(f"unlike       the versions before: {mosaic.why_held}")
    if mosaic.held:
        lines.append(
            f"held         readers do not see it; `deepsalt mosaic publish STORE "
            f"{mosaic.version}` publishes it, `deepsalt mosaic drop` discards it"
        )
    if mosaic.export_failed:
        lines.append(
            f"not exported {mosaic.export_failed}; the mosaic is published in the store, and the "
            "next run or `deepsalt mosaic export` tries again"
        )
    elif mosaic.exported_to:
        sent = f"{size(mosaic.exported_bytes)} written" if mosaic.exported_bytes else "no change"
        lines.append(f"exported     to {mosaic.exported_to}: {sent}")
    elif mosaic.not_exported:
        lines.append(
            f"no export    {mosaic.not_exported}: `deepsalt mosaic export STORE TARGET`, or "
            "--export URI on each run; `deepsalt.open_mosaic` works without an export"
        )
    return lines
