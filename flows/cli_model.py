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


def train(
    lab: Annotated[
        list[Path], typer.Option("--lab", help="Table of laboratory spectra; may be repeated.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Model folder to write.")],
    sensor: Annotated[
        str, typer.Option(help="Bands of the tables: lab, or a CSV with centre and FWHM, nm.")
    ] = "lab",
    group: Annotated[
        str, typer.Option(help="Column of the groups that are never split, such as the profile.")
    ] = "profile_id",
    region: Annotated[
        str | None, typer.Option(help="Column of the regions that are left out in turn.")
    ] = None,
    ec: Annotated[str, typer.Option(help="Column of the electrical conductivity.")] = "ec_ds_m",
    ec_unit: Annotated[str, typer.Option(help="dS/m or mS/m.")] = "dS/m",
    ec_method: Annotated[
        str, typer.Option(help="Which EC the labels are, such as 'EC 1:5, water'; for the card.")
    ] = "mixed or unknown",
    suspect: Annotated[
        str | None, typer.Option(help="Column that marks rows to leave out.")
    ] = None,
    licence: Annotated[
        str, typer.Option(help="Licence of the tables; for the card.")
    ] = "not stated",
    attribution: Annotated[str, typer.Option(help="Whom to cite; for the card.")] = "",
    name: Annotated[str, typer.Option(help="Name of the model.")] = "own",
    mixtures: Annotated[int, typer.Option(help="Simulated mixtures added for training.")] = 6000,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 20250101,
) -> None:
    """Train a student on tables of laboratory spectra, and score it by group and region.

    Writes weights and a model card with scores, baselines and limits. Only the spectra and their
    bands enter the model.
    """
    from deepsalt.train.config import LabTable, TrainConfig
    from deepsalt.train.loop import train as train_model
    from flows.progress import bars
    from flows.show import card_lines

    tables = tuple(
        LabTable(
            path=path,
            sensor=sensor,
            group=group,
            region=region,
            ec=ec,
            ec_unit=ec_unit,  # type: ignore[arg-type]  # LabTable refuses other units
            suspect=suspect,
            ec_method=ec_method,
            licence=licence,
            attribution=attribution,
        )
        for path in lab
    )
    config = TrainConfig(lab=tables, out=out, name=name, mixtures=mixtures, seed=seed)
    with bars() as progress:
        progress.start("train", 100)
        shown = 0

        def tell(doing: str, share: float) -> None:
            nonlocal shown
            progress.note(doing)
            progress.advance("train", round(100 * share) - shown)
            shown = round(100 * share)

        card = train_model(config, tell)
        progress.advance("train", 100 - shown)
    typer.echo("\n".join(card_lines(card)))


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
