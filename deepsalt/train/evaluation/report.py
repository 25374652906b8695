"""The training report: what was read, chosen and scored, as a page of text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepsalt.documents import replace_file
from deepsalt.errors import ModelError
from deepsalt.layers import CHANCE_COLUMNS
from deepsalt.model.card import ModelCard, Score
from deepsalt.train.data.places import MIN_BLOCKS
from deepsalt.train.data.tables import Table

REPORT_FILE = "report.md"

CELLS = "cells of a map"
"""Kind of a source whose samples were matched with a map and not with spectra."""

_RANGES = "In brackets: 90 % intervals, groups drawn with replacement."
_PROBABILITIES = (
    "Brier skill is over the base rate of the training folds; the probability from which half are "
    "above the threshold is chosen in the training folds. It is not reached where one of them has "
    "none."
)

_FLAGGED = (
    "Built surfaces should be flagged; soils, salts and playas should not; burnt ground is only "
    "reported. Shares of surfaces are means over sites that the test was fitted without, those of "
    "salts over minerals that it has not seen in any form."
)

_COLUMNS = (
    ("R² log1p", "r2_log1p"),
    ("spread over folds", "r2_log1p_fold_sd"),
    ("without 5 groups", "r2_log1p_without_5_most_influential_groups"),
    ("R² log(EC+0.03)", "r2_log_ec_plus_0.03"),
    ("RMSE dS/m", "rmse_dsm"),
    ("bias dS/m", "bias_dsm"),
    ("flagged", "share_out_of_domain"),
)

_INTERVALS = (
    ("all", "coverage"),
    ("above 1 dS/m", "coverage_above_1_dsm"),
    ("above 2 dS/m", "coverage_above_2_dsm"),
    ("of soils below 0.5 dS/m, reach 2", "share_without_salt_whose_interval_reaches_2_dsm"),
    ("median width, dS/m", "median_width_dsm"),
    ("Winkler score, log1p", "winkler_log1p"),
)

_CHANCES = (
    ("Brier skill", "brier_skill"),
    ("average precision", "average_precision"),
    ("recall at a precision of one half", "recall_at_half"),
    ("precision there", "precision_at_half"),
)


def write_report(directory: Path, card: ModelCard, tables: Sequence[Table]) -> None:
    """Write ``report.md`` beside weights and card.

    Raises
    ------
    ModelError
        It cannot be written.
    """
    try:
        replace_file(directory / REPORT_FILE, report(card, tables).encode())
    except OSError as error:
        raise ModelError(
            f"{directory / REPORT_FILE} cannot be written ({error}); choose another folder"
        ) from error


def report(card: ModelCard, tables: Sequence[Table]) -> str:
    """Return the report as Markdown."""
    lines = [f"# Training report of {card.name}", ""]
    lines += [f"Electrical conductivity: {card.ec_method}.", "", "## Tables", ""]
    lines += ["| table | kind | labelled rows | groups | left out |", "|---|---|---|---|---|"]
    own, earlier = card.data[: len(tables)], card.data[len(tables) :]
    for table, source in zip(tables, own, strict=True):
        left = ", ".join(f"{n} {why}" for why, n in table.dropped.items()) or "none"
        lines.append(f"| {table.name} | {source.kind} | {source.rows} | {source.groups} | {left} |")
    lines += [
        f"| {source.name} | {source.kind} | {source.rows} | {source.groups} | "
        f"{'as validation says' if source.kind == CELLS else 'of the model that was moved'} |"
        for source in earlier
    ]
    lines += [f"\n{warning}" for table in tables for warning in table.warnings]
    lines += ["", "## Scores on held-out groups and regions", ""]
    if blocks := card.training.get("blocks"):
        lines += [f"Sites that are held out together: {blocks}.", ""]
    if card.scores:
        lines += _scores(card.scores)
        lines += _salt(card)
    if not any(score.split == "region" for score in card.scores):
        lines += [
            "",
            "**No score for unseen regions**: the labels come from one region, or the run did not "
            "ask for scores. How the model does elsewhere is not known.",
        ]
    lines += _surfaces(card)
    lines += _gain(card)
    lines += _curve(card)
    lines += _weights(card.training.get("chosen_per_fold", {}))
    lines += ["", "## Chosen on held-out groups", "", "```json"]
    lines += [json.dumps(card.training["chosen"], indent=1), "```", "", "## Limits", ""]
    lines += [f"- {limit}" for limit in card.limits]
    return "\n".join(lines) + "\n"


def _surfaces(card: ModelCard) -> list[str]:
    """Return what the out-of-domain test flags: soils left out, and surfaces of sites left out."""
    shares = card.training.get("surfaces", [])
    if not shares:
        return []
    lines = ["", "## What is flagged as out of domain", "", _FLAGGED, ""]
    lines += ["| surface | spectra | left out | sites | n | flagged |", "|---" * 6 + "|"]
    for score in card.scores:
        share = score.metrics.get("share_out_of_domain")
        if share is not None:
            first = f"| soil of the training's kind | {score.spectra} | {score.split} |  |"
            lines.append(f"{first} {score.n} | {share:.3f} |")
    for row in shares:
        ends = (row.get("flagged_low"), row.get("flagged_high"))
        range_ = "" if None in ends else f" ({ends[0]:.2f} to {ends[1]:.2f})"
        hidden = "mineral" if row["kind"] == "salt" else "site"
        if row["kind"] == "burnt":
            hidden = "all"
        first = f"| {row['kind']} | {row['view']} | {hidden} | {row['sites']} | {row['spectra']} |"
        lines.append(f"{first} {row['flagged']:.3f}{range_} |")
    return lines


def _weights(chosen: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return how much each fold of the evaluation trusted the laboratory."""
    lines = []
    for split, reports in chosen.items():
        weights = [f"{r['laboratory_weight']:g}" for r in reports if "laboratory_weight" in r]
        if weights:
            told = f"Weight of laboratory knowledge in each fold, {split} left out"
            lines += ["", f"{told}: {', '.join(weights)}."]
    return lines


def _gain(card: ModelCard) -> list[str]:
    """Return what the sites gained over the base model, in words."""
    picked = card.training["chosen"].get("picked")
    if picked is None:
        return []
    base = card.training["base"]["name"]
    errors = card.training["chosen"]["compared"].items()
    told = ", ".join(f"{name} {error:.3f}" for name, error in errors)
    lines = [
        "",
        "## What the sites gained",
        "",
        f"Taken: **{picked}** (the model: {base}). Mean squared error of log(EC + 0.03) on "
        f"held-out blocks: {told}. Of those within one standard error of the best, the first "
        f"in this order is taken: it begins with what uses most sources. Fewer than {MIN_BLOCKS} "
        f"blocks only choose whether the model is moved.",
    ]
    for score in card.scores:
        if (lead := score.metrics.get("lead_r2_log1p")) is None:
            continue
        low, high = (score.metrics.get(f"lead_r2_log1p_{end}") for end in ("low", "high"))
        between = "" if low is None else f" (90 % interval over blocks {low:+.2f} to {high:+.2f})"
        lines += [
            "",
            f"On blocks that chose nothing ({score.spectra}, {score.split} left out), the way to "
            f"this model explains {abs(lead):.2f} {'more' if lead >= 0 else 'less'} of the "
            f"variance of log(1 + EC) than {base}{between}.",
        ]
    return lines


def _curve(card: ModelCard) -> list[str]:
    """Return what fewer sites scored, and what is expected of more."""
    curve = card.training.get("learning_curve")
    if curve is None:
        return []
    base = card.training["base"]["name"]
    lines = [
        "",
        "## What more sites would give",
        "",
        "Mean scores of models of so many sites, drawn from these, on blocks that they do not lie "
        "in, without laboratory spectra. What is expected is a - b / sites, in brackets its 80 % "
        "band: sites laid out like these, scored on other blocks of such ground.",
        "",
        f"| sites | | R² log1p | over {base} |",
        "|---|---|---|---|",
    ]
    for sites, score, gain in zip(curve["sites"], curve["r2_log1p"], curve["gain"], strict=True):
        lines.append(f"| {sites:.0f} | scored | {score:.2f} | {gain:+.2f} |")
    for sites, said in curve["foretold"].items():
        score, gain = (said[name] for name in ("r2_log1p", "gain"))
        lines.append(
            f"| {sites} | expected | {score[0]:.2f} ({score[1]:.2f} to {score[2]:.2f}) | "
            f"{gain[0]:+.2f} ({gain[1]:+.2f} to {gain[2]:+.2f}) |"
        )
    return lines


def _salt(card: ModelCard) -> list[str]:
    """Return tables of what intervals hold, and of whether probabilities find salt."""
    own = [score for score in card.scores if "coverage" in score.metrics]
    heads = [name for name, _ in _INTERVALS]
    lines = ["", "## What the intervals hold", "", _RANGES, ""]
    lines += [f"| spectra | left out | n | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
    lines += [
        f"| {score.spectra} | {score.split} | {score.n} | "
        + " | ".join(_ranged(score, key, "") for _, key in _INTERVALS)
        + " |"
        for score in own
    ]
    heads = [name for name, _ in _CHANCES]
    lines += ["", "## Whether probabilities find salt", "", _PROBABILITIES, ""]
    lines += [
        f"| spectra | left out | above, dS/m | share of rows: observed | expected | "
        f"{' | '.join(heads)} |",
        "|---" * (5 + len(heads)) + "|",
    ]
    for score in own:
        for name, known in zip(CHANCE_COLUMNS, card.chances, strict=True):
            shares = [
                score.metrics.get(f"{kind}_share_{name}") for kind in ("observed", "expected")
            ]
            if None in shares:
                continue
            cells = [f"{share:.3f}" for share in shares]
            cells += [
                _ranged(score, f"{key}_{name}", "not reached" if key.endswith("half") else "")
                for _, key in _CHANCES
            ]
            first = f"| {score.spectra} | {score.split} | {known.threshold:g} |"
            lines.append(f"{first} {' | '.join(cells)} |")
    told = [
        f"above {known.threshold:g} dS/m {known.groups} groups"
        + ("" if known.calibrated == "yes" else " (fewer than 20: not calibrated)")
        for known in card.chances
    ]
    return [*lines, "", f"The probabilities of the model itself rest on: {', '.join(told)}."]


def _ranged(score: Score, key: str, missing: str) -> str:
    """Return a score with its interval over groups."""
    value, low, high = (score.metrics.get(f"{key}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return missing
    return f"{value:.2f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")


def _scores(scores: Sequence[Score]) -> list[str]:
    heads = [name for name, _ in _COLUMNS]
    lines = [
        f"| spectra | left out | method | n | {' | '.join(heads)} |",
        "|---" * (4 + len(heads)) + "|",
    ]
    for score in scores:
        values = [
            f"{score.metrics[key]:.2f}" if key in score.metrics else "" for _, key in _COLUMNS
        ]
        first = f"| {score.spectra} | {score.split} | {score.method} | {score.n} |"
        lines.append(f"{first} {' | '.join(values)} |")
    return lines
