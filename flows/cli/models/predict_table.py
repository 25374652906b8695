"""The verb `predict-table`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.shared.options import Json, Model, local

if TYPE_CHECKING:
    from deepsalt.types import Report

app = typer.Typer()


@app.command(
    "predict-table",
    epilog="Example: `deepsalt predict-table spectra.csv --sensor lab --out salinity.csv`",
)
def predict_table(
    table: Annotated[
        Path,
        typer.Argument(
            help="Spectra: CSV or Parquet with reflectance, 0 to 1, in columns named by their "
            "centre in nm, such as `r350`, `350`, `X350` or `350 nm`."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", callback=local, help="Output table, CSV or Parquet.")
    ],
    sensor: Annotated[
        str,
        typer.Option(
            help="Sensor: enmap, prisma, emit, lab, or a CSV with column, center_nm, fwhm_nm."
        ),
    ] = "lab",
    model: Model = None,
    prevalence: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="EC SHARE",
            help="Share of soils here above an EC of 0.5, 1, 2 or 4 dS/m, such as `1 0.3`: moves "
            "the probabilities. Default: as common as in the model's training.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict salinity for a table of reflectance spectra.

    Keeps all columns and prepends salinity, salinity_lower and salinity_upper in dS/m,
    p_above_0.5 to p_above_4 (the probability of more than that many dS/m), quality_flags, and
    domain_score: how unlike the training's soils and salt crusts a spectrum is. A spectrum above 1
    is flagged out of domain.
    """
    from deepsalt.model.load import model_ref
    from deepsalt.predict.table import predict_table as predict
    from flows.progress import bars

    existed = out.exists()
    with bars() as progress:
        report = predict(
            table,
            out,
            sensor=sensor,
            ref=model_ref(model),
            prevalence=prevalence,
            progress=progress,
        )
    if existed:
        typer.echo(f"{out} existed and was overwritten", err=True)
    if as_json:
        typer.echo(json.dumps({**asdict(report), "by_flag": dict(report.by_flag)}))
    else:
        typer.echo("\n".join(_lines(report, out, sensor)))


_IN_WORDS = {
    "outside": "have no values, so no estimate",
    "defective": "lack bands or are dark in half their bands, so no estimate",
    "out_of_domain": "are unlike the training's soils (domain_score above 1): doubt the estimates",
    "extrapolated": "are estimated at the edge of the training's labels or beyond",
}
"""Meaning of the flags that a table can have, by name."""


def _lines(report: "Report", out: Path, sensor: str) -> list[str]:
    """Return the outcome for the spectra, and the suggested next step."""
    lines = [f"{report.estimated} of {report.pixels} spectra estimated; {out}"]
    lines += [
        f"{count} of {report.pixels} {_IN_WORDS.get(name, name)}" for name, count in report.by_flag
    ]

    return [
        *lines,
        f"next: look at its first columns, dS/m with a 90 % interval; if the salinity of some "
        f"soils is known, train your own model with `deepsalt train` on their spectra of {sensor}",
    ]
