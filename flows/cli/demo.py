"""The verb `demo`: simulate, map by the real path, and score against the truth."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepsalt.errors import RunError
from flows.cli.plan import plan_lines
from flows.cli.run import missing, next_lines, run_config, run_lines
from flows.cli.shared.options import ByPrefect, local
from flows.cli.shared.text import duration, other_files, share
from flows.config import RunConfig, Selection

if TYPE_CHECKING:
    from flows.run.mosaic import MosaicResult
    from flows.run.result import RunResult

app = typer.Typer()

SKILL_FLOOR = 0.2
"""R2 of log1p(EC) that the demo must reach. Predicting the mean of the truth scores 0."""

_PLOT = 'salinity.isel(period=0).coarsen(y=8, x=8, boundary="trim").mean().plot(vmax=16)'


@app.command(epilog="Example: `deepsalt demo --out demo-output`")
def demo(
    out: Annotated[
        Path,
        typer.Option("--out", callback=local, help="Folder for scenes, catalogue and store."),
    ] = Path("demo-output"),
    seed: Annotated[int, typer.Option(help="Seed of the simulated landscape and scenes.")] = 7,
    prefect: ByPrefect = False,
    field: Annotated[
        bool,
        typer.Option(
            "--field",
            help="Then sample the ground at 60 places, train a model on their pixels, map again "
            "and compare, in about a minute.",
        ),
    ] = False,
) -> None:
    """Simulate three EnMAP scenes and one PRISMA scene and map their salinity, offline.

    Everything downstream of the simulator is the real path. A second call resumes from completed
    work.
    """
    from deepsalt.store.store import RECORD
    from flows.demo import score, simulated_catalogue
    from flows.progress import bars
    from flows.run.plan import make_plan

    begin = time.monotonic()
    out = out.absolute()
    if said := other_files(out, RECORD, "input"):
        typer.echo(said, err=True)
    typer.echo(f"deepsalt demo: SIMULATED scenes, mapped into {out}")
    with bars() as progress:
        catalogue = simulated_catalogue(out / "input", seed, progress)
    config = RunConfig(selection=Selection(catalogue=str(catalogue)), out=str(out))

    typer.echo("\n".join(["", "plan", *plan_lines(make_plan(config)), ""]))
    result = run_config(config, by_prefect=prefect)
    typer.echo("\n".join(["", "run", *run_lines(result), ""]))
    if result.exit_code or result.mosaic is None:
        typer.echo(missing(result) or result.failure)
        raise typer.Exit(result.exit_code)
    scores = score(out, seed)
    typer.echo("\n".join(_table(result.mosaic, scores)))
    if field:
        _map_again(catalogue, out, seed)
    typer.echo("\n".join(closing_lines(result, out, time.monotonic() - begin)))
    if scores["r2_log1p"] < SKILL_FLOOR:
        raise RunError(
            f"the map has no skill: R2 {scores['r2_log1p']:.2f} of log1p(EC) on simulated ground, "
            f"expected {SKILL_FLOOR} or more; the model or the processing is broken"
        )


def _map_again(catalogue: Path, out: Path, seed: int) -> None:
    """Sample the simulated ground, train on its pixels, map again, and say what that changed."""
    from deepsalt.sites.samples import SampleRules
    from deepsalt.train.loop import train
    from flows.cli.models.extract import write_sites
    from flows.config import SceneConfig, TrainingConfig
    from flows.demo import field_samples, field_scores
    from flows.model_item import write_model_item
    from flows.progress import bars
    from flows.run.extract import Matching
    from flows.run.extract import extract as extract_sites
    from flows.training import training_of

    scenes = Selection(catalogue=str(catalogue))
    # Beside the demo's folder: no store may lie in another.
    folder = out.with_name(f"{out.name}-field")
    samples, sites, model, store = (
        folder / name for name in ("samples.csv", "sites.csv", "model", "store")
    )
    typer.echo(
        f"\nfield: 60 places of the SIMULATED ground are sampled, in each of its 20 parts "
        f"a low, a middle and a high one of this map, in {samples}"
    )
    field_samples(samples, seed, out)
    with bars() as progress:
        found = extract_sites(samples, scenes, SampleRules(), Matching(), progress=progress)
        write_sites(found, sites)
        settings = TrainingConfig(
            out=model, satellite=(str(sites),), name="field demo", evaluate=False
        )
        card = train(training_of(settings), progress)
        write_model_item(model, card)
    typer.echo(
        f"{len(found.sites.table)} of them have a pixel; their model is in {model}. On held-out "
        f"blocks of places this was taken: {card.training['chosen']['picked']}"
    )
    scene = SceneConfig(model=model)
    config = RunConfig(selection=scenes, out=str(store), scene=scene)
    result = run_config(config, by_prefect=False)
    if result.exit_code or result.mosaic is None:
        typer.echo(missing(result) or result.failure)
        raise typer.Exit(result.exit_code)
    before, after = field_scores([out, store], seed)
    typer.echo("\n".join(_field_lines(before, after)))


def _field_lines(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """Return the table that compares the shipped model with the one trained on samples."""
    rows = [
        ("R2 of log1p(dS/m)", "r2_log1p", "{:.2f}"),
        ("RMSE of log1p(dS/m)", "rmse_log1p", "{:.2f}"),
        ("salt above 2 dS/m that is found", "recall", "{:.0%}"),
        ("of what is called salt, is salt", "precision", "{:.0%}"),
        ("Brier skill of more than 2 dS/m", "brier_skill", "{:.2f}"),
        ("average precision of the same", "average_precision", "{:.2f}"),
        ("90 % interval holds the truth", "coverage", "{:.0%}"),
        ("width of the interval, dS/m", "median_width_dsm", "{:.1f}"),
    ]
    lines = [
        "",
        f"at {before['n']:.0f} other places of the SIMULATED ground, 2.5 km or more away",
        f"  {'':<34}{'shipped model':>15}{'with samples':>15}",
    ]
    lines += [
        f"  {name:<34}{form.format(before[key]):>15}{form.format(after[key]):>15}"
        for name, key, form in rows
    ]
    return lines


def _table(mosaic: "MosaicResult", scores: dict[str, float]) -> list[str]:
    """Return the closing table: cells by reason, and scores labelled as simulation."""
    seen = mosaic.pixels - mosaic.by_flag.get("outside", 0)
    rows = [
        ("cells seen by a scene", f"{seen:>10,}"),
        ("estimated", f"{mosaic.estimated:>10,}  {share(mosaic.estimated, seen)}"),
        *(
            (name.replace("_", " "), f"{count:>10,}  {share(count, seen)}")
            for name, count in mosaic.by_flag.items()
            if count and name != "outside"
        ),
    ]
    width = max(len(name) for name, _ in rows)
    lines = ["mosaic: cells by reason (a cell may have several)"]
    lines += [f"  {name:<{width}}  {value}" for name, value in rows]
    lines += [
        "",
        f"accuracy against the SIMULATED truth at {scores['n']:,.0f} estimated cells "
        "(shows that the path works, says nothing about the field)",
        _scale_line("log1p(dS/m)", scores, "log1p"),
        _scale_line("dS/m", scores, "dsm"),
        f"  the 90 % interval holds the truth in {100 * scores['coverage']:.0f} % of cells",
        "  predicting the mean everywhere: R2 0.00",
    ]
    return lines


def _scale_line(unit: str, scores: dict[str, float], scale: str) -> str:
    r2, rmse, bias = (scores[f"{name}_{scale}"] for name in ("r2", "rmse", "bias"))
    return f"  {unit:<12}  R2 {r2:5.2f}   RMSE {rmse:5.2f}   bias {bias:+.2f}"


def closing_lines(result: "RunResult", out: Path, seconds: float) -> list[str]:
    """Return the lines that end a run, and a line of Python that plots the mosaic."""
    return [
        "",
        *next_lines(result, str(out)),
        f"plot         deepsalt.open_mosaic({str(out)!r}).{_PLOT}",
        f"done         in {duration(seconds)}",
    ]
