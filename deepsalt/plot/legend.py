"""The words of a quicklook: legend with shares, heading, and which quantity is shown."""

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import xarray as xr

from deepsalt.grid import ground_size_m
from deepsalt.grid.georef import grid_of_layers
from deepsalt.plot.map import FAINT, INK
from deepsalt.plot.picture import (
    OUTSIDE_CLASS,
    OUTSIDE_COLOR,
    REASONS,
    SALINITY,
    LegendClass,
    Picture,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHARACTERS_PER_INCH = 15  # of the foot's 7.5 point type, on average
_LABELS = {"enmap": "EnMAP", "prisma": "PRISMA", "generic": "other sensor"}


def draw_legend(axes: "Axes", picture: Picture, mosaic: xr.Dataset) -> None:
    """Draw colours, their shares and the area covered."""
    salinity = picture.counts[: len(SALINITY)]
    reasons = picture.counts[len(SALINITY) : OUTSIDE_CLASS]
    estimated = int(salinity.sum())
    measured = int(picture.counts[:OUTSIDE_CLASS].sum())
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    y = _heading(axes, 0.99, "Electrical conductivity, dS/m", "share of the estimated area")
    for legend_class, count in zip(SALINITY, salinity, strict=True):
        y = _entry(axes, y, legend_class, count / max(estimated, 1))
    y = _heading(axes, y - 0.03, "No estimate", "share of the measured area")
    for legend_class, count in zip(REASONS, reasons, strict=True):
        if count:
            y = _entry(axes, y, legend_class, count / max(measured, 1))
    y = _entry(axes, y, LegendClass("not measured", OUTSIDE_COLOR), None)
    _area(axes, y - 0.02, mosaic, estimated, measured)


def _heading(axes: "Axes", y: float, text: str, detail: str) -> float:
    axes.text(0.07, y, text, fontsize=9, fontweight="bold", color=INK, va="top")
    axes.text(0.07, y - _line(axes, 1.0), detail, fontsize=7.5, color=FAINT, va="top")
    return y - _line(axes, 2.1)


def _entry(axes: "Axes", y: float, legend_class: LegendClass, share: float | None) -> float:
    from matplotlib.patches import Rectangle

    height = _line(axes, 0.72)
    axes.add_patch(
        Rectangle(
            (0.07, y - height),
            0.09,
            height,
            facecolor=legend_class.color,
            edgecolor="#9a9fa5",
            lw=0.5,
        )
    )
    text: dict[str, Any] = {"fontsize": 8.5, "color": INK, "va": "center"}
    axes.text(0.20, y - height / 2, legend_class.label.replace(" - ", " \N{EN DASH} "), **text)
    if share is not None:
        axes.text(0.97, y - height / 2, _percent(share), ha="right", **text)
    return y - _line(axes, 1.0)


def _line(axes: "Axes", lines: float) -> float:
    """Return the height of text lines as a share of the axis, whatever its size."""
    figure = axes.get_figure(root=True)
    height_in = axes.get_position().height * (figure.get_figheight() if figure else 1.0)
    return lines * 0.2 / height_in


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
    axes.text(0.07, y, "\n".join(lines), fontsize=7.5, color=FAINT, va="top", linespacing=1.5)


def _km2(area: float) -> str:
    return f"{area:,.{1 if area < 10 else 0}f} km\N{SUPERSCRIPT TWO}"


def write_captions(
    figure: "Figure", mosaic: xr.Dataset, period: int, *, title: str, note: str, simulated: bool
) -> None:
    """Write heading, period, scenes, and at the foot the quantity and the note."""
    width, height = figure.get_size_inches()
    left = 0.75 / width
    figure.text(left, 1 - 0.2 / height, title, fontsize=15, fontweight="bold", color=INK, va="top")
    figure.text(
        left,
        1 - 0.55 / height,
        _subtitle(mosaic, period, simulated),
        fontsize=9,
        color=FAINT,
        va="top",
    )
    columns = int((width - 1.0) * _CHARACTERS_PER_INCH)
    foot = "\n".join(line for text in (_quantity(mosaic), note) for line in wrap(text, columns))
    figure.text(left, 0.5 / height, foot, fontsize=7.5, color=FAINT, va="top", linespacing=1.5)


def _subtitle(mosaic: xr.Dataset, period: int, simulated: bool) -> str:
    parts = ["simulated scenes, not a measurement"] if simulated else []
    if "period_bounds" in mosaic.coords:
        first, last = (str(day)[:10] for day in mosaic["period_bounds"].values[period])
        parts.append(first if first == last else f"{first} to {last}")
    if counts := mosaic.attrs.get("scene_counts"):
        parts.append(f"{counts[period]} scene{'s' if counts[period] != 1 else ''}")
    parts += [", ".join(_LABELS.get(name, name) for name in mosaic.attrs.get("sensors", []))]
    return "  \N{MIDDLE DOT}  ".join(part for part in parts if part)


def _quantity(mosaic: xr.Dataset) -> str:
    attrs = mosaic["salinity"].attrs
    named = {"ec_method": "EC method", "depth": "depth", "reference_temperature": "temperature"}
    labels = "; ".join(f"{name}: {attrs[key]}" for key, name in named.items() if key in attrs)
    return (
        "Electrical conductivity of the soil surface, as a model estimates it. "
        f"{f'Its training labels - {labels}. ' if labels else ''}"
        "Class limits of 2 dS/m and above are those of the USDA, which defines them for ECe."
    )
