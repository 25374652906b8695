"""Verbs that make maps: `demo`, `plan`, `run`, `scene`, `check`."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from deepsalt.errors import UsageError
from flows.config import Access, Compute, Grid, MosaicConfig, RunConfig, SceneConfig
from flows.options import (
    AllowHost,
    Area,
    Bbox,
    ByPrefect,
    Catalogue,
    Collections,
    Crs,
    Datetime,
    Device,
    ExportKeep,
    ExportTo,
    Hold,
    Json,
    Limit,
    MaxAge,
    MaxCloud,
    MaxDefective,
    MaxMissing,
    MaxQuality,
    MaxSalinity,
    Memory,
    Model,
    Out,
    Resolution,
    RetryQuarantined,
    Scheduler,
    ScratchFolder,
    ScratchGb,
    Store,
    Threads,
    Workers,
    checks_of,
    explain,
    export_of,
    local,
    scratch_of,
    selection_of,
)


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command."""
    app.command(epilog="Example: `deepsalt demo --out demo-output`")(demo)
    app.command("plan", epilog="Example: `deepsalt plan --catalogue catalogue --out store`")(
        _of_a_run(_plan)
    )
    app.command(
        "run",
        epilog="Example: `deepsalt run --catalogue catalogue --datetime 2024-06-01/2024-08-31 "
        "--out store`",
    )(_of_a_run(_run))
    app.command(epilog="Example: `deepsalt scene ENMAP01-____L2A-DT... --out store`")(scene)
    app.command(epilog="Example: `deepsalt check store`")(check)


def _of_a_run(action: Callable[[RunConfig, bool, bool], None]) -> Callable[..., None]:
    """Return a verb with the options of a run that calls `action(config, by_prefect, as_json)`.

    `plan` and `run` take the same options, so that a plan becomes a run by changing one word.
    """

    def verb(
        catalogue: Catalogue,
        out: Out,
        collection: Collections = None,
        bbox: Bbox = None,
        area: Area = None,
        datetime: Datetime = None,
        max_cloud: MaxCloud = None,
        max_quality: MaxQuality = 1,
        limit: Limit = None,
        allow_host: AllowHost = None,
        crs: Crs = None,
        resolution: Resolution = None,
        model: Model = None,
        workers: Workers = None,
        threads: Threads = None,
        memory: Memory = None,
        scheduler: Scheduler = None,
        device: Device = "cpu",
        scratch: ScratchFolder = None,
        scratch_gb: ScratchGb = 8.0,
        max_missing: MaxMissing = 100.0,
        max_defective: MaxDefective = 50.0,
        max_salinity: MaxSalinity = None,
        max_age: MaxAge = None,
        hold: Hold = False,
        export: ExportTo = None,
        export_keep: ExportKeep = None,
        retry_quarantined: RetryQuarantined = False,
        prefect: ByPrefect = False,
        as_json: Json = False,
    ) -> None:
        fit = partial(selection_of, max_cloud=max_cloud, max_quality=max_quality, limit=limit)
        selection = fit(
            catalogue,
            collection=collection,
            datetime=datetime,
            bbox=bbox,
            area=area,
            allow_host=allow_host,
        )
        compute = compute_of(workers, scheduler, threads=threads, memory=memory, device=device)
        grid, model = grid_of(crs, resolution), model and model.absolute()
        checks = checks_of(max_missing, max_defective, max_salinity, max_age)
        place = scratch_of(scratch, scratch_gb)
        mosaic = MosaicConfig(
            grid=grid,
            datetime=datetime,
            checks=checks,
            hold=hold,
            export=export_of(export, export_keep),
            compute=compute,
        )
        config = RunConfig(
            selection=selection,
            out=out,
            scene=SceneConfig(model=model, grid=grid, compute=compute, scratch=place),
            mosaic=mosaic,
            retry_quarantined=retry_quarantined,
        )
        action(config, prefect, as_json)

    verb.__doc__ = action.__doc__
    return verb


def compute_of(
    workers: int | None,
    scheduler: str | None,
    *,
    threads: int | None = None,
    memory: str | None = None,
    device: str = "cpu",
) -> Compute:
    """Return the computing that these options describe.

    Raises
    ------
    UsageError
        Workers and a scheduler are given, or a memory that is no size.
    """
    if workers is not None and scheduler is not None:
        raise UsageError("--workers and --scheduler exclude each other; give one of them")
    try:
        return Compute.model_validate(
            {
                "workers": workers,
                "threads": threads,
                "memory": memory,
                "scheduler": scheduler,
                "device": device,
            }
        )
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def grid_of(crs: str | None, resolution_m: float | None) -> Grid:
    """Return the grid that these options describe.

    Raises
    ------
    UsageError
        A cell size that is not positive.
    """
    try:
        return Grid(crs=crs, resolution_m=resolution_m)
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def _plan(config: RunConfig, by_prefect: bool, as_json: bool) -> None:
    """Show what a run would read, write and need, before anything runs."""
    from flows.plan import make_plan
    from flows.progress import bars
    from flows.show import plan_lines

    with bars() as progress:
        found = make_plan(config, progress)
    typer.echo(json.dumps(asdict(found)) if as_json else "\n".join(plan_lines(found)))


def _run(config: RunConfig, by_prefect: bool, as_json: bool) -> None:
    """Map the salinity of the scenes found and build the mosaic.

    What is complete in the store already is not done again, so the same command resumes a run that
    was stopped, and another selection adds its scenes.
    """
    from flows.progress import bars
    from flows.show import no_estimate, run_lines
    from flows.start import start_run

    with bars() as progress:
        result = start_run(config, by_prefect=by_prefect, progress=progress)
    typer.echo(json.dumps(asdict(result)) if as_json else "\n".join(run_lines(result)))
    if as_json and (nothing := no_estimate(result.scenes)):
        typer.echo(nothing, err=True)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def scene(
    item: Annotated[str, typer.Argument(help="STAC Item file, or product folder or file.")],
    out: Out,
    model: Model = None,
    crs: Crs = None,
    resolution: Resolution = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    scratch: ScratchFolder = None,
    scratch_gb: ScratchGb = 8.0,
    allow_host: AllowHost = None,
    scale: Annotated[
        float | None, typer.Option(help="Reflectance = value x SCALE, for cubes that do not say.")
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="Value of no measurement, for cubes that do not say.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Map one scene on its own grid; `deepsalt mosaic build` puts it into the mosaic."""
    from deepsalt.access import reach_of
    from flows.progress import bars
    from flows.publication import link_scene
    from flows.selection import load_item
    from flows.show import scene_line
    from flows.stage1 import process_scene

    config = SceneConfig(
        model=model and model.absolute(),
        grid=grid_of(crs, resolution),
        compute=compute_of(workers, scheduler),
        scratch=scratch_of(scratch, scratch_gb),
        access=Access.of(reach_of(item, allow_host or ())),
    )
    found = load_item(item, scale=scale, nodata=nodata)
    with bars() as progress:
        result = process_scene(found, out, config, progress)
    link_scene(out, result.items)
    typer.echo(json.dumps(asdict(result)) if as_json else scene_line(result))


def check(
    store: Store,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out checksums and pixels, which read every byte.")
    ] = False,
    repair_index: Annotated[
        bool, typer.Option("--repair-index", help="Make missing entries of the index again.")
    ] = False,
    max_missing: MaxMissing = 100.0,
    max_defective: MaxDefective = 50.0,
    max_salinity: MaxSalinity = None,
    max_age: MaxAge = None,
    as_json: Json = False,
) -> None:
    """Check a store: products, checksums, missing and impossible values, age, CRS, links.

    Exit code 0: no error, though there may be warnings; 1: errors; 2: no such store.
    """
    from deepsalt.check import check_store
    from deepsalt.store import Store as OpenStore
    from flows.progress import bars
    from flows.show import check_line
    from flows.stage2 import limits_of

    opened = OpenStore.open(store)  # a place that is no store is bad input rather than a finding
    limits = limits_of(checks_of(max_missing, max_defective, max_salinity, max_age))
    with bars() as progress:
        findings = check_store(
            opened, limits, quick=quick, repair_index=repair_index, listener=progress
        )
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            typer.echo(f"{finding.severity:<8} {finding.where}: {finding.message}")
        typer.echo(check_line(findings))
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def demo(
    out: Annotated[
        Path,
        typer.Option("--out", callback=local, help="Folder for scenes, catalogue and store."),
    ] = Path("demo-output"),
    seed: Annotated[int, typer.Option(help="Seed of the simulated landscape and scenes.")] = 7,
    prefect: ByPrefect = False,
) -> None:
    """Simulate three EnMAP scenes and one PRISMA scene and map their salinity, offline.

    Everything downstream of the simulator is the real path. A second call goes on from what is
    complete.
    """
    from flows.demo import run_demo

    raise typer.Exit(run_demo(out.absolute(), seed=seed, by_prefect=prefect))
