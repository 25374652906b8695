"""The verb `mosaic`: build the mosaic of a store, and look after its versions and scenes."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from deepsalt.errors import UsageError
from flows.cli_run import Store, compute_of, grid_of
from flows.config import MosaicConfig
from flows.options import (
    Crs,
    Datetime,
    Json,
    MaxAge,
    MaxDefective,
    MaxMissing,
    MaxSalinity,
    PushKeep,
    PushTo,
    Resolution,
    Scheduler,
    Workers,
    checks_of,
    push_of,
)

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
    push: PushTo = None,
    push_keep: PushKeep = None,
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
        push=push_of(push, push_keep),
        compute=compute_of(workers, scheduler),
    )
    out = str(store.absolute())
    with bars() as progress:
        result = carry_on(out, build_mosaic(out, config, progress), config.push, progress)
    typer.echo(json.dumps(asdict(result)) if as_json else "\n".join(mosaic_lines(result)))
    if result.push_failed:
        raise typer.Exit(1)


@mosaic_app.command("history", epilog="Example: `deepsalt mosaic history store`")
def mosaic_history(store: Store, as_json: Json = False) -> None:
    """List what was published when, and why, newest last; `*` is the published version.

    Each line has the products that the mosaic gained (+) and lost (-).
    """
    from deepsalt.store import Store as OpenStore
    from deepsalt.store import complete_versions, history
    from flows.show import publication_facts, publication_lines

    opened = OpenStore.open(store)
    versions = {version.id: version for version in complete_versions(opened)}
    shown = history(opened)
    facts, lines = [], []
    for publication in shown:
        version = versions.get(publication.version)
        current = publication is shown[-1]
        facts.append(publication_facts(publication, version, current=current))
        lines += publication_lines(publication, version, current=current)
    if not as_json and not lines:
        lines = ["nothing was published yet"]
    typer.echo(json.dumps(facts) if as_json else "\n".join(lines))


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
    out = str(store.absolute())
    with bars() as progress:
        if undo:
            result = readmit_scenes(out, named, compute=compute, progress=progress)
        else:
            result = withdraw_scenes(out, named, reason=reason, compute=compute, progress=progress)
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
    """Publish an earlier version again, at once: only the link moves.

    Later runs start from it and add their scenes, so a scene that only the newer version had comes
    back when a run selects it; `withdraw` keeps scenes out. `mosaic build` takes all scenes of the
    store again.
    """
    from flows.changes import roll_back

    published = roll_back(str(store.absolute()), version)
    count = len(published.products)
    if as_json:
        typer.echo(json.dumps({"version": published.id, "products": count}))
    else:
        typer.echo(f"{'mosaic':<11}  version {published.id}: {count} scenes")


@mosaic_app.command(
    "push", epilog="Example: `deepsalt mosaic push store s3://salinity/asia`, or icechunk+s3://..."
)
def mosaic_push(
    store: Store,
    uri: Annotated[
        str,
        typer.Argument(
            metavar="URI",
            help="Where: file:///..., s3://..., icechunk+file:///... or icechunk+s3://...",
        ),
    ],
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Versions that stay there, this one included; readers of older ones lose them. "
            "All without.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Carry the published mosaic to a folder, an object store or an Icechunk repository.

    Only what changed is sent. Readers there see the version before until all has arrived; open it
    with `deepsalt.open_mosaic(URI)`. Credentials come from the environment (AWS_ACCESS_KEY_ID ...,
    AWS_ENDPOINT_URL for another provider), never from the URI.
    """
    from deepsalt.push import push
    from deepsalt.store import Store as OpenStore
    from flows.progress import bars

    with bars() as progress:
        done = push(OpenStore.open(store), uri, progress, keep=keep)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        typer.echo(
            f"{'pushed':<11}  version {done.version}: {done.objects} objects, {done.sent} sent "
            f"({done.sent_bytes / 1e6:.1f} MB)"
            + (f", {done.removed} old versions removed" if done.removed else "")
        )


@mosaic_app.command("repair", epilog="Example: `deepsalt mosaic repair store`")
def mosaic_repair(
    store: Store,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Make tiles again whose files are damaged or lost, of all versions that are kept.

    Every shard is compared with its checksum. What takes its place is composed from the scene
    products, and is what the version always held. Tiles that cannot be made again are named with
    the reason (exit code 3).
    """
    from flows.changes import repair_store
    from flows.progress import bars
    from flows.show import repair_lines

    with bars() as progress:
        done = repair_store(
            str(store.absolute()), compute=compute_of(workers, scheduler), progress=progress
        )
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        typer.echo("\n".join(repair_lines(done)))
    if done.exit_code:
        raise typer.Exit(done.exit_code)


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
    """Show or remove old versions and what unfinished builds left.

    Never the published version or a shard it shares, and nothing while a build is going on. Who
    still reads a version that is removed will miss its data.
    """
    from flows.changes import prune_store
    from flows.show import prune_lines

    found = prune_store(str(store.absolute()), keep=keep, remove=yes)
    if as_json:
        typer.echo(json.dumps({**asdict(found), "removed": yes}))
    else:
        typer.echo("\n".join(prune_lines(found, done=yes)))
