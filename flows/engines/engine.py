"""The interface between a run and what computes it."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from deepsalt.errors import RunError
from flows.engines.station import Identity, Station

P = ParamSpec("P")
T = TypeVar("T")
Result = TypeVar("Result", covariant=True)


class Call(Protocol[Result]):
    """A running call, in the manner of `concurrent.futures.Future`."""

    def result(self) -> Result:
        """Return the call's result, or raise its exception."""

    def cancel(self) -> Any:
        """Keep it from starting; a call that has started continues, and its result is dropped."""

    def add_done_callback(self, heard: Callable[[Any], None], /) -> None:
        """Call back when it is over, from any thread."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker arrived.

    Parameters
    ----------
    worker
        Its name.
    """

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerLeft:
    """A worker left, and its unfinished work is lost.

    Parameters
    ----------
    worker
        Its name.
    asked
        Whether it was asked to leave, as spot nodes are, or fell silent, rather than died.
    """

    worker: str
    asked: bool


Event = Joined | WorkerLeft


class Engine(Protocol):
    """Workers, each with a `Station`."""

    label: str
    """Its name in messages."""

    @property
    def executor(self) -> Executor:
        """What composes tiles."""

    def is_alive(self) -> bool:
        """Whether it still takes calls."""

    def call(
        self,
        worker: str,
        method: Callable[Concatenate[Station, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T]:
        """Call a method of a worker's station; it starts at once, whatever else the worker does."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Maximum that a scene takes of a worker.

    Parameters
    ----------
    memory_bytes
        Peak memory of a worker of `threads` threads, as predicted.
    scratch_bytes
        Size of a remote scene's files; 0 if all are local.
    threads
        Threads that `memory_bytes` assumes.
    thread_bytes
        Memory of each further thread.
    """

    memory_bytes: int
    scratch_bytes: int = 0
    threads: int = 1
    thread_bytes: int = 0

    def memory_with(self, threads: int) -> int:
        """Return the peak memory of a worker of so many threads, bytes."""
        return self.memory_bytes + (threads - self.threads) * self.thread_bytes


def refuse_strangers(found: Mapping[str, Identity], own: Identity, needs: Needs) -> None:
    """Refuse workers whose results would differ from this process's or from each other's.

    Parameters
    ----------
    found
        Workers and their identities.
    own
        Identity of this process.
    needs
        What a scene takes.

    Raises
    ------
    RunError
        A worker has another version, model, algorithm or kind of machine, or is too small.
    """
    first = next(iter(found.values()))
    for worker, identity in found.items():
        if why := strange(identity, own, first.platform, needs):
            raise RunError(f"worker {worker} {why}")


def strange(identity: Identity, own: Identity, platform: str, needs: Needs) -> str:
    """Return why a worker cannot take part, and what to do; empty where it can."""
    for what, theirs, ours in (
        ("deepsalt", identity.version, own.version),
        ("algorithm", str(identity.algorithm), str(own.algorithm)),
        ("model", identity.model[:12], own.model[:12]),
    ):
        if theirs != ours:
            return f"has {what} {theirs}, this run {ours}; start workers from the same installation"
    if identity.platform != platform:
        return (
            f"computes on {identity.platform}, others on {platform}, which rounds differently; "
            f"give workers of one kind, or --device cpu if not all have the device"
        )
    memory = identity.memory_bytes
    needed = needs.memory_with(identity.threads)
    if memory is not None and memory < needed:
        return (
            f"has {memory / 1e9:.1f} GB of memory, but a scene would need about {needed / 1e9:.1f} "
            f"GB on its {identity.threads} threads; give workers more memory or fewer threads"
        )
    if identity.scratch_bytes < needs.scratch_bytes:
        return (
            f"has room for {identity.scratch_bytes / 1e9:.3g} GB of scratch files, but a scene has "
            f"{needs.scratch_bytes / 1e9:.3g} GB; free disk space there, or give --scratch a "
            "folder with more"
        )
    return ""
