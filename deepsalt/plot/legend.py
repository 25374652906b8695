"""The words of a quicklook: legends with shares, heading, and which quantities are shown."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import xarray as xr

from deepsalt.grid import ground_size_m
from deepsalt.grid.georef import grid_of_layers
from deepsalt.plot.map import FAINT, INK, Frame
from deepsalt.plot.picture import (
    MEAN,
    OUTSIDE_COLOR,
    OUTSIDE_KIND,
    REASONS,
    SALT,
    SALTINESS,
    LegendClass,
    Picture,
)
from deepsalt.plot.salt import LIKELY, NO_SIGN, POSSIBLE, UNTOLD, SaltRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {"enmap": "EnMAP", "prisma": "PRISMA", "generic": "other sensor"}
_LINE_IN = 0.2
_SMALL_IN = 0.17
_COLUMN_IN = 2.5
_GAP_IN = 0.4
_ESTIMATED = "share of the estimated area"

UNCLASSED = (
    "No classes of salt are drawn, because no probability of salt of this model is calibrated."
)


def draw_mean_legend(axes: "Axes", picture: Picture, mosaic: xr.Dataset) -> None:
    """Draw the classes of salinity and the reasons for no estimate, with shares and area."""
    counts = MEAN.counted(picture.counts)
    salinity = counts[: len(MEAN.classes)]
    reasons = counts[len(MEAN.classes) : -1]
    estimated = int(salinity.sum())
    measured = int(picture.counts[:OUTSIDE_KIND].sum())
    y = _heading(axes, 0.0, "Electrical conductivity, dS/m", _ESTIMATED)
    for legend_class, count in zip(MEAN.classes, salinity, strict=True):
        y = _entry(axes, 0.0, y, legend_class, count / max(estimated, 1))
    _area(axes, y + 0.06, mosaic, estimated, measured)
    left = _COLUMN_IN + _GAP_IN
    y = _heading(axes, left, "No estimate", "share of the measured area")
    for legend_class, count in zip(REASONS, reasons, strict=True):
        if count:
            y = _entry(axes, left, y, legend_class, count / max(measured, 1))
    _entry(axes, left, y, LegendClass("not measured", OUTSIDE_COLOR), None)


def draw_salt_legend(axes: "Axes", picture: Picture, rule: SaltRule) -> None:
    """Draw the classes of salt with shares, and what each one means."""
    counts = SALTINESS.counted(picture.counts)[: len(SALT)]
    means = salt_meanings(rule)
    y = _heading(axes, 0.0, "Classes of salt", _ESTIMATED)
    for salt, text in means.items():
        share = counts[salt] / max(int(counts.sum()), 1)
        _entry(axes, 0.0, y, SALT[salt], share)
        y = _small(axes, 0.35, y + _LINE_IN, [text]) + 0.07
    _small(axes, 0.0, y + 0.03, salt_notes(rule))


def salt_title(rule: SaltRule) -> str:
    """Return what the classes of salt are about."""
    return f"Salt: is the conductivity above {rule.threshold:g} dS/m?"


def salt_meanings(rule: SaltRule) -> dict[int, str]:
    """Return in words what each class of salt means, the saltiest first."""
    base = f"{100 * min(rule.base_rate, 0.5):.2g} %"
    found = {
        LIKELY: "p is 50 % or more",
        POSSIBLE: f"p is {base} or more, so the spectrum speaks for salt, but below 50 %",
        UNTOLD: f"p is below {base}, but the interval reaches {rule.threshold:g} dS/m; "
        "or the model does not know such soils",
        NO_SIGN: f"p is below {base}, and the interval ends below {rule.threshold:g} dS/m",
    }
    if rule.base_rate >= 0.5:
        del found[POSSIBLE]
    return found


def salt_notes(rule: SaltRule) -> list[str]:
    """Return what a reader of the classes must know beside."""
    return [
        f"p: probability of more than {rule.threshold:g} dS/m. Of the soils that the model learned "
        f"from, {100 * rule.base_rate:.2g} % have more;",
        "where salt is commoner, p is too low. No sign is no proof: a low salt content and halite "
        "hardly show.",
        "Where there is no estimate, colours are those of the mean.",
    ]


def _heading(axes: "Axes", x: float, text: str, detail: str) -> float:
    axes.text(x, 0.05, text, fontsize=9, fontweight="bold", color=INK, va="top")
    return _small(axes, x, 0.05 + _LINE_IN, [detail]) + 0.05


def _small(axes: "Axes", x: float, y: float, lines: Iterable[str]) -> float:
    for line in lines:
        axes.text(x, y, line, fontsize=7.5, color=FAINT, va="top")
        y += _SMALL_IN
    return y


def _entry(
    axes: "Axes", x: float, y: float, legend_class: LegendClass, share: float | None
) -> float:
    from matplotlib.patches import Rectangle

    height = 0.72 * _LINE_IN
    axes.add_patch(
        Rectangle((x, y), 0.27, height, facecolor=legend_class.color, edgecolor="#9a9fa5", lw=0.5)
    )
    text: dict[str, Any] = {"fontsize": 8.5, "color": INK, "va": "center"}
    label = legend_class.label.replace(" - ", " \N{EN DASH} ")
    axes.text(x + 0.35, y + height / 2, label, **text)
    if share is not None:
        axes.text(x + _COLUMN_IN, y + height / 2, _percent(share), ha="right", **text)
    return y + _LINE_IN


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def _area(axes: "Axes", y: float, mosaic: xr.Dataset, estimated: int, measured: int) -> None:
    grid = grid_of_layers(mosaic)
    width_m, height_m = ground_size_m(grid)
    km2 = width_m * height_m / 1e6
    crs = grid.crs if ":" in grid.crs[:8] else "own CRS"
    lines = (
        f"estimated {_km2(estimated * km2)} of {_km2(measured * km2)} measured",
        f"cells {width_m:.0f} \N{MULTIPLICATION SIGN} {height_m:.0f} m on the ground ({crs})",
    )
    _small(axes, 0.0, y, lines)


def _km2(area: float) -> str:
    return f"{area:,.{1 if area < 10 else 0}f} km\N{SUPERSCRIPT TWO}"


def write_captions(
    frame: Frame, mosaic: xr.Dataset, period: int, *, title: str, simulated: bool
) -> None:
    """Write heading, period and scenes above the maps, and the notes at the foot."""
    figure = frame.figure
    width, height = figure.get_size_inches()
    left = frame.left_in / width
    figure.text(left, 1 - 0.2 / height, title, fontsize=15, fontweight="bold", color=INK, va="top")
    figure.text(
        left,
        1 - 0.55 / height,
        _subtitle(mosaic, period, simulated),
        fontsize=9,
        color=FAINT,
        va="top",
    )
    foot = "\n".join(frame.notes)
    figure.text(left, 0.15 / height, foot, fontsize=7.5, color=FAINT, va="bottom", linespacing=1.5)


def _subtitle(mosaic: xr.Dataset, period: int, simulated: bool) -> str:
    parts = ["simulated scenes, not a measurement"] if simulated else []
    if "period_bounds" in mosaic.coords:
        first, last = (str(day)[:10] for day in mosaic["period_bounds"].values[period])
        parts.append(first if first == last else f"{first} to {last}")
    if counts := mosaic.attrs.get("scene_counts"):
        parts.append(f"{counts[period]} scene{'s' if counts[period] != 1 else ''}")
    parts += [", ".join(_LABELS.get(name, name) for name in mosaic.attrs.get("sensors", []))]
    return "  \N{MIDDLE DOT}  ".join(part for part in parts if part)


def quantity(mosaic: xr.Dataset) -> str:
    """Return which quantity the mean is."""
    attrs = mosaic["salinity"].attrs
    named = {"ec_method": "EC method", "depth": "depth", "reference_temperature": "temperature"}
    labels = "; ".join(f"{name}: {attrs[key]}" for key, name in named.items() if key in attrs)
    return (
        "Electrical conductivity of the soil surface, as a model estimates it. "
        f"{f'Its training labels - {labels}. ' if labels else ''}"
        "Class limits of 2 dS/m and above are those of the USDA, which defines them for ECe."
    )
