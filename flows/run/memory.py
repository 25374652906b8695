"""Memory of one worker: what a run needs, and what is available."""

from collections.abc import Iterable, Iterator

import numpy as np

from deepsalt.access import is_remote
from deepsalt.cube.load import file_block
from deepsalt.errors import DeepsaltError, UsageError
from deepsalt.fetch import hosts_of
from deepsalt.types import Acquisition
from flows.cluster_profile import WorkerGroup
from flows.config import Compute, SceneConfig
from flows.engines.engine import Needs
from flows.engines.opening import threads_per_worker

# Fitted to peaks of one worker process given three scenes of 1200 x 1200 x 224 int16 at once
# (Linux) with one, two, four threads: blocks of 256 pixels 783, 926 and 1225 MB, of 512 pixels 861,
# 1085 and 1482 MB. One scene is mapped while another is encoded and written; a tile that is
# composed beside comes on top: 1351 MB with four threads and blocks of 256. Stage 2 alone: three
# scenes deep 408, 440 and 500 MB, twelve deep 424, 505 and 711 MB.
_PROCESS_BYTES = 600_000_000
"""A process with torch, dask, GDAL and the model loaded, and its messages to a scheduler."""
_THREAD_BYTES = 115_000_000
"""Buffers of GDAL and of the model, and memory that the allocator keeps per thread."""
_CHUNK_COPIES = 0.8
"""Chunk-sized arrays alive per thread, on average: the window as read, and its pixels to estimate;
not all threads are there at once."""
_PRODUCT_BYTES = 3 * 14
"""Per pixel of a scene: its result layers as they come from the chunks and joined, and those of the
scene before, which are being written."""
_DEVICE_BYTES = 160_000_000
"""Pinned batches for a GPU and the parts waiting for it, by their sizes in `model.device`."""
_BUILD_BYTES = 360_000_000
"""A process that also draws the quicklook."""
_TILE_BYTES = 70_000_000
"""A shard being composed, and the layers of a few scenes in it."""
_POD_MARGIN = 1.25
"""Memory of a pod over the prediction, which holds within a fifth: above it the pod is killed."""
_UNKNOWN_BLOCK = (512, 512)
"""For files whose header cannot be read: the larger of EnMAP's two block sizes."""


def worker_memory(acquisitions: Iterable[Acquisition], threads: int, device: str = "cpu") -> int:
    """Return the peak memory of a worker that maps these scenes and composes tiles, bytes.

    It follows from the largest chunk and the number of threads, not from how many scenes there are.
    """
    return _of_threads(*_mapping_memory(acquisitions, device), threads)


def _of_threads(fixed: float, per_thread: float, threads: int) -> int:
    return int(max(fixed + threads * per_thread, _BUILD_BYTES + threads * _TILE_BYTES))


def _mapping_memory(acquisitions: Iterable[Acquisition], device: str) -> tuple[float, float]:
    """Return the bytes of a worker that maps scenes, and those of each of its threads."""
    blocks: dict[tuple[str, str], tuple[int, int]] = {}
    chunk = pixels = 0
    for each in acquisitions:
        block = each.block_shape or _sampled_block(each, blocks)
        chunk = max(chunk, _chunk_bytes(each, block))
        pixels = max(pixels, each.grid.height * each.grid.width)
    per_thread = _THREAD_BYTES + _CHUNK_COPIES * chunk
    on_device = 0 if device == "cpu" else _DEVICE_BYTES
    return _PROCESS_BYTES + _TILE_BYTES + on_device + _PRODUCT_BYTES * pixels, per_thread


def _sampled_block(
    acquisition: Acquisition, known: dict[tuple[str, str], tuple[int, int]]
) -> tuple[int, int]:
    """Return the block of a scene whose Item does not say: one header per collection and version.

    A provider writes whole archives of one version alike, and opening each file would take days.
    For remote files the larger block is assumed: no server is contacted before the run starts.
    """
    if any(is_remote(asset.href) for asset in acquisition.assets):
        return _UNKNOWN_BLOCK
    kind = (acquisition.collection, acquisition.version)
    if kind not in known:
        try:
            known[kind] = file_block(acquisition)
        except DeepsaltError:
            known[kind] = _UNKNOWN_BLOCK
    return known[kind]


def _chunk_bytes(acquisition: Acquisition, block: tuple[int, int]) -> int:
    rows, columns = min(block[0], acquisition.grid.height), min(block[1], acquisition.grid.width)
    return rows * columns * len(acquisition.bands) * np.dtype(acquisition.dtype).itemsize


def memory_of(compute: Compute) -> int | None:
    """Return the memory that a worker may take, bytes; None on a cluster of unknown memory."""
    if compute.memory is not None:
        return int(compute.memory)
    if compute.scheduler is not None or compute.cluster is not None:
        return None
    from distributed.system import MEMORY_LIMIT  # of the machine, or of the container

    return int(MEMORY_LIMIT) // (compute.workers or 1)


def needs_of_tiles() -> Needs:
    """Return what composing tiles takes of a worker that maps no scenes."""
    return Needs(_PROCESS_BYTES + _TILE_BYTES, thread_bytes=_TILE_BYTES)


def memory_of_pod(group: WorkerGroup, needs: Needs) -> int:
    """Return the memory that the pod of a worker asks for and may take, bytes."""
    if group.memory is not None:
        return int(group.memory)
    return int(needs.memory_with(group.threads) * _POD_MARGIN)


def size_of(acquisition: Acquisition) -> int:
    """Return the bytes of a scene's files as far as the catalogue knows, else an estimate."""
    known = [asset.size_bytes for asset in acquisition.assets if asset.size_bytes is not None]
    if known:
        return sum(known)
    # int16 cubes shrink to about 60 % under deflate.
    grid = acquisition.grid
    return int(grid.height * grid.width * len(acquisition.bands) * 2 * 0.6)


def refuse_too_large(acquisitions: Iterable[Acquisition], config: SceneConfig) -> Needs:
    """Refuse scenes that do not fit a worker, before any is mapped; return what they take of one.

    Raises
    ------
    UsageError
        A worker of this machine has less memory than it will need, or a remote scene is larger
        than the scratch space.
    """
    compute = config.compute
    threads = threads_per_worker(compute)
    scratch = config.scratch_of_workers
    scratch_bytes = scratch.limit_gb * 1e9
    largest = 0
    unfit = None

    def sized() -> Iterator[Acquisition]:  # in one pass: to unpack a hundred thousand takes seconds
        nonlocal largest, unfit
        for each in acquisitions:
            if hosts_of(each):
                size = size_of(each)
                largest = max(largest, size)
                if size > scratch_bytes and unfit is None:
                    unfit = each.scene_id, size
            yield each

    fixed, per_thread = _mapping_memory(sized(), compute.predicts_on)
    predicted = _of_threads(fixed, per_thread, threads)
    available = memory_of(compute)
    if available is not None and predicted > available:
        raise UsageError(
            f"a worker with {threads} threads would need about {predicted / 1e9:.1f} GB of memory "
            f"but has {available / 1e9:.1f} GB; use fewer --threads or --workers, or a machine "
            "with more memory"
        )
    if unfit is not None:
        scene, size = unfit
        raise UsageError(
            f"scene {scene} has {size / 1e9:.3g} GB, but the scratch space of a worker may hold "
            f"{scratch.limit_gb:.3g}; raise "
            f"{'--scratch-gb' if compute.cluster is None else 'scratch_gb in the cluster profile'}"
        )
    return Needs(predicted, largest, threads, int(per_thread))
