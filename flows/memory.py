"""Memory of one worker: what a run will need, and what there is."""

from collections.abc import Iterable

import numpy as np

from deepsalt.cube.load import file_block
from deepsalt.errors import DeepsaltError, UsageError
from deepsalt.types import Acquisition
from flows.compute import threads_per_worker
from flows.config import Compute

_PROCESS_BYTES = 500_000_000
_CHUNK_COPIES = 14.0
_UNKNOWN_BLOCK = (512, 512)
"""Of files whose header cannot be asked: the larger of the two that EnMAP comes in."""


def worker_memory(acquisitions: Iterable[Acquisition], threads: int) -> int:
    """Return the peak memory of a worker that maps these scenes, bytes."""
    blocks: dict[tuple[str, str], tuple[int, int]] = {}
    chunk = layers = 0
    for each in acquisitions:
        block = each.block_shape or _sampled_block(each, blocks)
        chunk = max(chunk, _chunk_bytes(each, block))
        layers = max(layers, 14 * each.grid.height * each.grid.width)
    return int(_PROCESS_BYTES + _CHUNK_COPIES * threads * chunk + 2 * layers)


def _sampled_block(
    acquisition: Acquisition, known: dict[tuple[str, str], tuple[int, int]]
) -> tuple[int, int]:
    """Return the block of a scene whose Item does not say: one header per collection and version.

    Whole archives of a provider's version are written alike, and to open each file would take days.
    """
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
    """Return the memory that a worker may take, bytes; None on a cluster that was not described."""
    if compute.memory is not None:
        return int(compute.memory)
    if compute.scheduler is not None:
        return None
    from distributed.system import MEMORY_LIMIT  # of the machine, or of the container

    return int(MEMORY_LIMIT) // (compute.workers or 1)


def refuse_too_large(predicted: int, compute: Compute) -> None:
    """Refuse work that a worker's memory does not hold, before any of it begins.

    Raises
    ------
    UsageError
        The prediction exceeds what there is.
    """
    there = memory_of(compute)
    if there is None or predicted <= there:
        return
    raise UsageError(
        f"a worker with {threads_per_worker(compute)} threads would need about "
        f"{predicted / 1e9:.1f} GB of memory and has {there / 1e9:.1f} GB; give fewer --threads or "
        "--workers, or a machine with more"
    )
