"""The verb `train`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from flows.cli.shared.options import local
from flows.cli.shared.text import other_files, place, plain
from flows.config import TrainingConfig

if TYPE_CHECKING:
    from deepsalt.model.card import ModelCard

app = typer.Typer()

LabTables = Annotated[
    list[str] | None,
    typer.Option("--lab", metavar="TABLE...", help="Laboratory spectra: TABLE or TABLE@SENSOR."),
]
SatelliteTables = Annotated[
    list[str] | None,
    typer.Option(
        "--satellite",
        metavar="TABLE[@SENSOR]...",
        help="Satellite spectra with labels: what `deepsalt extract` writes, or by sensor.",
    ),
]
UnlabelledTables = Annotated[
    list[str] | None,
    typer.Option(
        "--unlabelled", metavar="TABLE@SENSOR...", help="Satellite spectra without labels."
    ),
]
InfraredTables = Annotated[
    list[Path] | None,
    typer.Option(
        "--mid-infrared",
        metavar="TABLE...",
        help="Mid-infrared absorbance of laboratory samples: sample_id, and columns named by "
        "wavenumber in cm-1.",
    ),
]
ModelOut = Annotated[
    Path,
    typer.Option("--out", metavar="MODEL_DIR", callback=local, help="Output folder."),
]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of groups to keep in one fold, such as profiles. Default: the first of "
        "profile_id, profile, group, region, site, country; for satellite tables with lon and lat "
        "and none of the first four, blocks of neighbours.",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of regions to leave out in turn. Default: region, else country.",
    ),
]
Ec = Annotated[str, typer.Option(metavar="COLUMN", help="Column of the electrical conductivity.")]
Unit = Annotated[
    str | None,
    typer.Option(metavar="UNIT", help="Unit of the labels: dS/m, mS/m or uS/cm. Default: dS/m."),
]
EcMethod = Annotated[
    str,
    typer.Option(
        help="Method of the labels, such as ECe or EC1:5, for tables without an ec_method column."
    ),
]
Suspect = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column that marks rows to skip. Default: ec_suspect."),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file with settings.")
]


def _show_settings(asked: bool) -> None:
    if asked:
        from deepsalt.train.config import settings_text

        typer.echo(settings_text())
        raise typer.Exit


ShowConfig = Annotated[
    bool,
    typer.Option(
        "--show-config",
        callback=_show_settings,
        is_eager=True,
        help="Show a file for --config with every setting, its meaning and its default, and exit.",
    ),
]
Licence = Annotated[str, typer.Option(help="Licence of the tables, for the model card.")]
Attribution = Annotated[str, typer.Option(help="Citation for the model card.")]
Name = Annotated[str, typer.Option(help="Name of the model.")]
Seed = Annotated[int | None, typer.Option(help="Seed of all random numbers.")]
Evaluate = Annotated[
    bool, typer.Option("--evaluate/--no-evaluate", help="Score on held-out groups and regions.")
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="Fewer folds, sensors and inducing points: seconds instead of minutes for a first "
        "look, and a worse model.",
    ),
]

_TABLE_OPTIONS = ("--lab", "--satellite", "--unlabelled", "--mid-infrared")


class ManyTables(TyperCommand):
    """A command whose table options take several tables: `--lab A B` is `--lab A --lab B`."""

    # typer's stubs name a copy of click's Context that it does not export.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option in front of each further table."""
        spread: list[str] = []
        current = None
        for arg in args:
            if arg.startswith("-"):
                current = arg if arg in _TABLE_OPTIONS else None
            elif current and spread[-1] != current:
                spread.append(current)
            spread.append(arg)
        return super().parse_args(ctx, spread)


@app.command(
    cls=ManyTables,
    epilog="Example: `deepsalt train --lab library.csv --satellite sites.csv --out my-model`",
)
def train(
    out: ModelOut,
    lab: LabTables = None,
    satellite: SatelliteTables = None,
    unlabelled: UnlabelledTables = None,
    mid_infrared: InfraredTables = None,
    group: Group = None,
    region: Region = None,
    ec_unit: Unit = None,
    config: ConfigFile = None,
    show_config: ShowConfig = False,
    ec: Ec = "ec_ds_m",
    ec_method: EcMethod = "mixed or unknown",
    suspect: Suspect = None,
    licence: Licence = "not stated",
    attribution: Attribution = "",
    name: Name = "own",
    seed: Seed = None,
    evaluate: Evaluate = True,
    quick: Quick = False,
) -> None:
    """Train a model on tables of spectra, and score it with groups and regions left out.

    Writes weights, the model card (also as a STAC Item) and a report with scores, baselines and
    limits. Only spectra and their bands enter the model. SENSOR is enmap, prisma, emit, lab or a
    CSV with column, center_nm and fwhm_nm. Mid-infrared spectra of laboratory samples can be added.
    The same command again resumes a stopped training.
    """
    from deepsalt.model.card import CARD_FILE
    from deepsalt.train.loop import CACHE
    from deepsalt.train.loop import train as train_model
    from flows.model_item import write_model_item
    from flows.progress import bars
    from flows.training import training_of

    run = training_of(
        TrainingConfig(
            out=out,
            laboratory=tuple(lab or ()),
            satellite=tuple(satellite or ()),
            unlabelled=tuple(unlabelled or ()),
            infrared=tuple(mid_infrared or ()),
            group=group,
            region=region,
            ec=ec,
            ec_unit=ec_unit,
            ec_method=ec_method,
            suspect=suspect,
            licence=licence,
            attribution=attribution,
            name=name,
            settings=config,
            seed=seed,
            evaluate=evaluate,
            quick=quick,
        )
    )
    for said in (other_files(out, CARD_FILE, CACHE), replaced(out)):
        if said:
            typer.echo(said, err=True)
    with bars() as progress:
        card = train_model(run, progress)
    write_model_item(out, card)
    typer.echo("\n".join(card_lines(card)))
    typer.echo(f"model, card and report are in {out}; its limits are in {out / 'report.md'}")
    typer.echo(
        f"next: `deepsalt predict-table TABLE --sensor SENSOR --model {place(out)} --out "
        f"salinity.csv`, or `deepsalt run` with --model {place(out)}"
    )


def replaced(out: Path) -> str | None:
    """Return a sentence on the model that a folder holds already; None if it holds none."""
    from deepsalt.errors import ModelError
    from deepsalt.model.card import CARD_FILE, read_card

    path = out / CARD_FILE
    if not path.is_file():
        return None
    try:
        name = f"the model {plain(read_card(out).name)}"
    except ModelError:  # it is replaced, damaged or not
        name = "a model whose card cannot be read"
    day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    return f"this command replaces {name} of {day} in {out} when it ends"


def card_lines(card: "ModelCard") -> list[str]:
    """Return the scores of a trained model as a table, by split and with baselines."""
    lines = [f"model {card.name}: {card.ec_method}"]
    if picked := card.training["chosen"].get("picked"):
        base = card.training["base"]["name"]
        lines.append(f"taken: {picked} (the model: {base}); report.md says why")
    if not card.scores:
        return [*lines, "no scores: the model was not evaluated"]
    lines.append(
        f"{'method':<18}{'spectra':<42}{'left out':<16}{'n':>6}  R2 of log1p (sd)  interval holds"
    )
    for score in card.scores:
        metrics = score.metrics
        # If all labels are equal, R2 is undefined.
        known = [metrics.get(name) for name in ("r2_log1p", "r2_log1p_fold_sd")]
        r2, sd = ("-" if value is None else f"{value:.2f}" for value in known)
        spread = f"{r2} ({sd})"
        held = f"{metrics['coverage']:.0%}" if "coverage" in metrics else "-"
        what = f"{score.method:<18}{score.spectra:<42}{score.split:<16}{score.n:>6}"
        lines.append(f"{what}  {spread:<18}{held}")
    return lines
