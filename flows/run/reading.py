"""What scenes show at the places of samples, read on any engine, remote files by permits."""

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepsalt import __version__
from deepsalt.effort import Meter
from deepsalt.errors import AwayError, EngineLostError, FormatError, ReadError, RunError
from deepsalt.fetch import Fetcher, ScratchSpace, hosts_of
from deepsalt.fetch.share import Share
from deepsalt.progress import Progress
from deepsalt.sites.look import look, pixels_needed
from deepsalt.sites.rows import SceneFacts, Seen
from deepsalt.types import Acquisition, Floats
from flows.config import Access, Compute, Politeness, Scratch
from flows.engines.composing import tiles_of
from flows.engines.engine import Load
from flows.engines.opening import is_this_process
from flows.permits import Permit, Permits

if TYPE_CHECKING:
    from flows.kubernetes.pods import Pods

ATTEMPTS = 5
"""How often reading begins on a cluster that was made for it, before it gives up."""
PAUSE_S = 10.0
"""Time between two attempts."""
FIRST_WORKER_S = 30.0
"""Time without any worker after which reading gives up, if none has done anything yet."""
NOBODY_S = 300.0
"""The same later on."""
_TICK_S = 1.0
_AHEAD = 2
"""Scenes per thread that are handed out: one is read and one waits."""


# Dask prints the arguments of a call that fails, and hrefs may be signed.
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Job:
    """The places that one scene is asked for.

    Parameters
    ----------
    scene
        The scene.
    samples
        Indices of the samples (k,).
    lon, lat
        Their places, degrees WGS84 (k,).
    window
        1: the pixel itself; 3: the median of 3 x 3.
    """

    scene: Acquisition
    samples: NDArray[np.intp]
    lon: Floats
    lat: Floats
    window: int


@dataclass(frozen=True)
class Reading:
    """Reads what a job asks for, on any worker.

    Parameters
    ----------
    access
        Hosts that scenes may refer to.
    scratch
        Where remote files are kept meanwhile; on a Dask worker each scene being read has so much.
    version
        Of deepsalt: workers of another one might read otherwise.
    """

    access: Access
    scratch: Scratch
    version: str = __version__

    def fetcher(self) -> Fetcher:
        """Return what fetches the files of remote scenes."""
        space = ScratchSpace(self.scratch.folder, round(self.scratch.limit_gb * 1e9))
        return Fetcher(space, reach=self.access.reach)

    def __call__(self, job: Job, shares: Mapping[str, Share]) -> Seen:
        """Do a job with a fetcher of its own.

        Raises
        ------
        RunError
            This process has another version of deepsalt.
        StoreError
            The scratch folder cannot be written.
        """
        if self.version != __version__:
            raise RunError(
                f"a worker has deepsalt {__version__}, this command {self.version}; start workers "
                "from the same installation"
            )
        with self.fetcher() as fetcher:
            return do(fetcher, job, shares)


def do(fetcher: Fetcher, job: Job, shares: Mapping[str, Share]) -> Seen:
    """Fetch a scene if it is remote, and look at its places; an error of it is part of the answer.

    Raises
    ------
    StoreError
        The scratch folder cannot be written.
    """
    try:
        pixels = pixels_needed(job.scene, job.lon, job.lat, job.window)
        with fetcher.local(job.scene, Meter(), pixels, shares) as local:
            looks = look(local, job.lon, job.lat, window=job.window)
    except (ReadError, AwayError, FormatError) as error:
        return _unread(job, str(error))
    return Seen(SceneFacts.of(job.scene), job.samples, looks)


def _unread(job: Job, why: str) -> Seen:
    return Seen(SceneFacts.of(job.scene), job.samples, None, why)


def read_all(
    reading: Reading,
    jobs: Iterable[Job],
    compute: Compute,
    politeness: Politeness,
    *,
    progress: Progress,
    pods: "Pods | None" = None,
) -> Iterator[Seen]:
    """Do all jobs on the workers of a configuration, and yield what they see as it comes.

    Remote scenes begin with a permit for their hosts, so that limits hold for all workers together.

    Parameters
    ----------
    reading
        How to do a job.
    jobs
        What to read.
    compute
        Which workers.
    politeness
        What hosts allow.
    progress
        Told when a scheduler is lost.
    pods
        Cluster that is made for it, if the configuration asks for one.

    Raises
    ------
    RunError
        Workers cannot be reached, differ, are lost, or do not come.
    StoreError
        A scratch folder cannot be written.
    """
    left = dict(enumerate(jobs))
    if not left:
        return
    attempts = ATTEMPTS if pods is not None else 1
    for attempt in range(1, attempts + 1):
        try:
            with _hands(reading, compute, pods, left) as hands:
                for number, seen in _Handing(left, hands, Permits(politeness.limit_of, 1)).each():
                    del left[number]
                    yield seen
            return
        except EngineLostError as error:
            if attempt == attempts:
                raise EngineLostError(
                    f"{error.args[0].partition(';')[0]}; nothing was written, so run again"
                ) from None
            progress.note("the scheduler is lost; reading goes on with the next one")
            time.sleep(PAUSE_S)


@dataclass(frozen=True)
class _Hands:
    """What does jobs.

    Parameters
    ----------
    submit
        Begins a job with its shares of hosts.
    threads
        How many it does at a time, now.
    fatal
        Errors by which a job ends its worker.
    patience_s
        Time without any worker after which to give up.
    """

    submit: Callable[[Job, Mapping[str, Share]], "Future[Seen]"]
    threads: Callable[[], int]
    fatal: tuple[type[BaseException], ...] = ()
    patience_s: float = NOBODY_S


@contextmanager
def _hands(
    reading: Reading, compute: Compute, pods: "Pods | None", left: Mapping[int, Job]
) -> Iterator[_Hands]:
    if is_this_process(compute, pods):
        threads = compute.threads or os.cpu_count() or 1
        with reading.fetcher() as fetcher, ThreadPoolExecutor(threads) as pool:
            yield _Hands(lambda job, shares: pool.submit(do, fetcher, job, shares), lambda: threads)
        return
    from distributed import KilledWorker

    with tiles_of(compute, pods, lambda _: Load(len(left), 0, ())) as tiles:
        patience_s = NOBODY_S if pods is None else pods.patience_s
        yield _Hands(
            lambda job, shares: tiles.submit(reading, job, shares),
            tiles.threads,
            (KilledWorker,),
            patience_s,
        )


@dataclass
class _Handing:
    """Hands out jobs: a bounded number at a time, and remote ones with a permit.

    Parameters
    ----------
    jobs
        By number.
    hands
        What does them.
    permits
        For hosts.
    """

    jobs: Mapping[int, Job]
    hands: _Hands
    permits: Permits
    _flying: dict["Future[Seen]", tuple[int, Permit]] = field(default_factory=dict)
    _ended: "SimpleQueue[Future[Seen]]" = field(default_factory=SimpleQueue)
    _waiting: dict[tuple[str, ...], deque[int]] = field(default_factory=dict)
    _alone: deque[int] = field(default_factory=deque)  # may be what their workers ended of
    _last: set[int] = field(default_factory=set)

    def each(self) -> Iterator[tuple[int, Seen]]:
        """Yield the number of each job and what it saw."""
        self._waiting = _by_hosts(self.jobs)
        since_s, patience_s = time.monotonic(), min(FIRST_WORKER_S, self.hands.patience_s)
        try:
            while self._waiting or self._flying or self._alone:
                threads = self.hands.threads()
                self.permits.resize(threads)
                while len(self._flying) < _AHEAD * threads and self._begin_next():
                    pass
                if self._alone and threads and not self._flying:
                    number = self._alone.popleft()
                    self._last.add(number)
                    self._begin(number, self.permits.take(hosts_of(self.jobs[number].scene)))
                if threads:
                    since_s = time.monotonic()
                elif time.monotonic() - since_s > patience_s:
                    raise RunError(
                        f"there was no worker for {patience_s:.0f} s, so nothing can be read; "
                        "start workers and run again"
                    )
                try:
                    future = self._ended.get(timeout=_TICK_S)
                except Empty:
                    continue
                patience_s = self.hands.patience_s
                yield from self._end(future)
        finally:
            for future in self._flying:
                future.cancel()

    def _begin_next(self) -> bool:
        """Begin the next job whose hosts have a permit left; False if there is none."""
        for hosts, numbers in self._waiting.items():
            if self._begin(numbers[0], self.permits.take(hosts)):
                numbers.popleft()
                if not numbers:
                    del self._waiting[hosts]
                return True
        return False

    def _begin(self, number: int, permit: Permit | None) -> bool:
        if permit is None:
            return False
        future = self.hands.submit(self.jobs[number], permit.shares)
        self._flying[future] = number, permit
        future.add_done_callback(self._ended.put)
        return True

    def _end(self, future: "Future[Seen]") -> Iterator[tuple[int, Seen]]:
        number, permit = self._flying.pop(future)
        self.permits.give_back(permit)
        try:
            yield number, future.result()
        except self.hands.fatal:
            if number not in self._last:  # others were in hand as well when the workers ended
                self._alone.append(number)
                return
            why = "workers end while they read it, even alone; give them more memory"
            yield number, _unread(self.jobs[number], why)


def _by_hosts(jobs: Mapping[int, Job]) -> dict[tuple[str, ...], deque[int]]:
    """Return the numbers of jobs by their hosts: those of most hosts first, local ones last."""
    found = defaultdict[tuple[str, ...], deque[int]](deque)
    for number, job in jobs.items():
        found[hosts_of(job.scene)].append(number)
    return {hosts: found[hosts] for hosts in sorted(found, key=lambda each: (-len(each), each))}
