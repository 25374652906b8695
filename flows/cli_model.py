"""Verbs around the model: `train`, `predict-table`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.options import Json, Model

if TYPE_CHECKING:
    from flows.progress import Progress


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command."""
    app.command(
        epilog="Example: `deepsalt train --lab spectra.csv --group profile_id --out my-model`"
    )(train)
    app.command(
        "predict-table",
        epilog="Example: `deepsalt predict-table spectra.csv --sensor lab --out salinity.csv`",
    )(predict_table)


LabTables = Annotated[
    list[Path], typer.Option("--lab", help="Table of laboratory spectra; may be repeated.")
]
ModelOut = Annotated[Path, typer.Option("--out", help="Model folder to write.")]
LabSensor = Annotated[
    str, typer.Option("--sensor", help="Bands of the tables: lab, or a CSV with centre and FWHM.")
]
Group = Annotated[str, typer.Option(help="Column of groups that are never split: the profile.")]
Region = Annotated[str | None, typer.Option(help="Column of regions that are left out in turn.")]
Ec = Annotated[str, typer.Option(help="Column of the electrical conductivity.")]
EcUnit = Annotated[str, typer.Option(help="dS/m or mS/m.")]
EcMethod = Annotated[str, typer.Option(help="Which EC the labels are, such as 'EC 1:5'.")]
Suspect = Annotated[str | None, typer.Option(help="Column that marks rows to leave out.")]
Licence = Annotated[str, typer.Option(help="Licence of the tables; for the card.")]
Attribution = Annotated[str, typer.Option(help="Whom to cite; for the card.")]
Name = Annotated[str, typer.Option(help="Name of the model.")]
Mixtures = Annotated[int, typer.Option(help="Simulated mixtures added for training.")]
ReserveDemo = Annotated[
    bool,
    typer.Option(
        "--reserve-demo/--use-all",
        help="Leave out the fifth of the profiles whose soils the demo's landscape is made of.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


def train(
    lab: LabTables,
    out: ModelOut,
    sensor: LabSensor = "lab",
    group: Group = "profile_id",
    region: Region = None,
    ec: Ec = "ec_ds_m",
    ec_unit: EcUnit = "dS/m",
    ec_method: EcMethod = "mixed or unknown",
    suspect: Suspect = None,
    licence: Licence = "not stated",
    attribution: Attribution = "",
    name: Name = "own",
    mixtures: Mixtures = 12_000,
    seed: Seed = 20250101,
    reserve_demo: ReserveDemo = True,
) -> None:
    """Train a student on tables of laboratory spectra, and score it by group and region.

    Writes weights and a model card with scores, baselines and limits. Only the spectra and their
    bands enter the model.
    """
    from deepsalt.train.config import LabTable, TrainConfig
    from deepsalt.train.loop import train as train_model
    from flows.progress import bars
    from flows.show import card_lines

    facts: dict[str, object] = {"reserve_demo": reserve_demo}
    facts |= {"sensor": sensor, "group": group, "region": region, "ec": ec, "suspect": suspect}
    facts |= {"ec_method": ec_method, "licence": licence, "attribution": attribution}
    tables = tuple(LabTable(path, ec_unit=ec_unit, **facts) for path in lab)  # type: ignore[arg-type]
    config = TrainConfig(lab=tables, out=out, name=name, mixtures=mixtures, seed=seed)
    with bars() as progress:
        card = train_model(config, _percent(progress))
    typer.echo("\n".join(card_lines(card)))


def _percent(progress: "Progress") -> Callable[[str, float], None]:
    """Return a listener that turns shares of the whole into a bar of 100."""
    progress.start("train", 100)
    shown = 0

    def tell(doing: str, share: float) -> None:
        nonlocal shown
        progress.note(doing)
        progress.advance("train", round(100 * share) - shown)
        shown = round(100 * share)

    return tell


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
