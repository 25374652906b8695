"""The report of a validation: one HTML file that asks for nothing else."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from deepsalt import __version__
from deepsalt.accuracy.assess import Accuracy
from deepsalt.plot.accuracy import draw_reliability, draw_residuals, draw_scatter

MEANINGS: Mapping[str, tuple[str, str]] = {
    "spearman": ("Spearman's correlation", "1: the map ranks the cells as the samples do"),
    "average_precision_top_fifth": (
        "saltiest fifth found",
        "average precision of the map's ranks; 0.2 by chance",
    ),
    "r2_recalibrated": ("R² recalibrated", "on log(EC + 0.03), after a line that other blocks fit"),
    "rmse_log_recalibrated": ("RMSE recalibrated", "of log(EC + 0.03), after that line"),
    "r2_log1p": ("R²", "on log(1 + EC); 0: as good as the mean of the samples"),
    "r2_log1p_without_label_error": ("R² without label error", "on log(1 + EC)"),
    "rmse_log1p": ("RMSE", "of log(1 + EC)"),
    "rmse_log1p_without_label_error": ("RMSE without label error", "of log(1 + EC)"),
    "bias_log1p": ("bias", "of log(1 + EC); above 0: the map says too much"),
    "rmse_dsm": ("RMSE, dS/m", "a few salty cells rule it, so it has no interval"),
    "bias_dsm": ("bias, dS/m", "a few salty cells rule it, so it has no interval"),
    "coverage": ("coverage", "share of labels in the map's interval, which is to hold 0.9"),
    "coverage_with_label_error": (
        "coverage with label error",
        "of intervals that allow for the labels' own error",
    ),
    "coverage_above_1_dsm": ("coverage above 1 dS/m", ""),
    "coverage_above_2_dsm": ("coverage above 2 dS/m", ""),
    "share_without_salt_whose_interval_reaches_2_dsm": (
        "reaching 2 dS/m without salt",
        "share of cells below 0.5 dS/m whose interval reaches 2 dS/m",
    ),
    "winkler_log1p": ("interval score", "of log(1 + EC); lower is better"),
    "median_width_dsm": ("median width, dS/m", "of the map's intervals"),
}
"""Name and meaning of scores, in the order of the report."""

_CHANCE = {
    "brier_skill": ("Brier skill", "0: as good as one probability for all cells"),
    "average_precision": ("average precision", "by chance: the observed share"),
    "expected_share": ("expected share", "mean probability of the map"),
    "observed_share": ("observed share", "of cells above it"),
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #22262b; max-width: 58rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: 0.5rem 0; }
th, td { text-align: left; padding: 0.2rem 1rem 0.2rem 0; border-bottom: 1px solid #e6e8eb;
  vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.meaning, p.faint { color: #6a7178; font-size: 0.9rem; }
img { max-width: 100%; }
.simulated { background: #fff3cd; padding: 0.4rem 0.8rem; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def named(name: str) -> tuple[str, str]:
    """Return the words and the meaning of a score."""
    if name in MEANINGS:
        return MEANINGS[name]
    score, _, threshold = name.partition("_p_above_")
    words, meaning = _CHANCE.get(score, (name, ""))
    return f"{words}, above {threshold} dS/m", meaning


def in_order(scores: Mapping[str, float]) -> list[str]:
    """Return the names of scores, without the ends of their intervals, as a report lists them."""
    own = [name for name in scores if not name.endswith(("_low", "_high"))]
    known = list(MEANINGS)
    return sorted(own, key=lambda name: known.index(name) if name in known else len(known))


def with_interval(scores: Mapping[str, float], name: str) -> tuple[str, str]:
    """Return a score and its interval as text; the latter is empty if there is none."""
    ends = [scores.get(f"{name}_{end}") for end in ("low", "high")]
    shown = "" if None in ends else f"{ends[0]:.2f} to {ends[1]:.2f}"
    return f"{scores[name]:.2f}", shown


def cells_table(found: Accuracy) -> pd.DataFrame:
    """Return a row per cell."""
    cells = found.matched.cells
    table = {
        "samples": cells.names,
        "count": cells.samples,
        "lon": cells.lon.round(7),
        "lat": cells.lat.round(7),
        "block": found.block.name,
        "ec_ds_m": cells.ec.round(6),
        "label_sd_log": cells.label_sd.round(6),
        "salinity": cells.estimate.round(6),
        "salinity_lower": cells.lower.round(6),
        "salinity_upper": cells.upper.round(6),
        **{name: chance.round(4) for name, chance in cells.chances.items()},
        "quality_flags": cells.flags,
    }
    if found.residual is not None:
        table["log_residual"] = found.residual.round(6)
    return pd.DataFrame(table)


def pictures(found: Accuracy) -> dict[str, bytes]:
    """Return the pictures of a report as PNG, by their caption."""
    cells = found.matched.cells
    drawn: dict[str, bytes | None] = {
        "Each cell once: its label and the map's estimate with its 90 % interval.": draw_scatter(
            cells.ec,
            cells.estimate,
            (cells.lower, cells.upper),
            comparable=found.comparable,
            simulated=found.simulated,
        )
    }
    if found.residual is not None:
        drawn["Where the map says too much (red) and too little (blue)."] = draw_residuals(
            cells.lon,
            cells.lat,
            found.residual,
            tuned=not found.comparable,
            simulated=found.simulated,
        )
    if found.comparable and cells.chances:
        drawn[
            "Reliability: of cells to which the map gives a probability, the share that exceeds "
            "the threshold. On the line the map is right. Bars are 90 % intervals of independent "
            "cells."
        ] = draw_reliability(cells.ec, cells.chances, found.thresholds, simulated=found.simulated)
    return {caption: png for caption, png in drawn.items() if png is not None}


def html(found: Accuracy) -> str:
    """Return the report; it loads nothing from anywhere."""
    matched = found.matched
    title = "Map against field samples" + (" (SIMULATED)" if found.simulated else "")
    parts = [f"<h1>{title}</h1>"]
    if found.simulated:
        parts.append(
            '<p class="simulated">The scenes are SIMULATED: this shows that the way works, not how '
            "good a map is.</p>"
        )
    parts.append(
        f"<p>{matched.matched} of {matched.samples} samples in {len(matched.cells)} cells, "
        f"{_blocks(found.block.count)}.</p>"
    )
    parts.append(_list(found.notes))
    parts += ["<h2>Scores</h2>", _scores(found.scores), f'<p class="faint">{_how(found)}</p>']
    for caption, png in pictures(found).items():
        data = b64encode(png).decode()
        text = escape(caption)
        parts.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
            f"<figcaption>{text}</figcaption></figure>"
        )
    if found.classes:
        parts += ["<h2>By class of the label</h2>", _classes(found)]
    if found.support:
        parts += ["<h2>Support</h2>", _support(found)]
    parts += ["<h2>Samples without a cell</h2>", _unmatched(matched.unmatched)]
    facts = [(name.replace("_", " "), _text(value)) for name, value in found.facts.items()]
    parts += ["<h2>The map</h2>", _table((), [(key, value) for key, value in facts])]
    parts.append(f'<p class="faint">deepsalt {escape(__version__)}</p>')
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count} blocks"


def _how(found: Accuracy) -> str:
    said = escape(found.block.sentence)
    return (
        f"Intervals hold 90 %: blocks are drawn with replacement 1,000 times ({said}), with ends "
        f"moved out as Student's distribution is wider than the normal one. They hold for the "
        f"ground that the samples were taken from, not for ground elsewhere."
    )


def _scores(scores: Mapping[str, float]) -> str:
    rows = []
    for name in in_order(scores):
        words, meaning = named(name)
        value, ends = with_interval(scores, name)
        rows.append((words, _number(value), _number(ends or "-"), _faint(meaning)))
    return _table(("score", "value", "90 % interval", "meaning"), rows)


def _classes(found: Accuracy) -> str:
    rows = []
    for each in found.classes:
        cells = [_number(str(each.cells))]
        for name in ("coverage", "bias_log1p"):
            value, ends = with_interval(each.scores, name)
            cells += [_number(value), _number(ends or "-")]
        rows.append((each.name, *cells))
    head = (
        "EC, dS/m",
        "cells",
        "coverage",
        "90 % interval",
        "bias of log(1 + EC)",
        "90 % interval",
    )
    return _table(head, rows)


def _support(found: Accuracy) -> str:
    support = found.support
    if support is None or "support_share" not in support.scores:
        return f"<p>Share of the residuals due to support: {escape(_sentence(found))}.</p>"
    value, ends = with_interval(support.scores, "support_share")
    interval = f" (90 %: {ends})" if ends else ""
    return (
        f"<p>Of the squared residuals of log(EC + 0.03), {value}{interval} is what samples within "
        f"a cell differ among themselves, {escape(support.sentence)}; no map of cells can explain "
        f"that.</p>"
    )


def _sentence(found: Accuracy) -> str:
    return found.support.sentence if found.support else ""


def _unmatched(unmatched: Mapping[str, int]) -> str:
    if not unmatched:
        return "<p>None.</p>"
    return _table(("reason", "samples"), [(why, _number(str(n))) for why, n in unmatched.items()])


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _number(text: str) -> _Html:
    return _Html(f'<td class="number">{escape(text)}</td>')


def _faint(text: str) -> _Html:
    return _Html(f'<td class="meaning">{escape(text)}</td>')


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = [f"<tr>{top}</tr>"] if head else []
    for row in rows:
        cells = (c if isinstance(c, _Html) else f"<td>{escape(c)}</td>" for c in row)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
