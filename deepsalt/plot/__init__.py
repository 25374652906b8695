"""The quicklook: one picture of a mosaic that says what it shows and what it does not.

Classes are bins of the mapped electrical conductivity at the breaks of the USDA salinity classes
(2, 4, 8, 16 dS/m) and two finer ones below. Those classes are defined for ECe; whatever EC the
model predicts is named in the picture, and class names are left out on purpose. Colours rise in
lightness order, so they can be told apart with any colour vision; reasons for missing estimates are
muted.
"""

from collections.abc import Collection
from pathlib import Path

import xarray as xr

from deepsalt.grid import Region
from deepsalt.plot.legend import draw_legend, write_captions
from deepsalt.plot.map import draw_map, frame, stamp
from deepsalt.plot.picture import picture_of
from deepsalt.store.files import storing

__all__ = ["quicklook"]


def quicklook(
    mosaic: xr.Dataset,
    path: str | Path,
    *,
    title: str = "Surface soil salinity",
    simulated: bool = False,
    note: str = "",
    period: int = -1,
    regions: Collection[Region] | None = None,
) -> None:
    """Draw one period of a mosaic as a PNG.

    Parameters
    ----------
    mosaic
        As `open_mosaic` returns it.
    path
        File to write.
    title
        Heading.
    simulated
        Whether the pixels were simulated; stamped across the map.
    note
        A sentence for the foot of the picture, such as the accuracy and how it was measured.
    period
        Position along `period`.
    regions
        Where that period has data: of a continent most is empty, and to read it would take hours.

    Raises
    ------
    FormatError
        The Dataset does not say where its pixels lie.
    StoreError
        The file cannot be written.
    """
    picture = picture_of(mosaic.isel(period=period), regions)
    figure, axes, side = frame(picture)
    draw_map(axes, picture)
    if simulated:
        stamp(axes)
    draw_legend(side, picture, mosaic)
    write_captions(figure, mosaic, period, title=title, note=note, simulated=simulated)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.part")
    with storing(target):
        try:
            figure.savefig(temporary, format="png", dpi=150, facecolor="white")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
