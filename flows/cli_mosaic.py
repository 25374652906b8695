"""The verb `mosaic`: build the mosaic of a store, and look after its versions and scenes."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deepsalt.errors import UsageError
from flows.cli_run import compute_of, grid_of
from flows.config import MosaicConfig
from flows.options import (
    Crs,
    Datetime,
    ExportKeep,
    ExportTo,
    Hold,
    Json,
    MaxAge,
    MaxDefective,
    MaxMissing,
    MaxSalinity,
    Resolution,
    Scheduler,
    Store,
    Workers,
    checks_of,
    export_of,
)

if TYPE_CHECKING:
    from deepsalt.versions import Version

mosaic_app = typer.Typer(help="Build the mosaic of a store; look after its versions and scenes.")


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command."""
    app.add_typer(mosaic_app, name="mosaic")


@mosaic_app.command("build", epilog="Example: `deepsalt mosaic build store --crs EPSG:32640`")
def mosaic_build(
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
    hold: Hold = False,
    export: ExportTo = None,
    export_keep: ExportKeep = None,
    as_json: Json = False,
) -> None:
    """Composite the complete scene products of a store and publish the mosaic."""
    from flows.progress import bars
    from flows.show import mosaic_lines
    from flows.stage2 import build_mosaic, carry_on

    config = MosaicConfig(
        grid=grid_of(crs, resolution),
        datetime=datetime,
        checks=checks_of(max_missing, max_defective, max_salinity, max_age),
        hold=hold,
        export=export_of(export, export_keep),
        compute=compute_of(workers, scheduler),
    )
    with bars() as progress:
        built = build_mosaic(store, config, progress)
        result = carry_on(store, built, config.export, progress)
    typer.echo(json.dumps(asdict(result)) if as_json else "\n".join(mosaic_lines(result)))
    if result.export_failed:
        raise typer.Exit(1)


@mosaic_app.command("history", epilog="Example: `deepsalt mosaic history store`")
def mosaic_history(store: Store, as_json: Json = False) -> None:
    """List the versions that are kept, newest last, and why each was made.

    `*` is the published one, `?` waits for a person, `-` was left by a roll-back. Each line has the
    number of scene products that the mosaic gained (+) and lost (-).
    """
    from deepsalt.store import Store as OpenStore
    from deepsalt.versions import find_repository, states
    from flows.show import version_facts, version_lines

    mosaic = find_repository(OpenStore.open(store).objects)
    found = states(mosaic) if mosaic else []
    if as_json:
        typer.echo(json.dumps([version_facts(version, state) for version, state in found]))
        return
    lines = [line for version, state in found for line in version_lines(version, state)]
    typer.echo("\n".join(lines or ["nothing was published yet"]))


@mosaic_app.command(
    "withdraw",
    epilog="Example: `deepsalt mosaic withdraw store enmap-l2a/DT0000001234_006/V010501 "
    "--reason 'bad geolocation'`",
)
def mosaic_withdraw(
    store: Store,
    scenes: Annotated[
        list[str], typer.Argument(metavar="SCENE...", help="Scene keys or product names.")
    ],
    reason: Annotated[str, typer.Option(help="Why; later runs and the history repeat it.")] = "",
    undo: Annotated[
        bool, typer.Option("--undo", help="Take the withdrawal of these scenes back.")
    ] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Take scenes out of the mosaic and keep them out: later runs and builds leave them out.

    A version without them is published; only the tiles under them are composed. Older provider
    versions of a scene are withdrawn with it, a newer one counts. `--undo` brings them back.
    """
    from flows.changes import readmit_scenes, withdraw_scenes
    from flows.progress import bars
    from flows.show import mosaic_lines

    if undo and reason:
        raise UsageError("--undo takes no --reason; the record of the withdrawal keeps its own")
    compute, named = compute_of(workers, scheduler), tuple(scenes)
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


@mosaic_app.command("rollback", epilog="Example: `deepsalt mosaic rollback store`")
def mosaic_rollback(
    store: Store,
    version: Annotated[
        str | None,
        typer.Argument(help="Version to publish; the one before the published without it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish an earlier version again, at once; the one that is left can be returned to.

    Later runs start from it: tiles that they touch are made of all scenes of the store again, and
    `mosaic build` makes all tiles so. `withdraw` keeps scenes out.
    """
    from flows.changes import return_to

    _show_published(return_to(store, version), as_json)


@mosaic_app.command("publish", epilog="Example: `deepsalt mosaic publish store 7Q5HYVD4C2ZG`")
def mosaic_publish(
    store: Store,
    version: Annotated[str, typer.Argument(help="Version that is held back.")],
    as_json: Json = False,
) -> None:
    """Let readers see a version that `--hold` held back.

    Refused where somebody else published meanwhile: it lacks what they added; build it again.
    """
    from flows.changes import publish_held

    _show_published(publish_held(store, version), as_json)


@mosaic_app.command("drop", epilog="Example: `deepsalt mosaic drop store 7Q5HYVD4C2ZG`")
def mosaic_drop(
    store: Store,
    version: Annotated[str, typer.Argument(help="Version that is held back.")],
    as_json: Json = False,
) -> None:
    """Give up a version that `--hold` held back; a later prune deletes it."""
    from deepsalt.store import Store as OpenStore
    from deepsalt.versions import drop, open_repository

    found = drop(open_repository(OpenStore.open(store).objects), version)
    typer.echo(json.dumps({"version": found.short}) if as_json else f"dropped      {found.short}")


def _show_published(version: "Version", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"version": version.short, "created": version.created.isoformat()}))
    else:
        typer.echo(
            f"{'published':<11}  version {version.short} of {version.created:%Y-%m-%d %H:%M} UTC"
        )


@mosaic_app.command(
    "export", epilog="Example: `deepsalt mosaic export store s3://salinity/asia.zarr`"
)
def mosaic_export(
    store: Store,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Folder or URI.")],
    unsharded: Annotated[
        bool,
        typer.Option(
            "--unsharded", help="A chunk per object, for GDAL before 3.13 and QGIS; many objects."
        ),
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Versions that stay in a bucket, this one included. All without.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the published mosaic as plain Zarr v3, for readers without deepsalt.

    Only shards that changed since the last export are written. In a folder, and in a bucket where
    TARGET ends in .zarr, they change in place: the attribute `version_id` is empty while that
    lasts. Elsewhere in a bucket each version has its prefix, and `open_mosaic` finds the last.
    """
    from deepsalt.export import export_mosaic
    from deepsalt.store import Store as OpenStore
    from deepsalt.versions import open_repository
    from flows.progress import bars
    from flows.show import export_facts, export_lines

    mosaic = open_repository(OpenStore.open(store).objects)
    with bars() as progress:
        done = export_mosaic(mosaic, target, sharded=not unsharded, keep=keep, listener=progress)
    typer.echo(json.dumps(export_facts(done)) if as_json else "\n".join(export_lines(done)))


@mosaic_app.command("repair", epilog="Example: `deepsalt mosaic repair store`")
def mosaic_repair(
    store: Store,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Make again what a disk has damaged: tiles of the published version, from their products.

    Every product is compared with its checksums and every tile read. A damaged product counts no
    more, so that the next run maps its scene. What cannot be made again is named with the reason
    (exit code 3).
    """
    from flows.changes import repair_store
    from flows.progress import bars
    from flows.show import repair_facts, repair_lines

    with bars() as progress:
        done = repair_store(store, compute=compute_of(workers, scheduler), progress=progress)
    typer.echo(json.dumps(repair_facts(done)) if as_json else "\n".join(repair_lines(done)))
    if not done.is_whole:
        raise typer.Exit(3)


@mosaic_app.command("prune", epilog="Example: `deepsalt mosaic prune store --keep 5 --yes`")
def mosaic_prune(
    store: Store,
    keep: Annotated[
        int,
        typer.Option(min=1, help="Versions to keep: the published one, and those published last."),
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove; without it only what would go is shown.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show or remove old versions, and scene products that nothing is made of for 30 days.

    Never the published version, one that is held, or what a living build writes; data younger than
    seven days are deleted by a later prune. Who still reads a version that is removed is told so.
    """
    from flows.changes import prune_store
    from flows.show import prune_facts, prune_lines

    found = prune_store(store, keep=keep, remove=yes)
    typer.echo(json.dumps(prune_facts(found)) if as_json else "\n".join(prune_lines(found)))
