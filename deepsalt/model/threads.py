"""One torch thread while predicting, without side effects on the rest of the process.

Dask already runs chunks in parallel: if torch also split each product over all cores, cores x cores
threads would wait for each other, and the split changes the last bits of a sum.
`torch.set_num_threads` is one setting for the process, so predictions that overlap in several
threads count themselves: the first remembers the setting and the last one restores it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_active = 0
_before = 1


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run the block with one intra-op thread; the setting returns when the last block ends."""
    global _active, _before
    with _lock:
        if _active == 0:
            _before = torch.get_num_threads()
        _active += 1
        # Each calling thread has to set it: OpenMP keeps the number per thread.
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            torch.set_num_threads(_before if _active == 0 else 1)
