"""Makes the C library keep freed memory, for all threads to reuse.

Arrays come and go by the megabyte. By default glibc hands each back to the operating system,
which clears and maps the pages anew for the next one, and its threads keep heaps of their own.
"""

import ctypes
import os

_MB = 2**20
# Numbers as in <malloc.h>; names as of the environment variables. Whole chunks, which are larger,
# still go back at once: keeping them as well takes 40 MB more and saves nothing.
_SETTINGS = {
    "MALLOC_ARENA_MAX": (-8, 2),
    "MALLOC_MMAP_THRESHOLD_": (-3, 8 * _MB),
    "MALLOC_TRIM_THRESHOLD_": (-1, 64 * _MB),
}


def keep_freed_memory() -> None:
    """Make this process keep what it frees; settings of the environment take precedence.

    Does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for name, (parameter, value) in _SETTINGS.items():
        if mallopt is not None and name not in os.environ:
            mallopt(parameter, value)


def allocator_environment() -> dict[str, str]:
    """Return environment variables that do the same for processes yet to start."""
    return {name: str(value) for name, (_, value) in _SETTINGS.items()}
