"""The verb `validate`."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from deepsalt.errors import FormatError, UsageError
from flows.cli.models.train import card_lines, replaced
from flows.cli.shared.grouping import with_groups
from flows.cli.shared.options import Json, Store, local
from flows.cli.shared.sample_options import AnyDate, LabelOptions, PlaceOptions, Samples, rules_of
from flows.cli.shared.text import other_files, place, plain

if TYPE_CHECKING:
    from deepsalt.accuracy.assess import Accuracy
    from deepsalt.accuracy.match import Pairing
    from deepsalt.model.card import ModelCard

app = typer.Typer()

_SHOWN = (
    "spearman",
    "r2_recalibrated",
    "r2_log1p",
    "rmse_log1p",
    "bias_log1p",
    "coverage",
    "coverage_with_label_error",
)
"""Scores in the terminal; the report has all."""

MAX_DAYS = 365.0

OutReport = Annotated[
    Path,
    typer.Option("--out", callback=local, help="Report to write, HTML; beside it JSON and tables."),
]
PeriodDay = Annotated[
    str | None,
    typer.Option(
        "--period",
        metavar="DATE",
        help="Only the mosaic's period that holds this day. Default: the one nearest to a sample.",
    ),
]
Days = Annotated[
    float,
    typer.Option("--days", help="Greatest number of days from a sample to the period, to 365."),
]
Convert = Annotated[
    str | None,
    typer.Option(
        "--convert",
        metavar="FACTOR,SD_LOG",
        help="From the samples' method to the map's: a factor, and the standard deviation of the "
        "logarithm of its error, such as `2.2,0.3`.",
    ),
]
TheModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Folder of the map's model, whose card says what it was trained on. Default: the "
        "store's copy, or the shipped model.",
    ),
]
Recalibrate = Annotated[
    Path | None,
    typer.Option(
        "--recalibrate",
        metavar="MODEL_DIR",
        callback=local,
        help="Also write a model to this folder: the map's, moved by a line to the samples' EC and "
        "method and calibrated on them, with a card and scores of held-out blocks.",
    ),
]
VersionId = Annotated[
    str | None,
    typer.Option("--version", metavar="ID", help="Version of the mosaic. Default: the published."),
]


@app.command(
    "validate", epilog="Example: `deepsalt validate store samples.csv --out accuracy.html`"
)
@with_groups
def validate(
    store: Store,
    samples: Samples,
    *,
    out: OutReport = Path("accuracy.html"),
    period: PeriodDay = None,
    days: Days = 30.0,
    any_date: AnyDate = False,
    labels: LabelOptions,
    convert: Convert = None,
    places: PlaceOptions,
    version: VersionId = None,
    model: TheModel = None,
    recalibrate: Recalibrate = None,
    as_json: Json = False,
) -> None:
    """Compare a mosaic, or an export of one, with field samples: scores with intervals, a report.

    Bias, RMSE and coverage are reported only if samples and map have one method of EC, or with
    --convert; otherwise ranks and recalibrated scores. With --recalibrate the next run can map the
    samples' own EC. Exit code 1: no sample has a cell.
    """
    from deepsalt.accuracy.assess import assess
    from deepsalt.accuracy.match import Pairing
    from deepsalt.conductivity import Conversion
    from deepsalt.reading import open_mosaic
    from flows.model_cache import marks_of, model_of
    from flows.model_item import write_model_item
    from flows.progress import bars

    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out} is no HTML file; give a name that ends in .html")
    if not out.absolute().parent.is_dir():
        raise FormatError(f"the folder of {out} does not exist; create it first")
    if not 0 <= days <= MAX_DAYS:
        raise UsageError(
            f"--days {days:g} is not within 0 to {MAX_DAYS:.0f}; --any-date matches all the same"
        )
    rules = rules_of(labels, places)
    asked = Pairing(
        None if any_date else days,
        None if period is None else _day(period),
        None if convert is None else Conversion.parse(convert),
    )
    if recalibrate is not None:
        _refuse_to_recalibrate(recalibrate, asked)
    mosaic = open_mosaic(store, version=version)
    digests = mosaic.attrs.get("model_digests", ())
    pairing = replace(asked, trained=marks_of(store, digests, model))
    card = None
    with bars() as progress, TemporaryDirectory() as cache:
        found = assess(mosaic, samples, rules, pairing, progress=progress)
        write_report(found, out)
        if recalibrate is not None and len(found.matched.cells):
            from deepsalt.accuracy.recalibrate import recalibrated_model

            ref = model_of(store, digests, Path(cache), model)
            card = recalibrated_model(found, samples, rules, ref, recalibrate)
            write_model_item(recalibrate, card)
    if as_json:
        document = found.document()
        typer.echo(json.dumps(document if card is None else document | {"model": _told(card)}))
    else:
        lines = _lines(found, out, store)
        if card is not None and recalibrate is not None:
            lines[-1:] = _model_lines(card, recalibrate)
        typer.echo("\n".join(lines))
    if not len(found.matched.cells):
        raise typer.Exit(1)


def _refuse_to_recalibrate(out: Path, pairing: "Pairing") -> None:
    """Refuse what cannot be, and say what a folder holds, before the map is read."""
    from deepsalt.model.card import CARD_FILE

    if pairing.conversion is not None:
        raise UsageError(
            "--recalibrate makes a model of the samples' own EC and method; leave out --convert"
        )
    for said in (other_files(out, CARD_FILE), replaced(out)):
        if said:
            typer.echo(said, err=True)


def _told(card: "ModelCard") -> dict[str, object]:
    """Return a recalibrated model as JSON."""
    return {
        "name": card.name,
        "ec_method": card.ec_method,
        "chosen": card.training["chosen"],
        "scores": [asdict(score) for score in card.scores],
    }


def _model_lines(card: "ModelCard", folder: Path) -> list[str]:
    """Return what became of the model, and the suggested next step."""
    return [
        *card_lines(card),
        f"model, card and report are in {folder}; its limits are in {folder / 'report.md'}",
        f"next: `deepsalt run --catalogue CATALOGUE --model {place(folder)} --out STORE` maps with "
        "it, into a new store; validate that with samples which this model has not seen",
    ]


def _day(text: str) -> np.datetime64:
    try:
        return np.datetime64(text, "D")
    except ValueError:
        raise UsageError(f"--period is a day such as 2024-05-01; found {text!r:.60}") from None


def write_report(found: "Accuracy", out: Path) -> None:
    """Write the report, if there are cells, and beside it JSON, cells, and what was left out.

    Raises
    ------
    FormatError
        A table cannot be written there.
    StoreError
        The report cannot.
    """
    import pandas as pd

    from deepsalt.accuracy.report import cells_table, html
    from deepsalt.documents import replacing, write_json
    from deepsalt.objects.disk import storing
    from deepsalt.spectral.table import write_table

    left_out = pd.DataFrame(found.matched.left_out, columns=["sample_id", "scene", "reason"])
    write_table(left_out.drop(columns="scene"), out.with_suffix(".left-out.csv"))
    if not len(found.matched.cells):
        return
    write_table(cells_table(found), out.with_suffix(".cells.csv"))
    write_json(out.with_suffix(".json"), found.document())
    with storing(out), replacing(out) as temporary:
        temporary.write_text(html(found), encoding="utf-8")


def _lines(found: "Accuracy", out: Path, store: str) -> list[str]:
    """Return what was matched, the scores, and the suggested next step."""
    from deepsalt.accuracy.report import named, with_interval

    matched = found.matched
    cells = len(matched.cells)
    lines = [
        f"{matched.samples} samples, {matched.matched} matched in {cells} cells, "
        f"{found.block.count} blocks"
    ]
    width = max((len(plain(why)) for why in matched.unmatched), default=0) + 4
    lines += [f"  {plain(why):<{width}}{count:>5}" for why, count in matched.unmatched.items()]
    if not cells:
        beside = out.with_suffix(".left-out.csv")
        return [
            *lines,
            f"no sample has a cell, so no report was written; {beside} says why for each",
            f"next: look at {place(store)} and at the samples' coordinates, dates and depths",
        ]
    if found.simulated:
        lines.append("the scenes are SIMULATED")
    lines += [plain(note, 600) for note in found.notes]
    for name in _SHOWN:
        if name in found.scores:
            value, ends = with_interval(found.scores, name)
            lines.append(f"{named(name)[0]:<28}{value:>7}" + (f"   90 %: {ends}" if ends else ""))
    if found.support:
        share = found.support.scores.get("support_share")
        said = plain(found.support.sentence)
        shown = said if share is None else f"{share:>7.2f}   {said}"
        lines.append(f"{'residuals due to support':<28}{shown}")
    beside = out.with_suffix("")
    return [
        *lines,
        f"report: {out}; also {beside}.json, {beside}.cells.csv, {beside}.left-out.csv",
        f"next: open {place(out)} and look where the map is wrong; `deepsalt extract` and `train` "
        f"make a model of your own ground's samples",
    ]
