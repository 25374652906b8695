"""The verb `plan`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from flows.cli.shared.cluster_text import cluster_lines
from flows.cli.shared.grouping import with_groups
from flows.cli.shared.run_options import RunOptions
from flows.cli.shared.text import duration, other_files, plain, said_once, size

if TYPE_CHECKING:
    from flows.run.plan import Plan
    from flows.scale.plan import ClusterPlan

app = typer.Typer()


@app.command("plan", epilog="Example: `deepsalt plan --catalogue catalogue --out store`")
@with_groups
def plan(options: RunOptions) -> None:
    """Show what a run would read, write and need, before anything runs."""
    from deepsalt.store.store import RECORD
    from flows.engines.engine import Needs
    from flows.progress import bars
    from flows.run.plan import make_plan
    from flows.scale.plan import plan_cluster
    from flows.scale.workload import Workload

    config = options.config()
    if said := other_files(config.out, RECORD):
        typer.echo(said, err=True)
    profile = config.scene.compute.cluster
    work = Workload()
    with bars() as progress:
        found = make_plan(config, progress, visit=None if profile is None else work.add)
    work.tiles = found.tiles
    on_cluster = None
    if profile is not None:
        needs = Needs(
            found.worker_memory_bytes,
            found.worker_scratch_bytes // 2,
            threads=found.threads,
            thread_bytes=found.thread_bytes,
        )
        on_cluster = plan_cluster(work, profile, config.politeness, needs)
    if options.as_json:
        told = asdict(found) | ({} if on_cluster is None else {"cluster": asdict(on_cluster)})
        typer.echo(json.dumps(told))
    else:
        typer.echo("\n".join([*plan_lines(found, on_cluster), _next_line(found)]))


def _next_line(plan: "Plan") -> str:
    """Return the suggested next command."""
    does = (
        "maps them and builds the mosaic"
        if plan.present < plan.scenes
        else "only updates the mosaic"
    )
    return f"{'next':<10}the same options with `run` instead of `plan`, which {does}"


def plan_lines(plan: "Plan", on_cluster: "ClusterPlan | None" = None) -> list[str]:
    """Return the table that `deepsalt plan` prints; a cluster's pods take the place of workers."""
    rows = [
        ("scenes", f"{plan.scenes}, of which {plan.present} are complete in the store"),
        ("pixels", f"{plan.scene_pixels:,} to map"),
        ("to read", size(plan.read_bytes)),
        ("to write", f"about {size(plan.write_bytes)}"),
        (
            "mosaic",
            f"{plan.mosaic_rows:,} x {plan.mosaic_columns:,} cells of {plan.resolution_m:g} m, "
            f"{plan.crs}; {plan.tiles} tiles",
        ),
        ("period", plan.period),
    ]
    if on_cluster is None:
        rows += _here(plan)
    lines = [f"{name:<10}{text}" for name, text in rows]
    if on_cluster is not None:
        lines += cluster_lines(on_cluster)
    if plan.cell_shape:
        lines.append(f"{'cells':<10}{plan.cell_shape}")
    if plan.gone:
        lines.append(
            f"{'missing':<10}local files of {plan.gone} scenes do not exist, such as "
            f"{plain(plan.first_gone, 2000)}; restore them, or ingest the scenes again"
        )
    lines += [f"{'cannot':<10}{name}: {why}" for name, why in said_once(plan.refused.items())]
    return lines


def _here(plan: "Plan") -> list[tuple[str, str]]:
    """Return what a run on this machine needs."""
    scratch = f"about {size(plan.worker_scratch_bytes)} per worker"
    return [
        ("workers", f"{plan.workers} with {plan.threads} threads each"),
        ("memory", f"about {size(plan.worker_memory_bytes)} per worker"),
        *([("scratch", scratch)] if plan.worker_scratch_bytes else []),
        ("time", f"about {duration(plan.seconds)} (a rough estimate from the number of pixels)"),
    ]
