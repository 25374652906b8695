"""Verb `benchmark`."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add this verb to the command."""
    app.command(epilog="Example: `deepsalt benchmark --quick --out bench`")(benchmark)


Out = Annotated[Path, typer.Option("--out", help="Folder to write; done cells in it are reused.")]
Lab = Annotated[
    Path | None,
    typer.Option(help="Real laboratory spectra; default: ICRAF-ISRIC of the shared data."),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Small samples and budgets: that everything runs.")
]
Part = Annotated[
    list[str] | None, typer.Option(help="real or simulated; may be repeated. Default: both.")
]
Config = Annotated[Path | None, typer.Option("--config", help="TOML with settings of our rows.")]


def benchmark(
    out: Out, lab: Lab = None, quick: Quick = False, part: Part = None, config: Config = None
) -> None:
    """Compare all methods on held-out groups: real laboratory spectra and simulated pairs.

    Writes benchmark.json, benchmark.md and plots. A stopped run goes on where it stopped.
    """
    from deepsalt.plot.benchmark import draw_all
    from deepsalt.train.bench_data import default_table
    from deepsalt.train.benchmark import BenchmarkConfig, run_benchmark
    from deepsalt.train.config import Settings, read_settings
    from flows.progress import bars

    parts = tuple(dict.fromkeys(part or ("real", "simulated")))
    command = " ".join(
        ["deepsalt benchmark", *["--quick"] * quick, *(f"--part {p}" for p in part or ())]
    )
    asked = BenchmarkConfig(
        lab=lab or default_table(),
        out=out,
        command=f"{command} --out {out.name}",
        settings=read_settings(config) if config else Settings(),
        parts=parts,
    )
    with bars() as progress:

        def tell(doing: str) -> None:
            progress.advance("cells")
            if not quick:
                progress.note(doing)

        outcome = run_benchmark(
            asked.reduced() if quick else asked,
            lambda count: progress.start("cells", count),
            tell,
        )
    pictures = draw_all(outcome.report, outcome.blocks, out)
    for path in (out / "benchmark.md", out / "benchmark.json", *pictures):
        typer.echo(path)
