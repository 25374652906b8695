"""The map of a quicklook: pixels in true proportions, coordinates, scale bar, stamp."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.grid import ground_size_m, to_lonlat
from deepsalt.plot.picture import CLASSES, OUTSIDE_COLOR, Picture
from deepsalt.types import PixelGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22262b"
FAINT = "#6a7178"
DPI = 150


def frame(picture: Picture) -> tuple["Figure", "Axes", "Axes"]:
    """Return a figure with an axis for the map in true proportions and one for the legend."""
    from matplotlib.figure import Figure

    width_m, height_m = ground_size_m(picture.grid)
    rows, columns = picture.classes.shape
    proportion = rows * height_m / (columns * width_m)
    map_width = 7.6 if proportion < 1 else max(3.4, 7.6 / proportion)
    map_height = max(3.6, map_width * proportion)
    left = 0.75
    side = 3.1
    top = 0.95
    foot = 1.0
    size = (left + map_width + side, top + map_height + foot)
    figure = Figure(figsize=size, dpi=DPI)
    figure.patch.set_facecolor("white")
    box = (left / size[0], foot / size[1], map_width / size[0], map_height / size[1])
    axes = figure.add_axes(box)
    legend = figure.add_axes((box[0] + box[2], box[1], side / size[0], box[3]))
    legend.set_axis_off()
    return figure, axes, legend


def draw_map(axes: "Axes", picture: Picture) -> None:
    """Draw the pixels of a picture with coordinates and scale bar."""
    from matplotlib.colors import to_rgba_array

    # Coloured here: as numbers with a colormap matplotlib would resample them as floats.
    colors = to_rgba_array([legend_class.color for legend_class in CLASSES] + [OUTSIDE_COLOR])
    painted = np.round(colors * 255).astype(np.uint8)
    width_m, height_m = ground_size_m(picture.grid)
    axes.imshow(
        painted[picture.classes],
        interpolation="nearest",
        aspect=height_m / width_m,
        extent=(0, picture.grid.width, picture.grid.height, 0),
    )
    for spine in axes.spines.values():
        spine.set_color("#b9bdc1")
    _ticks(axes, picture.grid)
    _scale_bar(axes, picture.grid)


def _ticks(axes: "Axes", grid: PixelGrid) -> None:
    """Label longitudes along the south edge and latitudes along the west edge."""
    a, _, c, _, e, f = grid.transform
    t = np.linspace(0.0, 1.0, 65)
    x, y = c + a * grid.width * t, f + e * grid.height * t
    longitudes, _ = to_lonlat(grid.crs, x, np.full_like(x, y[-1]))
    _, latitudes = to_lonlat(grid.crs, np.full_like(y, x[0]), y)
    marks = _round_values(longitudes)
    axes.set_xticks(np.interp(marks, longitudes, t * grid.width), _degrees(marks, "EW"))
    marks = _round_values(latitudes)
    axes.set_yticks(
        np.interp(marks, latitudes[::-1], (t * grid.height)[::-1]), _degrees(marks, "NS")
    )
    axes.tick_params(length=3, color="#b9bdc1", labelsize=7.5, labelcolor=FAINT)


def _round_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low = float(values.min())
    high = float(values.max())
    step = _round_step((high - low) / 4)
    return step * np.arange(math.ceil(low / step), math.floor(high / step) + 1, dtype=np.float64)


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


def _scale_bar(axes: "Axes", grid: PixelGrid) -> None:
    from matplotlib.patches import Rectangle

    width_m, _ = ground_size_m(grid)
    length_m = _round_step(grid.width * width_m / 4)
    length = length_m / (grid.width * width_m)
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

    axes.text(
        0.5,
        0.5,
        "SIMULATED",
        transform=axes.transAxes,
        fontsize=42,
        fontweight="bold",
        rotation=28,
        ha="center",
        va="center",
        color="white",
        alpha=0.45,
        path_effects=[withStroke(linewidth=1.5, foreground=INK, alpha=0.3)],
    )
