"""Scores of the benchmark's blocks, and the tables they are read in."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.benchmark.cells import KNOWN, UNSEEN, SplitAnswers
from deepsalt.benchmark.metrics import (
    bootstrap_r2,
    class_scores,
    constant_interval,
    line_scores,
    saline_recall,
    within_groups,
)
from deepsalt.benchmark.rows import PLS
from deepsalt.train.metrics import interval_scores, r2, scores, winkler
from deepsalt.types import Floats, QualityFlag

Record = dict[str, Any]

_DIGITS = 4


def score_all(
    blocks: Sequence[SplitAnswers], satellite_only: Iterable[str], draws: int
) -> list[Record]:
    """Return one record per block, each with its lead over the row it has to beat.

    On real spectra that is PLS; on simulated sites the best of the satellite-only rows on the very
    rows that are scored, so that the choice favours the rival.

    Parameters
    ----------
    blocks
        All of them.
    satellite_only
        Names of the rows that never saw a laboratory.
    draws
        Of the bootstrap.
    """
    alone = set(satellite_only)
    found = []
    for block in blocks:
        rivals = [b for b in blocks if _same_place(b, block)]
        if block.part == "real":
            rivals = [b for b in rivals if b.row == PLS]
        else:
            rivals = [b for b in rivals if b.row in alone]
        rival = max(rivals, key=lambda b: r2(np.log1p(b.observed), np.log1p(b.answer["ec"])))
        found.append(score(block, rival, draws))
    return found


def _same_place(a: SplitAnswers, b: SplitAnswers) -> bool:
    return (a.part, a.split, a.view, a.size) == (b.part, b.split, b.view, b.size)


def score(block: SplitAnswers, rival: SplitAnswers, draws: int) -> Record:
    """Return all scores of one block."""
    observed = block.observed
    predicted = block.answer["ec"]
    seen = np.log1p(observed)
    said = np.log1p(predicted)
    metrics = scores(observed, predicted, block.group)
    metrics |= line_scores(seen, said, "log1p") | line_scores(observed, predicted, "dsm")
    metrics["recall_above_2_dsm"] = saline_recall(observed, predicted)
    metrics["r2_log1p_within_groups"] = within_groups(seen, said, block.group)
    by_fold = [
        r2(seen[rows], said[rows]) for rows in (block.fold == i for i in np.unique(block.fold))
    ]
    metrics["r2_log1p_fold_mean"] = float(np.mean(by_fold))
    metrics["r2_log1p_fold_sd"] = float(np.std(by_fold))
    metrics |= _intervals(block)
    own = bootstrap_r2(seen, said, block.group, draws=draws)
    other = np.log1p(rival.answer["ec"])
    lead = bootstrap_r2(seen, said, block.group, rival=other, draws=draws)
    record: Record = {
        "part": block.part,
        "split": block.split,
        "spectra": block.view,
        "sites": block.size,
        "row": block.row,
        "n": int(observed.size),
        "groups": int(np.unique(block.group).size),
        "metrics": _rounded(metrics),
        "r2_log1p_90": _rounded({"low": own.low, "high": own.high}),
        "lead": {
            "over": rival.row,
            **_rounded({"value": lead.value, "low": lead.low, "high": lead.high}),
        },
        "classes": {k: _rounded(v) for k, v in class_scores(observed, predicted).items()},
    }
    if "laboratory_weight" in block.answer:
        record["laboratory_weight"] = np.round(block.answer["laboratory_weight"], 3).tolist()
    return record


def _intervals(block: SplitAnswers) -> dict[str, float]:
    answer = block.answer
    observed = block.observed
    if "lower" not in answer:
        return {}
    seen = np.log1p(observed)
    said = np.log1p(answer["ec"])
    lower, upper = np.log1p(answer["lower"]), np.log1p(answer["upper"])
    found = interval_scores(observed, answer["lower"], answer["upper"])
    found["interval_score_log1p"] = winkler(seen, lower, upper)
    found["interval_score_log1p_constant"] = _constant(seen, said, block.fold)
    flags = answer["flags"].astype(np.int64)
    found["share_out_of_domain"] = float(((flags & int(QualityFlag.OUT_OF_DOMAIN)) > 0).mean())
    return found


def _constant(seen: Floats, said: Floats, fold: NDArray[np.intp]) -> float:
    """Return the score of one width for all, from the held-out residuals of the other folds."""
    lower, upper = said.copy(), said.copy()
    for i in np.unique(fold):
        inside = fold == i
        others = (seen - said)[~inside]
        if not others.size:
            return float("nan")
        low, high = constant_interval(others)
        lower[inside] = np.maximum(lower[inside] + low, 0.0)
        upper[inside] = np.maximum(upper[inside] + high, 0.0)
    return winkler(seen, lower, upper)


def _rounded(values: dict[str, float]) -> dict[str, float | None]:
    return {k: round(v, _DIGITS) if np.isfinite(v) else None for k, v in values.items()}


Column = tuple[str, Callable[[Record], str]]


def markdown(report: Record) -> str:
    """Return the report as readable tables."""
    records: list[Record] = report["scores"]
    lines = [
        "# Benchmark of deepsalt",
        "",
        f"Made by `{report['command']}` with deepsalt {report['version']}"
        f"{' (QUICK: small samples and budgets, numbers mean little)' if report['quick'] else ''}.",
        "",
        "Part 1 is REAL: laboratory spectra of soils, seen as measured and through the bands of "
        "satellites, whose noise is simulated. Part 2 is SIMULATED from ground to label: it shows "
        "what the method does under known assumptions, not how well it maps. Every fit sees "
        "training groups only. R² are of log(1 + EC) unless said otherwise; [ ] are 90 % intervals "
        "from resampling whole groups; the lead is over the row named. The constant interval is "
        "taken from the held-out answers of all other folds (for SIMULATED sites, of other worlds, "
        "which no model of one world knows).",
        "",
        "## Part 1: real laboratory spectra",
        "",
    ]
    real = [r for r in records if r["part"] == "real"]
    for split, view in dict.fromkeys((r["split"], r["spectra"]) for r in real):
        chosen = [r for r in real if (r["split"], r["spectra"]) == (split, view)]
        lines += _section(f"{split}, {_as_seen(view)}", chosen)
    lines += ["## Part 2: SIMULATED pairs", ""]
    for split in (UNSEEN, KNOWN):
        chosen = [r for r in records if r["split"] == split]
        lines += _curve(split, chosen)
        for size in sorted({r["sites"] for r in chosen}):
            sized = [r for r in chosen if r["sites"] == size]
            lines += _section(f"SIMULATED {split}, {size} sites", sized)
    lines += _speed(report["speed"])
    for part, rows in report["rows"].items():
        shown = "SIMULATED part" if part == "simulated" else "real part"
        lines += [f"## Rows of the {shown}", ""]
        lines += [*(f"- **{name}**: {about}" for name, about in rows.items()), ""]
    lines += ["## Data", "", *(f"- {k}: `{v[:16]}`" for k, v in report["data"].items()), ""]
    return "\n".join(lines)


def _as_seen(view: str) -> str:
    return "as measured" if view == "laboratory" else f"through {view}"


def _section(title: str, records: Sequence[Record]) -> list[str]:
    return [f"### {title}", "", *_table(records, _POINT), "", *_more(records)]


def _more(records: Sequence[Record]) -> list[str]:
    found = []
    with_interval = [r for r in records if "coverage" in r["metrics"]]
    if with_interval:
        found += [*_table(with_interval, _INTERVAL), ""]
    classes = list(dict.fromkeys(name for r in records for name in r["classes"]))
    columns: list[Column] = [("row", lambda r: r["row"])]
    for name in classes:
        n = next(int(r["classes"][name]["n"]) for r in records if name in r["classes"])
        columns.append((f"{name} (n = {n})", lambda r, name=name: _class(r, name)))  # type: ignore[misc]
    if classes:
        found += ["Bias / RMSE of log(1 + EC) by class of observed salinity:", ""]
        found += [*_table(records, columns), ""]
    return found


def _class(record: Record, name: str) -> str:
    entry = record["classes"].get(name)
    return f"{entry['bias_log1p']:+.2f} / {entry['rmse_log1p']:.2f}" if entry else ""


def _table(records: Sequence[Record], columns: Sequence[Column]) -> list[str]:
    head = "| " + " | ".join(name for name, _ in columns) + " |"
    rule = "|---" + "|---:" * (len(columns) - 1) + "|"
    body = ["| " + " | ".join(show(r) for _, show in columns) + " |" for r in records]
    return [head, rule, *body]


def _number(name: str, digits: int = 2) -> Callable[[Record], str]:
    def show(record: Record) -> str:
        value = record["metrics"].get(name)
        return "" if value is None else f"{value:.{digits}f}"

    return show


def _range(record: Record) -> str:
    value = record["metrics"]["r2_log1p"]
    around = record["r2_log1p_90"]
    return f"{_two(value)} [{_two(around['low'])}, {_two(around['high'])}]"


def _lead(record: Record) -> str:
    lead = record["lead"]
    if lead["over"] == record["row"]:
        return "(the rival)"
    return f"{_two(lead['value'], '+')} [{_two(lead['low'], '+')}, {_two(lead['high'], '+')}]"


def _two(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.2f}"


def _weights(record: Record) -> str:
    known = record.get("laboratory_weight")
    return "" if not known else ", ".join(f"{value:g}" for value in known)


_POINT: list[Column] = [
    ("row", lambda r: r["row"]),
    ("R²", _range),
    ("lead", _lead),
    ("R² log(EC+0.03)", _number("r2_log_ec_plus_0.03")),
    ("R² without 5 groups", _number("r2_log1p_without_5_most_influential_groups")),
    ("R² within groups", _number("r2_log1p_within_groups")),
    ("RMSE", _number("rmse_log1p", 3)),
    ("MAE", _number("mae_log1p", 3)),
    ("bias", _number("bias_log1p", 3)),
    ("CCC", _number("ccc_log1p")),
    ("RPIQ", _number("rpiq_log1p")),
    ("slope", _number("slope_log1p")),
    ("spread", _number("spread_log1p")),
    ("R² dS/m", _number("r2_dsm")),
    ("RMSE dS/m", _number("rmse_dsm")),
    ("recall > 2 dS/m", _number("recall_above_2_dsm")),
    ("weight b", _weights),
]

_BFLOAT16_PAYS = 1.5

_INTERVAL: list[Column] = [
    ("row", lambda r: r["row"]),
    ("coverage of 90 %", _number("coverage")),
    ("coverage, EC > 1", _number("coverage_above_1_dsm")),
    ("median width, dS/m", _number("median_width_dsm")),
    ("interval score", _number("interval_score_log1p", 3)),
    ("of a constant interval", _number("interval_score_log1p_constant", 3)),
    ("out of domain", _number("share_out_of_domain", 3)),
]


def _curve(split: str, records: Sequence[Record]) -> list[str]:
    sizes = sorted({r["sites"] for r in records})
    by_row: dict[str, dict[int, Record]] = {}
    for record in records:
        by_row.setdefault(record["row"], {})[record["sites"]] = record
    lines = [f"### SIMULATED {split}: learning curve (R²; lead over the best satellite-only)", ""]
    lines += ["| row | " + " | ".join(f"{size} sites" for size in sizes) + " |"]
    lines += ["|---" + "|---:" * len(sizes) + "|"]
    for row, by_size in by_row.items():
        cells = [
            f"{_two(by_size[s]['metrics']['r2_log1p'])}; {_lead(by_size[s])}"
            if s in by_size
            else ""
            for s in sizes
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _speed(speed: Record) -> list[str]:
    lines = ["## Speed of one thread", "", "| student | pixels/s | over the published |"]
    lines += ["|---|---:|---:|"]
    base = speed["published, float32"]["pixels_per_s"]
    for name, entry in speed.items():
        rate = entry["pixels_per_s"]
        lines.append(f"| {name} | {rate:,.0f} | {rate / base:.1f} |")
    gain = speed["ours, float32"]["gain_of_bfloat16_products"]
    # Products are a part of the time only, and inputs and answers would have to be converted.
    verdict = "could gain" if gain > _BFLOAT16_PAYS else "does not gain"
    return [
        *lines,
        "",
        f"{speed['ours, float32']['bands']:.0f} bands, "
        f"{speed['ours, float32']['macs_per_pixel']:,.0f} multiplications per pixel. This "
        f"processor {verdict} from bfloat16: the largest product runs at {gain:.2f} times float32.",
        "",
    ]
