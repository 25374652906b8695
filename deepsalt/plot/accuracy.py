"""Pictures of a map against field samples: scatter, map of residuals, reliability."""

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepsalt.plot.map import FAINT, INK
from deepsalt.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINT = "#2f7fb8"
_LEAST_DS_M = 0.02
_TICKS_DS_M = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_MOST_FACTOR = 8.0
_BIN_EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
_FEWEST_PER_BIN = 5
_NORMAL_90 = 1.645


def draw_scatter(
    observed: Floats,
    predicted: Floats,
    ends: tuple[Floats, Floats],
    *,
    comparable: bool,
    simulated: bool = False,
) -> bytes:
    """Return a PNG of estimates with their intervals against labels, on logarithmic axes.

    Parameters
    ----------
    observed, predicted
        Labels and estimates, dS/m (c,).
    ends
        Lower and upper ends of the estimates' intervals, dS/m (c,).
    comparable
        Whether both are one quantity: only then there is a line where they are equal.
    simulated
        Whether the map is of simulated scenes, which the title says.
    """
    from matplotlib.ticker import FixedLocator

    figure, axes = _figure(6.2, 5.6)
    shown = [np.maximum(values, _LEAST_DS_M) for values in (observed, predicted, *ends)]
    x, y, lower, upper = shown
    axes.vlines(x, lower, upper, color=FAINT, alpha=0.35, linewidth=1.0, label="90 % interval")
    axes.plot(x, y, "o", color=_POINT, markersize=4.5, markeredgecolor="white", label="cells")
    axes.set_xscale("log")
    axes.set_yscale("log")
    both = np.concatenate([x, y])
    low, high = float(both.min()) / 1.5, float(both.max()) * 1.5
    if comparable:
        axes.plot([low, high], [low, high], color=INK, linewidth=1.0, label="equal")
        axes.set_aspect("equal")
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(_TICKS_DS_M))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda _value, _: "")
    axes.set_xlabel("EC of the samples, dS/m" + ("" if comparable else " (another method)"))
    axes.set_ylabel("EC of the map, dS/m")
    axes.set_title(_titled("Map against samples", simulated), loc="left", color=INK, fontsize=11)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    return _png(figure)


def draw_residuals(
    lon: Floats, lat: Floats, residual: Floats, *, tuned: bool, simulated: bool = False
) -> bytes:
    """Return a PNG of where the map says too much or too little.

    Parameters
    ----------
    lon, lat
        Degrees WGS84 (c,).
    residual
        Logarithm of the estimate over the label (c,).
    tuned
        Whether estimates were recalibrated first, which the title says.
    simulated
        Whether the map is of simulated scenes, which the title says.
    """
    figure, axes = _figure(7.0, 5.4)
    most = float(np.log(_MOST_FACTOR))
    order = np.argsort(np.abs(residual))  # the worst on top
    dots = axes.scatter(
        lon[order],
        lat[order],
        c=np.clip(residual[order], -most, most),
        vmin=-most,
        vmax=most,
        cmap="RdBu_r",
        s=36,
        edgecolors=INK,
        linewidths=0.5,
    )
    factors = np.array([1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0])
    bar = figure.colorbar(dots, ax=axes, shrink=0.85, ticks=np.log(factors))
    bar.ax.set_yticklabels(["1/8 or less", "1/4", "1/2", "equal", "x 2", "x 4", "x 8 or more"])
    bar.set_label("estimate over label")
    what = "Recalibrated map over samples" if tuned else "Map over samples"
    axes.set_title(_titled(what, simulated), loc="left", color=INK, fontsize=11)
    axes.set_xlabel("longitude, degrees")
    axes.set_ylabel("latitude, degrees")
    axes.ticklabel_format(useOffset=False)
    axes.tick_params(axis="x", labelrotation=30)
    axes.margins(0.08)
    shrink = max(float(np.cos(np.radians(lat.mean()))), 0.1)
    axes.set_aspect(1.0 / shrink, adjustable="datalim")
    return _png(figure)


def draw_reliability(
    ec: Floats,
    chances: Mapping[str, Floats],
    thresholds: Mapping[str, float],
    *,
    simulated: bool = False,
) -> bytes | None:
    """Return a PNG of how often cells exceed a threshold by the probability that the map gives.

    Bars are 90 % intervals of a share (Wilson 1927), as if cells were independent. None without
    a bin of enough cells.

    Parameters
    ----------
    ec
        Labels, dS/m (c,).
    chances
        Probabilities by layer (c,).
    thresholds
        dS/m, by layer.
    simulated
        Whether the map is of simulated scenes, which the title says.
    """
    binned = {name: _bins(ec > thresholds[name], chance) for name, chance in chances.items()}
    binned = {name: bins for name, bins in binned.items() if len(bins)}
    if not binned:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.0 * len(binned), 3.5), layout="constrained", facecolor="white")
    every = figure.subplots(1, len(binned), squeeze=False, sharey=True)[0]
    for axes, (name, bins) in zip(every, binned.items(), strict=True):
        _style(axes)
        chance, observed, low, high, count = bins.T
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0)
        errors = np.stack([observed - low, high - observed])
        axes.errorbar(chance, observed, errors, fmt="o", color=_POINT, ecolor=FAINT, capsize=2)
        for x, y, n in zip(chance, high, count, strict=True):
            axes.annotate(
                f"{n:.0f}", (x, y), (0, 6), textcoords="offset points", ha="center", fontsize=7
            )
        axes.set_title(f"above {thresholds[name]:g} dS/m", color=INK, fontsize=9)
        axes.set_xlabel("probability of the map", fontsize=8)
        axes.set_xlim(-0.04, 1.04)
        axes.set_ylim(-0.04, 1.14)
    every[0].set_ylabel("share of the cells", fontsize=8)
    figure.suptitle(
        _titled("Reliability; numbers are cells", simulated), x=0.01, ha="left", fontsize=11
    )
    return _png(figure)


def _bins(above: NDArray[np.bool_], chance: Floats) -> Floats:
    """Return mean probability, share above, its Wilson interval and cells per bin (b, 5)."""
    rows = []
    place = np.clip(np.searchsorted(_BIN_EDGES, chance, side="right") - 1, 0, len(_BIN_EDGES) - 2)
    for each in range(len(_BIN_EDGES) - 1):
        own = place == each
        count = int(own.sum())
        if count < _FEWEST_PER_BIN:
            continue
        found, square = float(above[own].mean()), _NORMAL_90**2 / count
        middle = (found + square / 2) / (1 + square)
        reach = np.sqrt(square * (found * (1 - found) + square / 4)) / (1 + square)
        low, high = min(middle - reach, found), max(middle + reach, found)
        rows.append((float(chance[own].mean()), found, low, high, float(count)))
    return np.array(rows).reshape(-1, 5)


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _style(axes)
    return figure, axes


def _style(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color="#e6e8eb", linewidth=0.6)
    axes.set_axisbelow(True)


def _titled(text: str, simulated: bool) -> str:
    return f"{text} (SIMULATED)" if simulated else text


def _png(figure: "Figure") -> bytes:
    png = BytesIO()
    figure.savefig(png, format="png", dpi=120, metadata={"Software": "deepsalt"})
    return png.getvalue()
