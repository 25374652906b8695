"""A scene as a lazy cube, on its own grid; the only use of stackstac.

stackstac takes one band per asset and reads bands one by one. So it gets the scene as a plain dict
with an asset ``href#band=N`` per band, and our reader (`_BandReader`) reads all bands of a window
once per thread and returns slices. It reads the provider's quality first and does not decode pixels
that can never be estimated. Another loader could replace it without changes outside this module.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.local import get_sync
from numpy.typing import NDArray

from deepsalt.grid.georef import GRID_MAPPING, axis_attrs, grid_mapping_attrs, pixel_centers
from deepsalt.scenes.base import SceneReader, WindowRequest, open_reader
from deepsalt.types import REJECTING, Acquisition

MAX_OPEN_SCENES = 2
"""Scenes that a thread keeps open: the present one and the previous one."""

_BAND = "#band="

_Window = tuple[int, int, int, int]
"""Row, column, height and width of a window, pixels."""


def open_scene(acquisition: Acquisition) -> xr.Dataset:
    """Return a scene as a lazy cube.

    Parameters
    ----------
    acquisition
        The scene. Only when its `block_shape` is None is a file header read here.

    Returns
    -------
    xr.Dataset
        `dn` (band, y, x): digital numbers in the stored type, chunks of all bands x one file
        block; nodata in bands that are not usable and in pixels that the provider rejects.
        `quality` (y, x): uint16 `QualityFlag` bits from the provider. See `check_cube`.

    Raises
    ------
    ReadError
        On computing, or if the header is needed: the file is truncated or has vanished.

    Examples
    --------
    >>> import deepsalt
    >>> cube = deepsalt.open_scene(deepsalt.read_acquisition("enmap-scene"))
    >>> cube.dn.dims
    ('band', 'y', 'x')
    """
    block = acquisition.block_shape or file_block(acquisition)
    numbers = _stack(acquisition, block)
    y, x = pixel_centers(acquisition.grid)
    bands = acquisition.bands
    nodata = acquisition.nodata
    return xr.Dataset(
        data_vars={
            "dn": (
                ("band", "y", "x"),
                numbers,
                {"long_name": "digital number", "grid_mapping": GRID_MAPPING}
                | ({} if nodata is None else {"nodata": np.dtype(acquisition.dtype).type(nodata)}),
            ),
            "quality": (
                ("y", "x"),
                _quality(acquisition, numbers.chunks[1:]),
                {"long_name": "provider's quality layers as QualityFlag bits"},
            ),
        },
        coords={
            "band": ("band", np.array(bands.names)),
            "wavelength": ("band", np.array(bands.centers_nm), {"units": "nm"}),
            "fwhm": ("band", np.array(bands.fwhm_nm), {"units": "nm"}),
            "gain": ("band", np.array(acquisition.gain)),
            "offset": ("band", np.array(acquisition.offset)),
            "usable": ("band", np.array(bands.usable)),
            "y": ("y", y, axis_attrs("y")),
            "x": ("x", x, axis_attrs("x")),
            GRID_MAPPING: ((), 0, grid_mapping_attrs(acquisition.grid)),
        },
        attrs=_attrs(acquisition),
    )


def _attrs(acquisition: Acquisition) -> dict[str, str]:
    attrs = {
        "scene_key": acquisition.key,
        "scene_id": acquisition.scene_id,
        "sensor": acquisition.sensor,
        "crs": acquisition.grid.crs,
    }
    return attrs | ({"start": acquisition.start.isoformat()} if acquisition.start else {})


def file_block(acquisition: Acquisition) -> tuple[int, int]:
    """Return rows and columns of a file block, from the file's header.

    Raises
    ------
    ReadError
        The file cannot be opened.
    """
    reader = open_reader(acquisition)
    try:
        return reader.block_shape
    finally:
        reader.close()


def _stack(acquisition: Acquisition, block: tuple[int, int]) -> da.Array:
    """Return the digital numbers as stackstac lays them out: (band, y, x)."""
    # Takes half a second to import, and only loading needs it.
    import stackstac

    grid = acquisition.grid
    dtype = np.dtype(acquisition.dtype)
    item = _plain_item(acquisition)
    stack = stackstac.stack(
        [item],
        assets=list(item["assets"]),
        epsg=_epsg(acquisition),
        resolution=(grid.transform[0], -grid.transform[4]),
        bounds=grid.bounds,
        # Snapping moves scenes whose origin is no multiple of the resolution by half a pixel.
        snap_bounds=False,
        dtype=dtype,
        # stackstac puts this value where no band has data.
        fill_value=_fill(acquisition),
        # Scale and offset travel with the cube; the stored type stays.
        rescale=False,
        chunksize=(1, -1, *block),
        sortby_date=False,
        xy_coords=False,
        properties=False,
        band_coords=False,
        # A file that has vanished is an error, not an empty scene (the default hides 404).
        errors_as_nodata=(),
        reader=partial(_BandReader, acquisition),
    )
    # An empty chunk comes as one broadcast value; the layers above need real memory.
    numbers: da.Array = da.map_blocks(
        np.ascontiguousarray, _tabled(stack.data)[0], dtype=dtype, meta=np.empty((0, 0, 0), dtype)
    )
    return numbers


def _tabled(stack: da.Array) -> da.Array:
    """Return stackstac's array with its table of readers as a constant in the graph.

    As a task the table is either a root that keeps dask from finishing one chunk before it reads
    the next, or rebuilt for every chunk: a bounding box of every band turned into a window.
    """
    graph = stack.dask
    (table,) = graph.dependencies[stack.name]
    key = (table, 0, 0)
    readers = MaterializedLayer({key: get_sync(graph.cull({key}), key)})
    chunks = graph.layers[stack.name]
    constant = HighLevelGraph(
        {table: readers, stack.name: chunks}, {table: set(), stack.name: {table}}
    )
    return da.Array(constant, stack.name, stack.chunks, meta=stack)


def _epsg(acquisition: Acquisition) -> int:
    """Return the number that stackstac requires; it is compared, never used to transform."""
    code = acquisition.grid.crs.removeprefix("EPSG:")
    return int(code) if code.isdigit() else 0


def _plain_item(acquisition: Acquisition) -> dict[str, Any]:
    """Return the dict that replaces an Item for stackstac: one asset per band."""
    href = acquisition.asset("image").href
    # The bounding box alone: from transform and shape stackstac would compute it per band, with an
    # operator that affine has deprecated.
    grid = {"proj:epsg": _epsg(acquisition), "proj:bbox": list(acquisition.grid.bounds)}
    return {
        "id": acquisition.scene_id,
        "properties": {"datetime": acquisition.start and acquisition.start.isoformat()},
        "assets": {
            str(index): {"href": f"{href}{_BAND}{index}", **grid}
            for index in range(len(acquisition.bands))
        },
    }


class OpenWindow:
    """One window of a scene: the provider's bits, and bands one after another."""

    def __init__(self, reader: SceneReader, acquisition: Acquisition, window: _Window) -> None:
        self.quality = reader.read_quality(*window)
        self.numbers: NDArray[Any] | None = None
        self._reader = reader
        self._window = window
        pixels = (self.quality & np.uint16(REJECTING)) == 0
        self._wanted = WindowRequest.of(pixels, np.array(acquisition.bands.usable))
        self._any = bool(pixels.any())
        self._all = bool(pixels.all())
        # Numbers are masked as bits, in a twentieth of the time of `numpy.putmask`.
        self._fill = np.array(_fill(acquisition))
        self._kind = np.dtype(f"u{self._fill.itemsize}")
        self._kept = np.where(pixels, ~self._kind.type(0), self._kind.type(0))
        self._rest = ~self._kept & self._fill.view(self._kind)

    def band(self, index: int) -> NDArray[Any]:
        """Return one band, with the fill value in pixels that cannot be estimated.

        All are read with the first one, unless reading each by itself costs no more.
        """
        usable = self._wanted.bands
        band: NDArray[Any]
        if not (self._any and usable[index]):
            return np.broadcast_to(self._fill, self.quality.shape)
        if self._reader.by_band:
            (band,) = self._reader.read_window(*self._window, wanted=self._wanted.in_band(index))
        else:
            if self.numbers is None:
                self.numbers = self._reader.read_window(*self._window, wanted=self._wanted)
            band = self.numbers[np.count_nonzero(usable[:index])]
        if not usable[index + 1 :].any():
            self.numbers = None  # bands come in order; after the last one the copy is dead weight
        if not self._all:
            bits = band.view(self._kind)
            bits &= self._kept
            bits |= self._rest
        return band


class OpenScenes(threading.local):
    """Readers that the current thread keeps open, and its last window."""

    def __init__(self) -> None:
        self.readers: OrderedDict[Acquisition, SceneReader] = OrderedDict()
        self.window: OpenWindow | None = None
        self.where: tuple[Acquisition, _Window] | None = None

    def reader(self, acquisition: Acquisition) -> SceneReader:
        """Return the open reader of a scene, and close the one that was not used for longest."""
        if acquisition not in self.readers:
            while len(self.readers) >= MAX_OPEN_SCENES:
                self.readers.popitem(last=False)[1].close()
            self.readers[acquisition] = open_reader(acquisition)
        self.readers.move_to_end(acquisition)
        return self.readers[acquisition]

    def at(self, acquisition: Acquisition, window: _Window) -> OpenWindow:
        """Return a window, the same one while its bands and bits are read."""
        if self.window is None or self.where != (acquisition, window):
            self.window = None  # the old one is released before the new one is read
            self.window = OpenWindow(self.reader(acquisition), acquisition, window)
            self.where = (acquisition, window)
        return self.window


def _fill(acquisition: Acquisition) -> Any:
    """Return the value of cells without a measurement, in the stored type.

    Without nodata any number will do: windows never leave the scene, and a layer or a coordinate
    marks pixels and bands that are left out.
    """
    value = 0 if acquisition.nodata is None else acquisition.nodata
    return np.dtype(acquisition.dtype).type(value)


open_scenes = OpenScenes()


class _BandReader:
    """One band of a scene, following stackstac's reader protocol; cheap to pickle."""

    def __init__(self, acquisition: Acquisition, *, url: str, **_stackstac: Any) -> None:
        # stackstac also passes grid, type, fill value and scaling, all of which came from us
        self._acquisition = acquisition
        self._index = int(url.rpartition(_BAND)[2])

    def read(self, window: Any, **_stackstac: Any) -> NDArray[Any]:
        numbers = (window.row_off, window.col_off, window.height, window.width)
        row, column, height, width = map(int, numbers)
        return open_scenes.at(self._acquisition, (row, column, height, width)).band(self._index)

    def close(self) -> None:
        """Nothing to do: the thread's scenes are shared by all bands."""


def _quality(acquisition: Acquisition, chunks: tuple[tuple[int, ...], ...]) -> da.Array:
    quality: da.Array = da.map_blocks(
        _read_quality,
        acquisition=acquisition,
        chunks=chunks,
        dtype=np.uint16,
        meta=np.empty((0, 0), np.uint16),
    )
    return quality


def _read_quality(
    acquisition: Acquisition, block_info: Mapping[Any, Any] | None = None
) -> NDArray[np.uint16]:
    if block_info is None:  # dask asks for a sample before the graph is made
        return np.empty((0, 0), np.uint16)
    (row, row_end), (column, column_end) = block_info[None]["array-location"]
    window = (row, column, row_end - row, column_end - column)
    return open_scenes.at(acquisition, window).quality
