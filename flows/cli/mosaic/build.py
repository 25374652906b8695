"""The verb `mosaic build`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from flows.cli.shared.options import (
    Crs,
    Datetime,
    ExportKeep,
    ExportTo,
    Hold,
    Json,
    MaxAge,
    MaxDefective,
    MaxLost,
    MaxMissing,
    MaxSalinity,
    MaxShift,
    Resolution,
    Scheduler,
    Store,
    Workers,
    checks_of,
    compute_of,
    export_of,
    grid_option,
)
from flows.cli.shared.text import gain, place, size
from flows.config import MosaicConfig

if TYPE_CHECKING:
    from flows.run.mosaic import MosaicResult

app = typer.Typer()


@app.command(epilog="Example: `deepsalt mosaic build store --crs EPSG:32640`")
def build(
    store: Store,
    crs: Crs = None,
    resolution: Resolution = None,
    datetime: Datetime = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    max_missing: MaxMissing = 100.0,
    max_defective: MaxDefective = 50.0,
    max_salinity: MaxSalinity = None,
    max_age: MaxAge = None,
    max_lost: MaxLost = 20.0,
    max_shift: MaxShift = 2.0,
    hold: Hold = False,
    export: ExportTo = None,
    export_keep: ExportKeep = None,
    as_json: Json = False,
) -> None:
    """Composite the complete scene products of a store and publish the mosaic."""
    from deepsalt.store import Store as OpenStore
    from flows.progress import bars
    from flows.run.mosaic import build_at, export_after_build

    config = MosaicConfig(
        grid=grid_option(crs, resolution),
        datetime=datetime,
        checks=checks_of(
            max_missing,
            max_defective,
            max_salinity,
            max_age,
            max_lost=max_lost,
            max_shift=max_shift,
        ),
        hold=hold,
        export=export_of(export, export_keep),
        compute=compute_of(workers, scheduler),
    )
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
