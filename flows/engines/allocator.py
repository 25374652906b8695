"""What the C library does with memory that was freed: kept, and used again by all threads.

Arrays come and go by the megabyte. By default glibc hands each back to the operating system,
which clears and maps the pages anew for the next one, and its threads keep heaps of their own.
"""

import ctypes
import os

_MB = 2**20
# Numbers as in <malloc.h>; the names are those of the environment variables. Whole chunks, which
# are larger, still go back at once: to keep them as well takes 40 MB more and saves nothing.
_SETTINGS = {
    "MALLOC_ARENA_MAX": (-8, 2),
    "MALLOC_MMAP_THRESHOLD_": (-3, 8 * _MB),
    "MALLOC_TRIM_THRESHOLD_": (-1, 64 * _MB),
}


def keep_freed_memory() -> None:
    """Let this process keep what it frees; what the environment sets stays as it is set.

    Without glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for name, (parameter, value) in _SETTINGS.items():
        if mallopt is not None and name not in os.environ:
            mallopt(parameter, value)


def allocator_environment() -> dict[str, str]:
    """Return the environment that does the same for processes that are still to start."""
    return {name: str(value) for name, (_, value) in _SETTINGS.items()}
