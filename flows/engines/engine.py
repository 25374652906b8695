"""The seam between a run and what computes it."""

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
    """A call that is under way, as `concurrent.futures.Future` has it."""

    def result(self) -> Result:
        """Return what it returned, or raise what it raised."""

    def cancel(self) -> Any:
        """Let it not begin; what has begun goes on, and nobody hears of it."""

    def add_done_callback(self, heard: Callable[[Any], None], /) -> None:
        """Call back when it is over, from any thread."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker is there.

    Parameters
    ----------
    worker
        Its name.
    """

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerLeft:
    """A worker is gone, and with it what it had begun.

    Parameters
    ----------
    worker
        Its name.
    asked
        Whether it was asked to go, as spot nodes are, or was only not heard of, rather than died.
    """

    worker: str
    asked: bool


Event = Joined | WorkerLeft


class Engine(Protocol):
    """Workers, each with a `Station`."""

    label: str
    """What it is called in sentences."""

    @property
    def executor(self) -> Executor:
        """What composes tiles."""

    def is_alive(self) -> bool:
        """Whether it can still be called."""

    def call(
        self,
        worker: str,
        method: Callable[Concatenate[Station, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T]:
        """Call a method of a worker's station; it begins at once, whatever else the worker does."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a scene takes of a worker, at most.

    Parameters
    ----------
    memory_bytes
        Peak memory of a worker of `threads` threads, as predicted.
    scratch_bytes
        Files of a remote scene; 0 where all are local.
    threads
        Threads that `memory_bytes` is of.
    thread_bytes
        What a thread more takes.
    """

    memory_bytes: int
    scratch_bytes: int = 0
    threads: int = 1
    thread_bytes: int = 0

    def memory_with(self, threads: int) -> int:
        """Return the peak memory of a worker of so many threads, bytes."""
        return self.memory_bytes + (threads - self.threads) * self.thread_bytes


def refuse_strangers(found: Mapping[str, Identity], own: Identity, needs: Needs) -> None:
    """Refuse workers that would give other results than this process or than each other.

    Parameters
    ----------
    found
        Workers and what they say of themselves.
    own
        What this process is.
    needs
        What a scene takes.

    Raises
    ------
    RunError
        One of them is of another version, model, algorithm or kind of machine, or too small.
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
            f"computes on {identity.platform}, others on {platform}, which round otherwise; give "
            "workers of one kind, or --device cpu where only some have the device"
        )
    memory = identity.memory_bytes
    needed = needs.memory_with(identity.threads)
    if memory is not None and memory < needed:
        return (
            f"has {memory / 1e9:.1f} GB of memory and a scene would need about {needed / 1e9:.1f} "
            f"GB on its {identity.threads} threads; give workers more memory or fewer threads"
        )
    if identity.scratch_bytes < needs.scratch_bytes:
        return (
            f"has room for {identity.scratch_bytes / 1e9:.3g} GB of scratch files and a scene has "
            f"{needs.scratch_bytes / 1e9:.3g} GB; free disk space there, or give --scratch a "
            "folder with more"
        )
    return ""
