"""Fits the workers of a run to the work that is left; see `flows.engines.engine.Scaler`."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from deepsalt.errors import DeepsaltError, RunError
from flows.cluster_profile import WorkerGroup
from flows.engines.engine import Load
from flows.kubernetes.api import AwayError
from flows.kubernetes.workers import Workers

logger = logging.getLogger(__name__)

_LOOK_S = 3.0
"""Time between two looks at the Jobs of workers."""
REPORTED = ("scenes_left", "tiles_left", "begun_again", "wasted_s")
"""What a driver tells `deepsalt status --cluster`."""

IDLE_S = 30.0
"""Time without a scene after which a worker is released, if it is one too many."""
TRY_ONE_MORE_S = 300.0
"""Time after which one more worker is tried, where an archive kept some idle."""


def wanted_workers(groups: Iterable[WorkerGroup], scenes: int, tiles: int) -> dict[str, int]:
    """Return how many workers each group should have.

    One per scene that is not yet mapped, and one per tile that waits, between the bounds of each
    group. Groups that only compose are filled first, with tiles; then the others, in the order of
    the profile.

    Parameters
    ----------
    groups
        The groups.
    scenes, tiles
        Scenes and tiles that wait or are being worked on.
    """
    found: dict[str, int] = {}
    for group in sorted(groups, key=lambda each: each.maps):
        work = scenes + tiles if group.maps else tiles
        number = max(group.least, min(group.most, work))
        mapping = min(number, scenes) if group.maps else 0
        scenes -= mapping
        tiles -= min(tiles, number - mapping)
        found[group.name] = number
    return found


class Scaling:
    """Creates workers for the work that is left, and releases those that are too many.

    A thread of its own speaks to the API server, so that scenes are handed out without waiting.

    Parameters
    ----------
    workers
        The workers.
    groups
        Their groups.
    report
        Receives how much is left.
    pulse
        Called now and then while the driver is alive.
    """

    def __init__(
        self,
        workers: Workers,
        groups: Collection[WorkerGroup],
        report: Callable[[Mapping[str, Any]], None],
        pulse: Callable[[], None],
    ) -> None:
        self._workers = workers
        self._groups = groups
        self._report = report
        self._pulse = pulse
        self._wanted: Mapping[str, int] = {}
        self._left: Mapping[str, Any] = {}
        self._of_use: dict[str, tuple[float, int]] = {}  # when, and how many had scenes
        self._idle_since_s: dict[str, float] = {}
        self._released: set[str] = set()
        self._failed: DeepsaltError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="workers", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def __call__(self, load: Load) -> Collection[str]:
        """Note what is left to do; return the workers that are released.

        Raises
        ------
        RunError
            Workers cannot be started.
        """
        self.refuse()
        self._pulse()
        self._wanted = wanted_workers(self._groups, load.scenes, load.tiles)
        if load.scenes:
            self._limit()
        told = (load.scenes, load.tiles, load.waste.scenes, round(load.waste.seconds, 1))
        self._left = dict(zip(REPORTED, told, strict=True))
        if not self._thread.ident:
            self._thread.start()
        for each in load.workers:
            self._workers.joined(each.label)
        self._release(load)
        return self._released

    def refuse(self) -> None:
        """Refuse to go on where workers cannot be started.

        Raises
        ------
        RunError
            Why they cannot.
        """
        if self._failed is not None:
            raise self._failed

    def _release(self, load: Load) -> None:
        """Release idle workers of groups that have more than they should, or than are of use."""
        now_s = time.monotonic()
        there = {each.worker for each in load.workers}
        self._released &= there
        idle: defaultdict[str, list[str]] = defaultdict(list)
        has: Counter[str] = Counter()
        for each in load.workers:
            group = self._workers.group_of(each.label)
            if group is None or each.worker in self._released:
                continue
            has[group] += 1
            if each.scenes:
                self._idle_since_s.pop(each.worker, None)
            elif now_s - self._idle_since_s.setdefault(each.worker, now_s) >= IDLE_S:
                idle[group].append(each.worker)
        for group, workers in idle.items():
            if load.scenes and not load.tiles and self._wanted[group] >= has[group]:
                # Scenes are left, but their archive is busy.
                self._of_use[group] = (now_s, max(1, has[group] - len(workers)))
                self._limit()
            surplus = max(0, has[group] - self._wanted[group])
            self._released |= set(workers[:surplus])

    def _limit(self) -> None:
        """Want no more workers of a group than were of use lately."""
        now_s = time.monotonic()
        limited = dict(self._wanted)
        for group in self._groups:
            if not group.maps or group.name not in self._of_use:
                continue
            since_s, number = self._of_use[group.name]
            number = max(group.least, number + int((now_s - since_s) / TRY_ONE_MORE_S))
            limited[group.name] = min(limited[group.name], number)
        self._wanted = limited

    def _keep(self) -> None:
        while not self._over.is_set():
            try:
                self._workers.keep(self._wanted)
                self._report(self._left)
                self._over.wait(_LOOK_S)
            except AwayError as error:  # an upgrade of a control plane takes minutes
                logger.debug("workers are looked after later: %s", error)
                self._over.wait(_LOOK_S)
            except DeepsaltError as error:
                self._failed = error
                return
            except Exception as error:  # noqa: BLE001 (else workers would silently be kept no more)
                self._failed = RunError(
                    f"workers can no longer be looked after ({type(error).__name__}: {error})"
                )
                return
