"""Verbs around the model: `train`, `predict-table`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import Json, Model


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command."""
    app.command(
        epilog="Example: `deepsalt train --lab spectra.csv --group profile_id --out my-model`"
    )(train)
    app.command(
        "predict-table",
        epilog="Example: `deepsalt predict-table spectra.csv --sensor lab --out salinity.csv`",
    )(predict_table)


def predict_table(
    table: Annotated[Path, typer.Argument(help="CSV or Parquet with columns r<centre in nm>.")],
    out: Annotated[Path, typer.Option("--out", help="Table to write, CSV or Parquet.")],
    sensor: Annotated[
        str,
        typer.Option(help="enmap, prisma, lab, or a CSV with centre and FWHM of the bands, nm."),
    ] = "lab",
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Predict salinity for a table of reflectance spectra.

    Keeps all other columns and adds salinity, salinity_lower and salinity_upper in dS/m and the
    basis flags.
    """
    import json
    from dataclasses import asdict

    from deepsalt.model.load import model_ref
    from deepsalt.predict_table import predict_table as predict

    report = predict(table, out, sensor=sensor, ref=model_ref(model))
    if as_json:
        typer.echo(json.dumps({**asdict(report), "by_basis": dict(report.by_basis)}))
    else:
        typer.echo(f"{report.estimated} of {report.pixels} spectra estimated; {out}")
