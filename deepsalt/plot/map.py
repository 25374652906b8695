"""The map of a quicklook: pixels in true proportions, coordinates, scale bar, stamp."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from deepsalt.grid import ground_size_m, to_lonlat
from deepsalt.plot.picture import OUTSIDE_COLOR, Picture, Theme
from deepsalt.types import PixelGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22262b"
FAINT = "#6a7178"
DPI = 150

_LEFT_IN = 0.75
_RIGHT_IN = 0.35
_TOP_IN = 1.2
_FOOT_IN = 0.3
_NOTE_IN = 0.16
_CHARACTERS_PER_INCH = 15  # of the notes' 7.5 point type, on average
_TICKS_IN = 0.45
_LEGEND_IN = 2.75
_LEGEND_WIDTH_IN = 5.4
_ROW_IN = 0.4
_NARROWEST = 0.35
"""Least proportion of the edges of a map; a longer strip has room beside it for the scale bar."""
_STACKED_BELOW = 0.55
"""Height over width below which maps lie above each other."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A figure with maps in true proportions, and below each one its legend.

    Parameters
    ----------
    figure
        The figure.
    maps, legends
        Axes of each map and its legend; those of a legend in inches from the top left corner.
    notes
        Lines for the foot.
    left_in
        Left margin, inches.
    """

    figure: "Figure"
    maps: "tuple[Axes, ...]"
    legends: "tuple[Axes, ...]"
    notes: tuple[str, ...]
    left_in: float = _LEFT_IN

    @classmethod
    def of(cls, picture: Picture, maps: int, notes: Iterable[str]) -> Self:
        """Return a frame for so many maps of a picture, side by side unless they are wide."""
        from matplotlib.figure import Figure

        width, height = _map_size_in(picture, maps)
        block = max(width, _LEGEND_WIDTH_IN), height + _TICKS_IN + _LEGEND_IN
        columns, rows = (1, maps) if maps > 1 and height / width < _STACKED_BELOW else (maps, 1)
        across = columns * (_LEFT_IN + block[0]) + _RIGHT_IN
        most = int((across - _LEFT_IN - _RIGHT_IN) * _CHARACTERS_PER_INCH)
        lines = tuple(line for note in notes for line in wrap(note, most))
        foot = _FOOT_IN + len(lines) * _NOTE_IN
        size = (across, _TOP_IN + rows * block[1] + (rows - 1) * _ROW_IN + foot)
        figure = Figure(figsize=size, dpi=DPI)
        figure.patch.set_facecolor("white")
        found: list[tuple[Axes, Axes]] = []
        for column, row in ((at % columns, at // columns) for at in range(maps)):
            left = _LEFT_IN + column * (_LEFT_IN + block[0])
            top = size[1] - _TOP_IN - row * (block[1] + _ROW_IN)
            boxes = (
                (left, top - height, width, height),
                (left, top - block[1], block[0], _LEGEND_IN),
            )
            axes, legend = (
                figure.add_axes((x / size[0], y / size[1], w / size[0], h / size[1]))
                for x, y, w, h in boxes
            )
            legend.set_axis_off()
            legend.set_xlim(0, block[0])
            legend.set_ylim(_LEGEND_IN, 0)
            found.append((axes, legend))
        maps_found, legends = zip(*found, strict=True)
        return cls(figure, maps_found, legends, lines)


def _map_size_in(picture: Picture, maps: int) -> tuple[float, float]:
    """Return the width and height of each map, inches."""
    (columns, rows), (width_m, height_m) = _shown_px(picture), ground_size_m(picture.grid)
    proportion = rows * height_m / (columns * width_m)
    if proportion < _STACKED_BELOW:
        return 9.0, 9.0 * proportion
    width = min(7.6 if maps == 1 else 6.2, 8.6 / proportion)
    return width, width * proportion


def _shown_px(picture: Picture) -> tuple[float, float]:
    """Return the columns and rows that a map shows: all of a picture, and more of a strip."""
    width_m, height_m = ground_size_m(picture.grid)
    width, height = picture.grid.width * width_m, picture.grid.height * height_m
    least = _NARROWEST * max(width, height)
    return max(width, least) / width_m, max(height, least) / height_m


def draw_map(axes: "Axes", picture: Picture, theme: Theme, title: str) -> None:
    """Draw what a theme shows of the pixels, with coordinates and scale bar."""
    from matplotlib.colors import to_rgba_array

    # Coloured here: as numbers with a colormap matplotlib would resample them as floats.
    painted = np.round(to_rgba_array(theme.colors) * 255).astype(np.uint8)
    grid = picture.grid
    width_m, height_m = ground_size_m(grid)
    axes.imshow(
        painted[theme.index[picture.kinds]],
        interpolation="nearest",
        aspect=height_m / width_m,
        extent=(0, grid.width, grid.height, 0),
    )
    columns, rows = _shown_px(picture)
    axes.set_xlim((grid.width - columns) / 2, (grid.width + columns) / 2)
    axes.set_ylim((grid.height + rows) / 2, (grid.height - rows) / 2)
    axes.set_facecolor(OUTSIDE_COLOR)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=6)
    for spine in axes.spines.values():
        spine.set_color("#b9bdc1")
    _ticks(axes, grid, (grid.width / columns, grid.height / rows))
    _scale_bar(axes, columns * width_m)


def _ticks(axes: "Axes", grid: PixelGrid, shares: tuple[float, float]) -> None:
    """Label longitudes along the south edge and latitudes along the west edge.

    Of the edges that a map shows, these shares are the grid's.
    """
    a, _, c, _, e, f = grid.transform
    t = np.linspace(0.0, 1.0, 65)
    x, y = c + a * grid.width * t, f + e * grid.height * t
    longitudes, _ = to_lonlat(grid.crs, x, np.full_like(x, y[-1]))
    _, latitudes = to_lonlat(grid.crs, np.full_like(y, x[0]), y)
    marks = _round_values(longitudes, shares[0])
    axes.set_xticks(np.interp(marks, longitudes, t * grid.width), _degrees(marks, "EW"))
    marks = _round_values(latitudes, shares[1])
    axes.set_yticks(
        np.interp(marks, latitudes[::-1], (t * grid.height)[::-1]), _degrees(marks, "NS")
    )
    axes.tick_params(length=3, color="#b9bdc1", labelsize=7.5, labelcolor=FAINT)


def _round_values(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    low = float(values.min())
    high = float(values.max())
    step = _round_step((high - low) / 4)
    found = np.arange(math.ceil(low / step), math.floor(high / step) + 1, dtype=np.float64)
    most = max(1, round(len(found) * share))
    return step * found[:: max(1, math.ceil(len(found) / most))]


def _round_step(value: float) -> float:
    """Return the largest of 1, 2, 5 x 10**n that is not above `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step for step in (1.0, 2.0, 5.0) if step * power <= value * (1 + 1e-9)) * power


def _degrees(values: NDArray[np.float64], signs: str) -> list[str]:
    step = abs(values[1] - values[0]) if len(values) > 1 else 0.1
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [
        f"{abs(v):.{decimals}f}\N{DEGREE SIGN}{signs[0] if v >= 0 else signs[1]}" for v in values
    ]


def _scale_bar(axes: "Axes", shown_m: float) -> None:
    from matplotlib.patches import Rectangle

    length_m = _round_step(shown_m / 4)
    length = length_m / shown_m
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    plate = Rectangle((0.015, 0.02), length + 0.03, 0.075, transform=axes.transAxes)
    plate.set(facecolor="white", alpha=0.8, linewidth=0)
    axes.add_patch(plate)
    for start, color in ((0.0, INK), (0.5, "white")):
        axes.add_patch(
            Rectangle(
                (0.03 + start * length, 0.035),
                length / 2,
                0.011,
                transform=axes.transAxes,
                facecolor=color,
                edgecolor=INK,
                linewidth=0.8,
            )
        )
    text: dict[str, Any] = {"transform": axes.transAxes, "color": INK}
    axes.text(0.03 + length, 0.056, label, fontsize=8, ha="right", va="bottom", **text)
    axes.text(0.03, 0.056, "N \N{UPWARDS ARROW}", fontsize=8, ha="left", va="bottom", **text)


def stamp(axes: "Axes") -> None:
    """Write SIMULATED across a map, so that the picture cannot travel without saying so."""
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure(root=True)
    width_in = axes.get_position().width * (figure.get_figwidth() if figure else 1.0)
    axes.text(
        0.5,
        0.5,
        "SIMULATED",
        transform=axes.transAxes,
        fontsize=min(42.0, 11.5 * width_in),
        fontweight="bold",
        rotation=28,
        ha="center",
        va="center",
        color="white",
        alpha=0.45,
        path_effects=[withStroke(linewidth=1.5, foreground=INK, alpha=0.3)],
    )
