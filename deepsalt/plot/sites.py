"""Where field samples lie and which of them have a pixel: one small map."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from deepsalt.plot.map import FAINT, INK
from deepsalt.types import Floats

_LOW_DS_M, _HIGH_DS_M = 0.1, 30.0


def draw_sites(
    lon: Floats, lat: Floats, ec: Floats, matched: NDArray[np.bool_], *, simulated: bool = False
) -> bytes:
    """Return a PNG of samples: coloured by EC where they have a pixel, crosses where not.

    Parameters
    ----------
    lon, lat
        Degrees WGS84 (n,).
    ec
        Electrical conductivity, dS/m (n,).
    matched
        Whether a sample has a pixel (n,).
    simulated
        Whether a pixel is simulated, which the title says.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 5.5), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    without = ~matched
    axes.plot(
        lon[without],
        lat[without],
        "x",
        color=FAINT,
        markersize=6,
        label=f"{int(without.sum())} without a pixel",
    )
    if matched.any():
        dots = axes.scatter(
            lon[matched],
            lat[matched],
            c=np.clip(ec[matched], _LOW_DS_M, _HIGH_DS_M),
            norm=LogNorm(_LOW_DS_M, _HIGH_DS_M),
            cmap="cividis",
            s=34,
            edgecolors=INK,
            linewidths=0.5,
            label=f"{int(matched.sum())} with a pixel",
        )
        bar = figure.colorbar(dots, ax=axes, shrink=0.8, ticks=[0.1, 0.3, 1, 3, 10, 30])
        bar.ax.set_yticklabels(["up to 0.1", "0.3", "1", "3", "10", "30 and more"])
        bar.set_label("EC of the sample, dS/m")
    title = "Field samples" + (" and SIMULATED scenes" if simulated else "")
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlabel("longitude, degrees")
    axes.set_ylabel("latitude, degrees")
    axes.ticklabel_format(useOffset=False)
    axes.margins(0.08)
    axes.set_aspect(1.0 / max(np.cos(np.radians(float(np.mean(lat)))), 0.1), adjustable="datalim")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=120, metadata={"Software": "deepsalt"})
    return png.getvalue()
