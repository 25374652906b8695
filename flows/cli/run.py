"""The verb `run`."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from flows.cli.mosaic.build import mosaic_lines
from flows.cli.scene import scene_line
from flows.cli.shared.grouping import with_groups
from flows.cli.shared.run_options import RunOptions
from flows.cli.shared.text import duration, other_files, place, said_once, share
from flows.config import RunConfig

if TYPE_CHECKING:
    from deepsalt.mapping import SceneReport
    from flows.run.result import RunResult

app = typer.Typer()


@app.command(
    "run",
    epilog="Example: `deepsalt run --catalogue catalogue --datetime 2024-06-01/2024-08-31 "
    "--out store`",
)
@with_groups
def run(options: RunOptions) -> None:
    """Map the salinity of the scenes found and build the mosaic.

    Skips what is already complete in the store, so the same command resumes a stopped run, and
    another selection adds its scenes.
    """
    from deepsalt.store.store import RECORD

    config = options.config()
    if said := other_files(config.out, RECORD):
        typer.echo(said, err=True)
    result = run_config(config, by_prefect=options.prefect)
    if options.as_json:
        typer.echo(json.dumps(result.to_dict()))
    else:
        typer.echo("\n".join([*run_lines(result), *next_lines(result, config.out)]))
    if options.as_json:
        for said in (no_estimate(result.scenes), missing(result)):
            if said:
                typer.echo(said, err=True)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def run_config(config: RunConfig, *, by_prefect: bool) -> "RunResult":
    """Run, directly or as a Prefect flow, with bars; Prefect is imported only when asked for."""
    from flows.progress import bars
    from flows.run import run as runs

    with bars() as progress:
        if not by_prefect:
            return runs.run(config, progress)
        from flows.prefect.scenes import map_scenes
        from flows.run.result import RunResult

        return RunResult.of(map_scenes(config))


def run_lines(result: "RunResult") -> list[str]:
    """Return the closing lines of a run."""
    lines = [scene_line(scene) for scene in result.scenes if scene.reason is None]
    without: dict[str, list[tuple[str, str]]] = {}
    for scene in result.scenes:
        if scene.reason is not None:
            without.setdefault(scene.status, []).append((scene.scene, scene.reason))
    for status, reasons in without.items():
        lines += [f"{status:<11}  {name}: {why}" for name, why in said_once(reasons)]
    if result.mosaic:
        lines += mosaic_lines(result.mosaic)
    if nothing := no_estimate(result.scenes):
        lines.append(nothing)
    if result.begun_again:
        lines.append(
            f"done twice   {result.begun_again} scenes were started again, at a loss of "
            f"{duration(result.wasted_s)} of work, {100 * result.wasted:.1f} % of the workers' time"
        )
    return lines


def missing(result: "RunResult") -> str | None:
    """Return how many scenes are missing and what retries them; None if none is."""
    statuses = {scene.status for scene in result.wanted if not scene.product}
    if not statuses:
        return None
    count = sum(not scene.product for scene in result.wanted)
    again = "run the same command again"
    retry = {
        frozenset({"failed"}): f"{again} to retry them",
        frozenset({"quarantined"}): f"mend them, then {again} with --retry-quarantined",
    }.get(
        frozenset(statuses),
        f"{again} to retry those that failed, with --retry-quarantined to retry all",
    )
    return f"missing      {count} of {len(result.wanted)} scenes, for the reasons listed; {retry}"


def next_lines(result: "RunResult", out: str) -> list[str]:
    """Return what the map does and does not show, where its picture is, and what to do next."""
    from deepsalt.mosaic.picture import QUICKLOOK
    from deepsalt.types import REJECTING, QualityFlag

    mosaic = result.mosaic
    lines = [said] if (said := missing(result)) else []
    if mosaic is None or mosaic.held:
        return lines
    seen = mosaic.pixels - mosaic.by_flag.get("outside", 0)
    why = [
        f"{name.replace('_', ' ')} {share(count, seen)}"
        for name, count in mosaic.by_flag.items()
        if count and name != "outside" and QualityFlag[name.upper()] & REJECTING
    ]
    if mosaic.estimated and why:
        lines.append(
            f"no estimate  in {share(seen - mosaic.estimated, seen)} of the cells seen: "
            f"{', '.join(why)} (a cell may have several reasons)"
        )
    if mosaic.estimated:
        strange = mosaic.by_flag.get("out_of_domain", 0)
        lines.append(
            "limits       the surface only; salinity_lower and salinity_upper are a 90 % interval; "
            "salt that the mean hides is in p_above, the probability of exceeding a threshold"
            + (f"; {share(strange, seen)} of cells are unlike the training's soils" * bool(strange))
        )
    return [
        *lines,
        f"picture      {place(out, QUICKLOOK)}",
        f"next         `deepsalt check {place(out)}`; in Python deepsalt.open_mosaic({out!r})",
    ]


def no_estimate(scenes: "Sequence[SceneReport]") -> str | None:
    """Return a sentence on scenes without any estimate, with the shares of the reasons.

    None if any pixel has an estimate, or if no scene was mapped.
    """
    mapped = [scene for scene in scenes if scene.product]
    pixels = sum(scene.pixels for scene in mapped)
    if not pixels or any(scene.estimated for scene in mapped):
        return None
    counts = Counter[str]()
    for scene in mapped:
        counts.update(scene.by_flag)
    reasons = ", ".join(
        f"{name.replace('_', ' ')} {share(count, pixels)}"
        for name, count in counts.most_common()
        if count
    )
    return (
        f"no estimate  none of {pixels:,} pixels could be estimated ({reasons}; a pixel may have "
        "several reasons); choose scenes of bare, dry soil without clouds"
    )
