"""The quicklook as a PNG."""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from deepsalt.plot.legend import draw_legend, write_captions
from deepsalt.plot.map import DPI, draw_map, frame, stamp
from deepsalt.plot.picture import Picture, picture_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COMPRESS_LEVEL = 4
"""Half the time of 6 for a file that is 7 % larger."""


def quicklook(
    mosaic: xr.Dataset,
    *,
    title: str = "Surface soil salinity",
    simulated: bool = False,
    note: str = "",
    period: int = -1,
    picture: Picture | None = None,
) -> bytes:
    """Draw one period of a mosaic.

    Parameters
    ----------
    mosaic
        As `open_mosaic` returns it.
    title
        Heading.
    simulated
        Whether the pixels were simulated; stamped across the map.
    note
        A sentence for the foot of the picture, such as the accuracy and how it was measured.
    period
        Position along `period`.
    picture
        What is drawn, if it is known: to read all pixels of a continent takes long.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    FormatError
        The Dataset does not say where its pixels lie.
    """
    picture = picture or picture_of(mosaic.isel(period=period))
    figure, axes, side = frame(picture)
    draw_map(axes, picture)
    if simulated:
        stamp(axes)
    draw_legend(side, picture, mosaic)
    write_captions(figure, mosaic, period, title=title, note=note, simulated=simulated)
    return _png(figure)


def _png(figure: "Figure") -> bytes:
    """Return a figure as a PNG without an alpha channel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    # Not `savefig`, which does what a user's settings say about margins and colours.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(pixels).convert("RGB")
    png = BytesIO()
    image.save(png, "png", dpi=(DPI, DPI), compress_level=_COMPRESS_LEVEL)
    return png.getvalue()
