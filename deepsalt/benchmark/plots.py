"""Plots of a benchmark: scatter, coverage, learning curve, errors by region."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsalt.benchmark.cells import KNOWN, UNSEEN, SplitAnswers
from deepsalt.benchmark.rows import CEILING, FULL, PLS, PUBLISHED, SATELLITE_ONLY, SHIPPED
from deepsalt.documents import replacing
from deepsalt.objects.disk import storing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[dict[str, Any]]

INK = "#22262b"
FAINT = "#6a7178"
COLORS = {
    "mean": "#b8bdc4",
    PLS: "#d98a00",
    "kernel ridge": "#8c6bb1",
    SATELLITE_ONLY: "#2f7fb8",
    "+ laboratory": "#5fb39a",
    FULL: "#0b6e4f",
    SHIPPED: "#0b6e4f",
    PUBLISHED: "#c2453f",
    CEILING: "#22262b",
}
TICKS_DS_M = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
WANTED_COVERAGE = (0.85, 0.95)
_COUNTRIES = 20  # with the most samples


def draw_all(report: dict[str, Any], blocks: Sequence[SplitAnswers], folder: Path) -> list[Path]:
    """Draw all plots of a benchmark and return their files.

    Parameters
    ----------
    report
        As in `benchmark.json`.
    blocks
        Observations and answers.
    folder
        Where to write.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    drawn: dict[str, Callable[[], Figure | None]] = {
        "scatter.png": lambda: scatter(blocks),
        "coverage.png": lambda: coverage(report["scores"]),
        "learning_curve.png": lambda: learning_curve(report["scores"]),
        "regions.png": lambda: regions(blocks),
    }
    paths = []
    for name, draw in drawn.items():
        figure = draw()
        if figure is None:
            continue
        path = folder / name
        with storing(path), replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110, facecolor="white")
        paths.append(path)
    return paths


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color="#e6e8eb", linewidth=0.6)
    axes.set_axisbelow(True)


def scatter(blocks: Sequence[SplitAnswers]) -> "Figure | None":
    """Draw predicted against observed conductivity with the 1:1 line; None without blocks."""
    lines = [line for line in _scattered(blocks) if line]
    if not lines:
        return None
    columns = max(len(line) for line in lines)
    figure = _figure(3.1 * columns, 3.3 * len(lines))
    for number, line in enumerate(lines):
        for column, block in enumerate(line):
            axes = figure.add_subplot(len(lines), columns, number * columns + column + 1)
            _scatter(axes, block)
    figure.suptitle(
        "Held-out predictions against observations; axes in dS/m, spaced as log(1 + EC)",
        fontsize=11,
        color=INK,
    )
    return figure


def _scattered(blocks: Sequence[SplitAnswers]) -> list[list[SplitAnswers]]:
    """Return the blocks of each line of panels."""
    views = list(dict.fromkeys(b.view for b in blocks if b.part == "real"))
    noisy = [view for view in views if view.endswith("with noise")][:1]
    splits = dict.fromkeys(b.split for b in blocks if b.part == "real")
    lines = [
        [
            b
            for view in [*views[:1], *noisy]
            for row in (PLS, SHIPPED)
            for b in blocks
            if (b.split, b.view, b.row) == (split, view, row)
        ]
        for split in splits
    ]
    size = _middle_size(blocks)
    wanted = (SATELLITE_ONLY, FULL, PUBLISHED, CEILING)
    lines.append(
        [b for row in wanted for b in blocks if (b.split, b.size, b.row) == (UNSEEN, size, row)]
    )
    return lines


def _middle_size(blocks: Sequence[SplitAnswers]) -> int:
    """Return the number of sites nearest to 100: the normal case."""
    sizes = {b.size for b in blocks if b.part == "simulated"}
    return min(sizes, key=lambda size: abs(size - 100), default=0)


def _scatter(axes: "Axes", block: SplitAnswers) -> None:
    seen = np.log1p(block.observed)
    said = np.log1p(block.answer["ec"])
    top = 1.05 * max(seen.max(), said.max())
    axes.plot([0, top], [0, top], color=FAINT, linewidth=1, zorder=3)
    axes.scatter(seen, said, s=6, alpha=0.35, color=COLORS.get(block.row, INK), linewidths=0)
    _plain(axes)
    ticks = [tick for tick in TICKS_DS_M if np.log1p(tick) <= top]
    axes.set_xticks(np.log1p(ticks), [f"{t:g}" for t in ticks])
    axes.set_yticks(np.log1p(ticks), [f"{t:g}" for t in ticks])
    axes.set(xlim=(-0.02 * top, top), ylim=(-0.02 * top, top), aspect="equal")
    label = "SIMULATED " if block.part == "simulated" else ""
    axes.set_xlabel(f"{label}observed EC, dS/m", fontsize=8, color=INK)
    axes.set_ylabel(f"{label}predicted, dS/m", fontsize=8, color=INK)
    score = 1 - ((seen - said) ** 2).sum() / ((seen - seen.mean()) ** 2).sum()
    seen_by = "as measured" if block.view == "laboratory" else f"through {block.view}"
    where = f"{block.size} sites" if block.size else seen_by
    name = block.row.removesuffix(" (deepsalt-2025)")
    axes.set_title(f"{name}, R² {score:.2f}\n{label}{block.split}, {where}", fontsize=8, color=INK)


def coverage(records: Records) -> "Figure | None":
    """Draw the coverage of 90 % intervals, overall and above 1 dS/m; None without intervals."""
    size = min(
        {r["sites"] for r in records if r["part"] == "simulated"},
        key=lambda n: abs(n - 100),
        default=0,
    )
    chosen = [
        r
        for r in records
        if r["row"] in (SHIPPED, FULL) and "coverage" in r["metrics"] and r["sites"] in (0, size)
    ]
    if not chosen:
        return None
    figure = _figure(8.5, 1.6 + 0.42 * len(chosen))
    axes = figure.add_subplot()
    axes.axvspan(*WANTED_COVERAGE, color="#dfeee8", zorder=0)
    axes.axvline(0.9, color=FAINT, linewidth=1)
    places = np.arange(len(chosen))[::-1]
    for shift, name, color, label in (
        (0.19, "coverage", "#0b6e4f", "all"),
        (-0.19, "coverage_above_1_dsm", "#d98a00", "EC > 1 dS/m"),
    ):
        values = [r["metrics"].get(name) or 0.0 for r in chosen]
        axes.barh(places + shift, values, 0.36, color=color, label=label)
        for place, value in zip(places, values, strict=True):
            axes.text(value + 0.005, place + shift, f"{value:.2f}", va="center", fontsize=7)
    _plain(axes)
    axes.set_yticks(places, [_label(r) for r in chosen], fontsize=8)
    axes.set_xlim(0, 1.05)
    axes.set_xlabel(
        "share of held-out labels within the 90 % interval (shaded: 0.85 to 0.95)", fontsize=9
    )
    figure.legend(loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    return figure


def _label(record: dict[str, Any]) -> str:
    if record["part"] == "simulated":
        return f"SIMULATED {record['split']}, {record['sites']} sites"
    view = record["spectra"]
    seen_by = "as measured" if view == "laboratory" else f"through {view}"
    return f"real, {record['split']}, {seen_by}"


def learning_curve(records: Records) -> "Figure | None":
    """Draw R² over the number of satellite sites; None without the simulated part."""
    simulated = [r for r in records if r["part"] == "simulated"]
    if not simulated:
        return None
    figure = _figure(10.5, 4.6)
    left: Axes | None = None
    for number, split in enumerate((UNSEEN, KNOWN)):
        axes = figure.add_subplot(1, 2, number + 1, sharey=left)
        left = left or axes
        for row, color in COLORS.items():
            mine = sorted(
                (r for r in simulated if (r["split"], r["row"]) == (split, row)),
                key=lambda r: r["sites"],
            )
            if mine:
                _curve(axes, mine, row, color)
        _plain(axes)
        sizes = sorted({r["sites"] for r in simulated})
        axes.set_xscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_xlim(0.8 * sizes[0], 1.25 * sizes[-1])
        axes.set_ylim(_bottom(simulated), 1.0)
        axes.set_xlabel("SIMULATED satellite sites trained on", fontsize=9)
        axes.set_title(f"SIMULATED {split}", fontsize=10, color=INK)
    if left is not None:
        left.set_ylabel("R² of log(1 + EC) on held-out sites, SIMULATED", fontsize=9)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False
        )
    return figure


def _bottom(records: Records) -> float:
    """Return where the R² axis starts: below all that is drawn, but not for one hopeless row."""
    values = [float(r["metrics"]["r2_log1p"]) for r in records if r["row"] in COLORS]
    return max(-1.0, min(values) - 0.05)


def _curve(axes: "Axes", records: Records, row: str, color: str) -> None:
    sizes = [r["sites"] for r in records]
    dashed = "--" if row == CEILING else "-"
    axes.plot(
        sizes,
        [r["metrics"]["r2_log1p"] for r in records],
        dashed,
        color=color,
        marker="o",
        markersize=4,
        label=row,
    )
    if row in (FULL, SATELLITE_ONLY):
        low, high = ([r["r2_log1p_90"][side] for r in records] for side in ("low", "high"))
        axes.fill_between(sizes, low, high, color=color, alpha=0.12, linewidth=0)


def regions(blocks: Sequence[SplitAnswers]) -> "Figure | None":
    """Draw errors by country, and by simulated region that was never seen; None without either."""
    parts = [part for part in (_countries(blocks), _unseen(blocks)) if part]
    if not parts:
        return None
    figure = _figure(11, 4.3 * len(parts))
    for number, part in enumerate(parts):
        _bars(figure.add_subplot(len(parts), 1, number + 1), part)
    return figure


def _countries(blocks: Sequence[SplitAnswers]) -> list[SplitAnswers]:
    wanted = (PLS, "kernel ridge", SHIPPED)
    place = ("unseen countries", "laboratory")
    return [b for row in wanted for b in blocks if (b.split, b.view, b.row) == (*place, row)]


def _unseen(blocks: Sequence[SplitAnswers]) -> list[SplitAnswers]:
    size = _middle_size(blocks)
    wanted = (SATELLITE_ONLY, FULL, PUBLISHED, CEILING)
    return [b for row in wanted for b in blocks if (b.split, b.size, b.row) == (UNSEEN, size, row)]


def _bars(axes: "Axes", blocks: Sequence[SplitAnswers]) -> None:
    simulated = blocks[0].part == "simulated"
    group = blocks[0].group
    names, counts = np.unique(group, return_counts=True)
    if simulated:
        names = names[np.char.startswith(names, "seed 0,")]
    else:
        names = names[np.argsort(-counts, kind="stable")[:_COUNTRIES]]
    width = 0.8 / len(blocks)
    for number, block in enumerate(blocks):
        error = (np.log1p(block.answer["ec"]) - np.log1p(block.observed)) ** 2
        values = [np.sqrt(error[group == name].mean()) for name in names]
        place = np.arange(len(names)) + (number - (len(blocks) - 1) / 2) * width
        axes.bar(place, values, width, color=COLORS.get(block.row, INK), label=block.row)
    _plain(axes)
    labels = [
        name.split("region-")[-1] if simulated else f"{name} ({(group == name).sum()})"
        for name in names.tolist()
    ]
    axes.set_xticks(np.arange(len(names)), labels, rotation=0 if simulated else 40, fontsize=8)
    if not simulated:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.set_xlabel("SIMULATED region" if simulated else "country (samples)", fontsize=9)
    axes.set_ylabel(f"{'SIMULATED, ' if simulated else ''}RMSE of log(1 + EC)", fontsize=9)
    title = (
        f"SIMULATED regions without a training site, {blocks[0].size} sites elsewhere, seed 0"
        if simulated
        else f"Real spectra as measured, countries left out (the {len(names)} with most samples)"
    )
    axes.set_title(title, fontsize=10, color=INK)
    axes.legend(fontsize=8, frameon=False, ncols=4)
