"""The verb `predict-table`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Json, Model, local

app = typer.Typer()


@app.command(
    "predict-table",
    epilog="Example: `deepsalt predict-table spectra.csv --sensor lab --out salinity.csv`",
)
def predict_table(
    table: Annotated[
        Path,
        typer.Argument(
            help="Spectra: CSV or Parquet with reflectance in columns `r<centre in nm>`."
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
    as_json: Json = False,
) -> None:
    """Predict salinity for a table of reflectance spectra.

    Keeps all other columns and adds salinity, salinity_lower and salinity_upper in dS/m,
    quality_flags, and domain_score: how unlike soils and salt crusts a spectrum is. Above 1 it is
    flagged out of domain.
    """
    from deepsalt.model.load import model_ref
    from deepsalt.tables import predict_table as predict

    report = predict(table, out, sensor=sensor, ref=model_ref(model))
    if as_json:
        typer.echo(json.dumps({**asdict(report), "by_flag": dict(report.by_flag)}))
    else:
        typer.echo(f"{report.estimated} of {report.pixels} spectra estimated; {out}")
