"""Which run, scene and tile the work at hand belongs to, for log lines.

The names follow the work into threads of a `Context`, which start each call in the context of the
one who made it, and into coroutines, which do so by themselves.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from types import MappingProxyType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_NONE: Mapping[str, str] = MappingProxyType({})
_names: ContextVar[Mapping[str, str]] = ContextVar("deepsalt_names", default=_NONE)


@contextmanager
def named(**names: str) -> Iterator[None]:
    """Say that the block works on a ``run``, ``scene`` or ``tile``; an empty name says nothing."""
    token = _names.set({**_names.get(), **{kind: name for kind, name in names.items() if name}})
    try:
        yield
    finally:
        _names.reset(token)


def names() -> Mapping[str, str]:
    """Return the names of the work at hand, by kind."""
    return _names.get()


class NamedThreads(ThreadPoolExecutor):
    """Threads that know for whom they work."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Submit a call in the context of the caller."""
        return super().submit(copy_context().run, partial(fn, *args, **kwargs))
