"""The verb `benchmark`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from deepsalt.errors import UsageError
from flows.cli.shared.options import local

app = typer.Typer()

Out = Annotated[
    Path,
    typer.Option("--out", callback=local, help="Output folder. Finished cells in it are reused."),
]
Lab = Annotated[
    Path | None,
    typer.Option(help="Table of laboratory spectra. Default: ICRAF-ISRIC in the shared data."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Smoke test on small samples.")]
Part = Annotated[
    list[str] | None,
    typer.Option(help="Part to run: real or simulated. May be repeated. Default: both."),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings of our own methods.")
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="Number of simulated worlds. Default: 8; 2 with --quick.")
]
Folds = Annotated[
    int | None,
    typer.Option(
        min=2, help="Number of folds. Default: 5 of profiles, 10 of countries; 2 with --quick."
    ),
]


Confirm = Annotated[
    bool,
    typer.Option(
        "--confirm",
        help="Test what a laboratory library gains, on twelve worlds of its own: hours. Writes "
        "confirmation.md and its tables.",
    ),
]
Rehearse = Annotated[
    bool, typer.Option("--rehearse", help="The same on development worlds; nothing is claimed.")
]


@app.command(epilog="Example: `deepsalt benchmark --quick --out bench`")
def benchmark(
    out: Out,
    lab: Lab = None,
    quick: Quick = False,
    part: Part = None,
    config: Config = None,
    seeds: Seeds = None,
    folds: Folds = None,
    confirm: Confirm = False,
    rehearse: Rehearse = False,
) -> None:
    """Compare all methods on held-out groups: real laboratory spectra and simulated pairs.

    Writes benchmark.json, benchmark.md and plots. A stopped run resumes where it stopped.
    """
    if confirm or rehearse:
        named: dict[str, object] = {
            "--lab": lab,
            "--part": part,
            "--folds": folds,
            "--rehearse": confirm and rehearse,
            "--quick": confirm and quick,
            "--seeds": confirm and seeds,
            "--config": confirm and config,
        }
        if unfit := [name for name, value in named.items() if value]:
            raise UsageError(
                f"{unfit[0]} has no meaning for {'--confirm' if confirm else '--rehearse'}, whose "
                f"worlds and rows are fixed; leave it out"
            )
        _confirm(out, config, rehearse=rehearse, quick=quick, seeds=seeds)
        return
    from threadpoolctl import threadpool_limits

    from deepsalt.benchmark.data import default_table
    from deepsalt.benchmark.plots import draw_all
    from deepsalt.benchmark.run import BenchmarkConfig, run_benchmark
    from deepsalt.train.config import Settings, read_settings
    from flows.progress import bars

    parts = tuple(dict.fromkeys(part or ("real", "simulated")))
    given = [*["--quick"] * quick, *(f"--part {p}" for p in part or ())]
    shown = {"config": config.name if config else None, "seeds": seeds, "folds": folds}
    given += [f"--{name} {value}" for name, value in shown.items() if value is not None]
    asked = BenchmarkConfig(
        lab=lab or default_table(),
        out=out,
        command=" ".join(["deepsalt benchmark", *given, "--out", out.name]),
        settings=read_settings(config) if config else Settings(),
        parts=parts,
    )
    if quick:
        asked = asked.reduced()
    if seeds is not None:
        asked = replace(asked, design=replace(asked.design, seeds=seeds))
    if folds is not None:
        asked = replace(asked, folds=folds, region_folds=folds)
    # Most matrices are small: a second thread mostly waits and doubles the total time.
    with threadpool_limits(1), bars() as progress:
        outcome = run_benchmark(asked, progress)
    pictures = draw_all(outcome.report, outcome.blocks, out)
    for path in (out / "benchmark.md", out / "benchmark.json", *pictures):
        typer.echo(path)


def _confirm(
    out: Path, config: Path | None, *, rehearse: bool, quick: bool, seeds: int | None
) -> None:
    from threadpoolctl import threadpool_limits

    from deepsalt.benchmark.confirmation.protocol import Protocol, run_protocol
    from deepsalt.train.config import Settings, read_settings
    from flows.progress import bars

    named = {"--config": config.name if config else None, "--seeds": seeds}
    given = ["--rehearse" if rehearse else "--confirm", *["--quick"] * quick]
    given += [f"{name} {value}" for name, value in named.items() if value is not None]
    protocol = Protocol(
        out,
        command=" ".join(["deepsalt benchmark", *given, "--out", out.name]),
        settings=read_settings(config) if config else Settings(),
        rehearsal=rehearse,
    )
    protocol = protocol.reduced() if quick else protocol
    if seeds is not None:
        protocol = replace(protocol, design=replace(protocol.design, seeds=seeds))
    with threadpool_limits(1), bars() as progress:
        paths = run_protocol(protocol, progress)
    for path in paths:
        typer.echo(path)
