"""The pixels over samples in one scene: read by file block, judged, combined per sample."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsalt.cube.quality import mark_chunk
from deepsalt.grid import transform
from deepsalt.scenes.base import SceneReader, open_reader
from deepsalt.types import REJECTING, Acquisition, Floats, PixelGrid, QualityFlag

MIN_NEIGHBOURS = 5
"""Pixels of 3 x 3, the centre among them, that must be usable for a median."""

NOTHING = "no measurement there"
"""Why a place in the margin of a scene, or beside its swath, has no look."""

BESIDE = "outside the scene's pixels"
"""Why a place has no look in a scene whose grid does not hold it."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What one scene shows at some places (m).

    Parameters
    ----------
    row, column
        Of the pixel, -1 beside the scene (m,).
    reflectance
        Of the pixel, or the median of 3 x 3; NaN where a band is missing, float32 (m, n bands).
    spread
        Standard deviation of the usable pixels' reflectance, mean over the bands; NaN of one (m,).
    pixels
        Pixels that it is made of; 0 where there is no look (m,).
    flags
        `QualityFlag` bits of the pixel (m,) uint16.
    reason
        Why there is no look; "" where there is one (m,).
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    reflectance: NDArray[np.float32]
    spread: Floats
    pixels: NDArray[np.int64]
    flags: NDArray[np.uint16]
    reason: NDArray[np.str_]


def pixels_at(scene: Acquisition, lon: Floats, lat: Floats) -> tuple[NDArray[np.int64], ...]:
    """Return rows and columns of the pixels that hold places, -1 where a scene's grid has none.

    Parameters
    ----------
    scene
        The scene.
    lon, lat
        Degrees WGS84 (m,).

    Raises
    ------
    GridError
        The scene's CRS cannot be used.
    """
    return cells_at(scene.grid, lon, lat)


def cells_at(grid: PixelGrid, lon: Floats, lat: Floats) -> tuple[NDArray[np.int64], ...]:
    """Return rows and columns of a grid's cells that hold places, -1 beside it.

    Raises
    ------
    GridError
        The grid's CRS cannot be used.
    """
    x, y = transform("EPSG:4326", grid.crs, lon, lat)
    a, _, left, _, e, upper = grid.transform
    height, width = grid.height, grid.width
    with np.errstate(invalid="ignore"):
        column, row = np.floor((x - left) / a), np.floor((y - upper) / e)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return tuple(np.where(inside, each, -1).astype(np.int64) for each in (row, column))


def _near(scene: Acquisition, lon: Floats, lat: Floats, window: int) -> "_Near":
    """Return the pixels that a look at places needs."""
    row, column = pixels_at(scene, lon, lat)
    steps = range(-(window // 2), window // 2 + 1)
    near = [(dy, dx) for dy in steps for dx in steps]
    rows = row[:, None] + np.array([dy for dy, _ in near])
    columns = column[:, None] + np.array([dx for _, dx in near])
    height, width = scene.grid.height, scene.grid.width
    there = (row >= 0)[:, None] & (rows >= 0) & (rows < height)
    there &= (columns >= 0) & (columns < width)
    return _Near(row, column, np.where(there, rows * width + columns, -1))


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    place: NDArray[np.int64]  # counted along rows, -1 beside the scene (m, k)

    @property
    def wanted(self) -> NDArray[np.int64]:
        return np.unique(self.place[self.place >= 0])


def pixels_needed(
    scene: Acquisition, lon: Floats, lat: Floats, window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the pixels that `look` reads (p,)."""
    rows, columns = np.divmod(_near(scene, lon, lat, window).wanted, scene.grid.width)
    return rows, columns


def look(scene: Acquisition, lon: Floats, lat: Floats, *, window: int = 1) -> Looks:
    """Read the pixels over places in a scene with local files, each file block once.

    Parameters
    ----------
    scene
        The scene.
    lon, lat
        Degrees WGS84 (m,).
    window
        1: the pixel itself; 3: the median of the usable ones of 3 x 3, at least `MIN_NEIGHBOURS`
        and the pixel itself among them.

    Raises
    ------
    ReadError
        A file is missing or damaged.
    FormatError
        The scene has no bands to judge a pixel by.
    """
    near = _near(scene, lon, lat, window)
    wanted = near.wanted
    values, bits = _read(scene, wanted)
    at = np.where(near.place >= 0, np.searchsorted(wanted, near.place), -1)
    return _combined(near.row, near.column, at, values, bits)


def _combined(
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    at: NDArray[np.int64],
    values: NDArray[np.float32],
    bits: NDArray[np.uint16],
) -> Looks:
    """Combine pixels (p, n) per place; `at` says which of them are near it, -1 for none (m, k)."""
    size, window = at.shape
    reflectance = np.full((size, values.shape[1]), np.nan, np.float32)
    spread = np.full(size, np.nan)
    pixels = np.zeros(size, np.int64)
    flags = np.full(size, int(QualityFlag.OUTSIDE), np.uint16)
    reason = np.full(size, BESIDE, dtype=object)
    for i in np.flatnonzero(row >= 0).tolist():
        own = bits[at[i, window // 2]]
        flags[i] = own
        if rejected := QualityFlag(int(own) & int(REJECTING)):
            reason[i] = in_words(rejected)
            continue
        near = at[i][at[i] >= 0]
        usable = near[(bits[near] & np.uint16(REJECTING)) == 0]
        if window > 1 and usable.size < MIN_NEIGHBOURS:
            reason[i] = f"fewer than {MIN_NEIGHBOURS} usable pixels of 3 x 3"
            continue
        reason[i] = ""
        pixels[i] = usable.size
        reflectance[i] = _median(values[usable])
        if usable.size > 1:
            spread[i] = _spread(values[usable])
    return Looks(row, column, reflectance, spread, pixels, flags, reason.astype(np.str_))


def _median(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median per band, NaN where no pixel has it."""
    result = np.full(values.shape[1], np.nan, np.float32)
    measured = ~np.isnan(values).all(axis=0)
    result[measured] = np.nanmedian(values[:, measured], axis=0)
    return result


def _spread(values: NDArray[np.float32]) -> float:
    """Return the mean over the bands of the pixels' standard deviation."""
    measured = ~np.isnan(values).any(axis=0)
    return (
        float(values[:, measured].astype(np.float64).std(axis=0).mean())
        if measured.any()
        else np.nan
    )


def in_words(flags: QualityFlag) -> str:
    """Return flags that reject a pixel as a reason."""
    if flags & QualityFlag.OUTSIDE:
        return NOTHING
    return ", ".join(str(flag.name).lower().replace("_", " ") for flag in flags)


def _read(
    scene: Acquisition, wanted: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return reflectance (p, n) and bits (p,) of pixels, counted along rows."""
    values = np.full((wanted.size, len(scene.bands)), np.nan, np.float32)
    bits = np.zeros(wanted.size, np.uint16)
    if not wanted.size:
        return values, bits
    reader = open_reader(scene)
    try:
        for some, rows, columns, window in _by_block(wanted, scene, reader.block_shape):
            dn, flags = _judged(scene, reader, window)
            bits[some] = flags[rows, columns]
            values[some] = _reflectance(scene, dn[:, rows, columns])
    finally:
        reader.close()
    return values, bits


Window = tuple[int, int, int, int]


def _by_block(
    wanted: NDArray[np.int64], scene: Acquisition, block: tuple[int, int]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64], Window]]:
    """Yield the pixels of each file block: which, their place in the window, and the window."""
    rows, columns = np.divmod(wanted, scene.grid.width)
    number = rows // block[0] * (scene.grid.width // block[1] + 1) + columns // block[1]
    for each in np.unique(number):
        some = np.flatnonzero(number == each)
        r, c = rows[some], columns[some]
        top, left = int(r.min()), int(c.min())
        window = (top, left, int(r.max()) - top + 1, int(c.max()) - left + 1)
        yield some, r - top, c - left, window


def _judged(
    scene: Acquisition, reader: SceneReader, window: Window
) -> tuple[NDArray[np.generic], NDArray[np.uint16]]:
    """Return the digital numbers of a window, and its bits as a run would judge it."""
    dn = reader.read_window(*window)
    flags = mark_chunk(
        dn,
        reader.read_quality(*window),
        bands=scene.bands,
        gain=scene.gain,
        offset=scene.offset,
        nodata=scene.nodata,
    )
    return dn, flags


def _reflectance(scene: Acquisition, dn: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return reflectance (p, n) of digital numbers (n, p), NaN where missing."""
    gain, offset = (np.array(each)[:, None] for each in (scene.gain, scene.offset))
    values = dn.astype(np.float64) * gain + offset
    if scene.nodata is not None:
        values[dn == scene.nodata] = np.nan
    values[~np.array(scene.bands.usable)] = np.nan
    return np.ascontiguousarray(values.T, dtype=np.float32)
