"""The interface between a run and what computes it."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from deepsalt.errors import EngineLostError, RunError
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


@dataclass(frozen=True, slots=True)
class Leaving:
    """A worker was asked to leave; it finishes what it can, and takes no more scenes.

    Parameters
    ----------
    worker
        Its name.
    """

    worker: str


Event = Joined | Leaving | WorkerLeft


@dataclass(frozen=True, slots=True)
class Present:
    """A worker that is there.

    Parameters
    ----------
    worker
        Its name in events: on a Dask cluster its address.
    label
        The name that it was started with: on Kubernetes that of its pod.
    scenes
        Scenes that it has.
    """

    worker: str
    label: str
    scenes: int


@dataclass(slots=True)
class LostWork:
    """Work repeated because workers or a scheduler were lost, or asked to leave.

    Parameters
    ----------
    scenes
        Scenes that were started again.
    seconds
        Time that workers had already spent on them.
    workers_s
        Time of all workers that get scenes, whatever they did.
    """

    scenes: int = 0
    seconds: float = 0.0
    workers_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is left to do, and who is there to do it.

    Parameters
    ----------
    scenes
        Scenes that are not mapped yet, those at work included.
    tiles
        Tiles that are waiting or being composed; more follow until the end of the run.
    workers
        Those that are there.
    waste
        Work that was repeated so far.
    """

    scenes: int
    tiles: int
    workers: tuple[Present, ...]
    waste: LostWork = field(default_factory=LostWork)


class Scaler(Protocol):
    """Fits the workers of a cluster to the work that is left."""

    def __call__(self, load: Load) -> Collection[str]:
        """Start what workers are missing; return those that are no longer needed, by `worker`.

        Called about every second, by the thread that gives scenes to workers, so it must not wait.
        A worker that is returned gets no more scenes; once it has none, it finishes its tiles and
        ends with exit code 0.

        Raises
        ------
        RunError
            Workers cannot be started.
        """


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

    def scale(self, scenes: int, scenes_of: Mapping[str, int], waste: LostWork) -> Collection[str]:
        """Fit the workers to the work that is left, if they can change; called about every second.

        Parameters
        ----------
        scenes
            Scenes that are not mapped yet, those at work included.
        scenes_of
            Scenes that each worker has.
        waste
            Work that was repeated so far.

        Returns
        -------
        Collection[str]
            Workers that get no more scenes. They leave once they have none.
        """


def lost(label: str) -> EngineLostError:
    """Return the error of an engine that is lost, by its label."""
    return EngineLostError(
        f"{label} is no longer reachable; completed work is kept, so restart it and run again"
    )


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
    platform = next((each.platform for each in found.values() if each.maps), "")
    for worker, identity in found.items():
        if why := strange(identity, own, platform, needs):
            raise RunError(f"worker {worker} {why}")


def strange(identity: Identity, own: Identity, platform: str, needs: Needs) -> str:
    """Return why a worker cannot take part, and what to do; empty where it can."""
    compared = [
        ("deepsalt", identity.version, own.version),
        ("algorithm", str(identity.algorithm), str(own.algorithm)),
    ]
    if identity.maps:
        compared.append(("model", identity.model[:12], own.model[:12]))
    for what, theirs, ours in compared:
        if theirs != ours:
            return f"has {what} {theirs}, this run {ours}; start workers from the same installation"
    if not identity.maps:  # tiles are the same on every platform, and small
        return ""
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
