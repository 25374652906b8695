"""What a run would read, write and need, from the catalogue's fields alone."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from deepsalt.access import is_remote
from deepsalt.errors import GridError
from deepsalt.grid import Extent, MosaicGrid, Tile, ground_size_m
from deepsalt.model.load import model_ref
from deepsalt.products import complete_names, product_name
from deepsalt.progress import Progress
from deepsalt.types import Acquisition, ModelRef, PixelGrid
from flows.config import RunConfig
from flows.engines.opening import threads_per_worker
from flows.run.memory import refuse_too_large, size_of
from flows.run.mosaic import refuse_export
from flows.run.scenes import Scenes, with_tiles
from flows.run.selection import find_scenes
from flows.run.stores import find_store, period_of, refuse_unfit
from flows.scale.figures import FIGURES

_SQUARE_TOLERANCE = 0.02


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Parameters
    ----------
    scenes, present
        Scenes found, and those already complete in the store.
    scene_pixels
        Pixels still to map.
    read_bytes, write_bytes
        Bytes to read (compressed, from the catalogue) and to write (estimated).
    tiles
        Tiles that the scenes touch.
    mosaic_rows, mosaic_columns
        Extent of the mosaic, cells.
    crs, resolution_m
        Grid of the mosaic.
    period
        ``all`` or the first and last day.
    workers, threads
        Worker processes, and chunks each computes at a time.
    worker_memory_bytes
        Peak memory of one worker: a scene being mapped, one being written, and a tile.
    thread_bytes
        Memory of each further thread of a worker.
    worker_scratch_bytes
        Files of remote scenes on one worker: of one being mapped, and of one being fetched.
    seconds
        Estimated wall time.
    cell_shape
        Says that cells are not square on the ground; empty if they are.
    refused
        Scenes that cannot be used, with the reason.
    gone, first_gone
        Number of scenes still to map whose local files do not all exist, and one of these files.
    """

    scenes: int
    present: int
    scene_pixels: int
    read_bytes: int
    write_bytes: int
    tiles: int
    mosaic_rows: int
    mosaic_columns: int
    crs: str
    resolution_m: float
    period: str
    workers: int
    threads: int
    worker_memory_bytes: int
    thread_bytes: int
    worker_scratch_bytes: int
    seconds: float
    cell_shape: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    gone: int = 0
    first_gone: str = ""


def make_plan(
    config: RunConfig,
    progress: Progress | None = None,
    *,
    visit: Callable[[Acquisition], None] | None = None,
) -> Plan:
    """Plan a run.

    Parameters
    ----------
    config
        The run.
    progress
        Receives progress on the search.
    visit
        Called with each scene still to map.

    Raises
    ------
    UsageError
        The search finds no scene that can be used, or a worker would need more memory than it has.
    InputError
        The grid, model or store does not fit.
    """
    found = find_scenes(config.selection, progress)
    store = find_store(config.out)
    refuse_export(config.out, config.mosaic.export)
    ref = model_ref(config.scene.model)
    period = period_of(config.mosaic.datetime)
    grid = refuse_unfit(config.out, ref, config.scene.grid, store, period_layout=period.layout)
    held = _held(grid, found.scenes, ref)
    present = complete_names(store, held.names) if store else set()
    left = [number for number, name in enumerate(held.names) if name not in present]
    gone = [held.gone[number] for number in left if number in held.gone]
    extent = grid.extent_grid(Extent.of(held.tiles))
    pixels = sum(held.pixels[number] for number in left)
    compute = config.scene.compute
    workers = compute.workers or 1
    threads = threads_per_worker(compute)
    to_map = found.scenes.only(held.indices[number] for number in left)
    needs = refuse_too_large(_visited(to_map, visit), config.scene)
    return Plan(
        scenes=len(held.names),
        present=len(held.names) - len(left),
        scene_pixels=pixels,
        read_bytes=sum(held.sizes[number] for number in left),
        write_bytes=pixels * (FIGURES.product_bytes_per_pixel + FIGURES.mosaic_bytes_per_pixel),
        tiles=len(held.tiles),
        mosaic_rows=extent.height,
        mosaic_columns=extent.width,
        crs=grid.crs,
        resolution_m=grid.resolution_m,
        period=period.id,
        workers=workers,
        threads=threads,
        worker_memory_bytes=needs.memory_bytes,
        thread_bytes=needs.thread_bytes,
        worker_scratch_bytes=2 * needs.scratch_bytes,
        seconds=pixels / (FIGURES.pixels_per_thread_s * workers * threads)
        + FIGURES.tile_thread_s * len(held.tiles),
        cell_shape=_cell_shape(extent),
        refused={**found.refused, **held.torn},
        gone=len(gone),
        first_gone=gone[0] if gone else "",
    )


def _visited(
    scenes: Iterable[Acquisition], visit: Callable[[Acquisition], None] | None
) -> Iterator[Acquisition]:
    for each in scenes:  # once: to unpack a hundred thousand takes seconds
        if visit is not None:
            visit(each)
        yield each


@dataclass(slots=True)
class _Held:
    """Scenes that the grid can hold, their tiles, and why it cannot hold the others."""

    indices: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    tiles: set[Tile] = field(default_factory=set)
    torn: dict[str, str] = field(default_factory=dict)
    gone: dict[int, str] = field(default_factory=dict)


def _held(grid: MosaicGrid, scenes: Scenes, ref: ModelRef) -> _Held:
    """Visit each scene once: unpacking a hundred thousand takes seconds.

    Raises
    ------
    GridError
        The grid cannot hold any of them.
    """
    held = _Held()
    for index, (each, tiles) in enumerate(with_tiles(grid, scenes)):
        if isinstance(tiles, GridError):
            held.torn[each.scene_id] = str(tiles)
            continue
        if (gone := _first_gone(each)) is not None:
            held.gone[len(held.names)] = gone
        held.tiles.update(tiles)
        held.indices.append(index)
        held.names.append(product_name(each, ref))
        held.pixels.append(each.grid.height * each.grid.width)
        held.sizes.append(size_of(each))
    if not held.indices:
        raise GridError(next(iter(held.torn.values())))
    return held


def _first_gone(scene: Acquisition) -> str | None:
    """Return the first local file of a scene that does not exist."""
    hrefs = (asset.href for asset in scene.assets if not is_remote(asset.href))
    return next((href for href in hrefs if not os.path.exists(href)), None)


def _cell_shape(extent: PixelGrid) -> str:
    width, height = ground_size_m(extent)
    if abs(width / height - 1) < _SQUARE_TOLERANCE:
        return ""
    return (
        f"equal in area, not in shape: {width:.0f} m east-west x {height:.0f} m north-south in the "
        "middle of the mosaic; --crs with a UTM zone or a regional LAEA keeps them square"
    )
