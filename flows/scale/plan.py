"""A run on a cluster: workers, hours, requests and money, before anything is started."""

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flows.cluster_profile import ClusterProfile, WorkerGroup
from flows.config import Politeness
from flows.engines.engine import Needs
from flows.run.memory import memory_of_pod
from flows.scale.bounds import (
    Bound,
    bounds,
    scene_share_s,
    shared_s_per_scene,
    useful,
    worker_s,
)
from flows.scale.figures import FIGURES, Figures
from flows.scale.simulate import Crew, Outcome, simulate
from flows.scale.workload import Workload

SILENCE_S = 30.0
"""Seconds until Dask gives up the connection to a node that vanished (`distributed.comm`)."""
_SEEDS, _FEWEST_SEEDS = 100, 10
_SCENES = 1_000_000
"""Scenes that are simulated in all: long runs differ less, so fewer of them are simulated."""


@dataclass(frozen=True, slots=True)
class Pods:
    """The workers of a group.

    Parameters
    ----------
    group
        Its name.
    workers, most
        Workers that are of use, and those that the profile allows.
    threads, gpus
        Of a worker.
    cpu
        Cores that a pod asks for; it may use more where they are free.
    memory_bytes
        Memory that a pod asks for and may take.
    scratch_bytes
        Size limit of its scratch volume.
    alone_s
        Seconds that one such worker would need for all scenes.
    money
        Price of the workers that are of use, for the expected hours.
    """

    group: str
    workers: int
    most: int
    threads: int
    gpus: int
    cpu: float
    memory_bytes: int
    scratch_bytes: int
    alone_s: float
    money: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What simulated runs say.

    Parameters
    ----------
    seconds, earliest_s, latest_s
        Duration: mean, and the interval of 80 % of the runs.
    wasted_s, least_wasted_s, most_wasted_s
        Time of workers spent on scenes that had to begin again, in the same way.
    begun_again, preemptions, quarantined
        Means of the runs.
    runs
        Number of simulated runs.
    """

    seconds: float
    earliest_s: float
    latest_s: float
    wasted_s: float = 0.0
    least_wasted_s: float = 0.0
    most_wasted_s: float = 0.0
    begun_again: float = 0.0
    preemptions: float = 0.0
    quarantined: float = 0.0
    runs: int = 1


@dataclass(frozen=True, slots=True)
class Money:
    """Prices of a run by part, in the profile's currency."""

    workers: float
    scheduler: float
    fetched: float
    requests: float
    stored_per_month: float

    @property
    def total(self) -> float:
        """All of it, with a month of storage."""
        return self.workers + self.scheduler + self.fetched + self.requests + self.stored_per_month


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What a run would need of a cluster.

    Parameters
    ----------
    pods
        Its workers, by group.
    bounds
        What they share, the slowest first.
    first
        Name of what the run waits for: one of the bounds, or ``workers``.
    workers_s
        Seconds that the workers of use need, if they wait for nothing.
    calm, expected
        Duration if no worker is taken away, and with the profile's preemptions.
    fetched_bytes, written_bytes
        Bytes from archives, and to the store.
    reads, writes
        Requests to the object store.
    money
        What it costs.
    currency
        Of the prices.
    advice
        What to do about the first bottleneck.
    notes
        What does not fit, each with what to do.
    """

    pods: tuple[Pods, ...]
    bounds: tuple[Bound, ...]
    first: str
    workers_s: float
    calm: Expected
    expected: Expected
    fetched_bytes: int
    written_bytes: int
    reads: int
    writes: int
    money: Money
    currency: str
    advice: str
    notes: tuple[str, ...] = ()


def plan_cluster(
    work: Workload,
    profile: ClusterProfile,
    politeness: Politeness,
    needs: Needs,
    *,
    figures: Figures = FIGURES,
) -> ClusterPlan:
    """Plan a run on a cluster.

    Parameters
    ----------
    work
        What is to be done.
    profile
        The cluster.
    politeness
        What archives give.
    needs
        What a scene takes of a worker.
    figures
        What things take, as measured.
    """
    limits = functools.cache(politeness.limit_of)
    groups = [group for group in profile.groups if group.maps]
    tile_s = scene_share_s(work, profile, figures)
    most = [min(group.most, len(work)) for group in groups]
    alone_s = [worker_s(work, each, limits, tile_s=tile_s, figures=figures) for each in groups]
    shared = bounds(work, limits, workers=sum(most), figures=figures)
    slowest = next(each for each in shared if each.of_a_run)
    taken = useful(alone_s, most, slowest.seconds)
    rate = sum(workers / alone for workers, alone in zip(taken, alone_s, strict=True) if alone)
    workers_s = 1 / rate if rate else 0.0
    all_of_use = useful(alone_s, [len(work), *most[1:]], slowest.seconds)[0]
    crews = [
        replace(crew, workers=workers)
        for crew, workers in zip(
            (crew_of(group, profile, tile_s=tile_s, figures=figures) for group in groups),
            taken,
            strict=True,
        )
    ]
    between_s = shared_s_per_scene(shared, len(work))
    run = functools.partial(simulate, work, limits=limits, figures=figures, between_s=between_s)
    calm_crews = [replace(crew, preemptions_per_hour=0.0) for crew in crews]
    calm = _expected(lambda seed: run(calm_crews, seed=seed), 1, figures)
    seeds = max(_FEWEST_SEEDS, min(_SEEDS, _SCENES // max(1, len(work))))
    is_calm = not any(crew.preemptions_per_hour for crew in crews)
    expected = calm if is_calm else _expected(lambda seed: run(crews, seed=seed), seeds, figures)
    hours = expected.seconds / 3600
    count = {group.name: workers for group, workers in zip(groups, taken, strict=True)}
    costs = dict(zip((group.name for group in groups), alone_s, strict=True))
    pods = tuple(
        _pods(
            group,
            profile,
            needs,
            workers=count.get(group.name, group.most),
            hours=hours,
            alone_s=costs.get(group.name, 0.0),
        )
        for group in profile.groups
    )
    reads = round(len(work) * figures.reads_per_scene + work.tiles * figures.reads_per_tile)
    writes = round(len(work) * figures.writes_per_scene + work.tiles * figures.writes_per_tile)
    fetched = sum(work.fetched_bytes)
    written = sum(work.pixels) * (figures.product_bytes_per_pixel + figures.mosaic_bytes_per_pixel)
    prices = profile.prices
    waits_for_workers = workers_s > slowest.seconds
    return ClusterPlan(
        pods=pods,
        bounds=tuple(shared),
        first="workers" if waits_for_workers else slowest.name,
        workers_s=workers_s,
        calm=calm,
        expected=expected,
        fetched_bytes=fetched,
        written_bytes=written,
        reads=reads,
        writes=writes,
        money=Money(
            workers=sum(each.money for each in pods),
            scheduler=hours * prices.scheduler_per_hour,
            fetched=fetched / 1e9 * prices.per_gb_fetched,
            requests=(reads + writes) / 1e6 * prices.per_million_requests,
            stored_per_month=written / 1e9 * prices.per_gb_month,
        ),
        currency=prices.currency,
        advice=_advice(slowest, sum(taken), all_of_use if waits_for_workers else None),
        notes=(
            *_too_long(profile, hours),
            *_notes(profile, needs, max(work.pixels, default=0), figures),
        ),
    )


def crew_of(
    group: WorkerGroup, profile: ClusterProfile, *, tile_s: float = 0.0, figures: Figures = FIGURES
) -> Crew:
    """Return a group's workers for a simulation.

    Parameters
    ----------
    group
        The group; a GPU counts as none, since reading takes most of the time.
    profile
        Its cluster.
    tile_s
        Seconds of a thread for each scene's share of composing tiles.
    figures
        What things take.
    """
    return Crew(
        workers=group.most,
        pixels_per_s=group.threads * figures.pixels_per_thread_s,
        scene_s=tile_s / group.threads,
        start_s=group.start_s,
        preemptions_per_hour=group.preemptions_per_hour,
        notice_s=min(group.notice_s, profile.grace_s),
        silence_s=SILENCE_S,
    )


def _expected(one: Callable[[int], Outcome], seeds: int, figures: Figures) -> Expected:
    found = [one(seed) for seed in range(seeds)]
    seconds = [each.seconds + figures.build_s for each in found]
    wasted = [each.wasted_s for each in found]
    return Expected(
        statistics.fmean(seconds),
        *_interval(seconds),
        statistics.fmean(wasted),
        *_interval(wasted),
        begun_again=statistics.fmean(each.begun_again for each in found),
        preemptions=statistics.fmean(each.preemptions for each in found),
        quarantined=statistics.fmean(len(each.quarantined) for each in found),
        runs=seeds,
    )


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the interval of 80 % of some values."""
    if len(values) < 2:
        return values[0], values[0]
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return tenths[0], tenths[-1]


def _pods(
    group: WorkerGroup,
    profile: ClusterProfile,
    needs: Needs,
    *,
    workers: int,
    hours: float,
    alone_s: float,
) -> Pods:
    return Pods(
        group=group.name,
        workers=workers,
        most=group.most,
        threads=group.threads,
        gpus=group.gpus,
        cpu=group.cpu or group.threads,
        memory_bytes=memory_of_pod(group, needs),
        scratch_bytes=round(profile.scratch_gb * 1e9),
        alone_s=alone_s,
        money=workers * hours * group.price_per_hour,
    )


def _advice(slowest: Bound, workers: int, all_of_use: int | None) -> str:
    if all_of_use is not None:
        return (
            f"more workers shorten it: up to {all_of_use:,} of the first group are of use, until "
            f"{slowest.name} binds ({slowest.gives})"
        )
    return (
        f"workers beyond {workers:,} gain nothing: {slowest.name} gives {slowest.gives}; "
        f"{slowest.advice}"
    )


def _too_long(profile: ClusterProfile, hours: float) -> list[str]:
    if hours <= profile.longest_h:
        return []
    return [
        f"the run would take {hours:,.0f} h, but its cluster is removed after longest_h "
        f"({profile.longest_h:g}); raise it, or run again and again: each goes on from the store"
    ]


def _notes(profile: ClusterProfile, needs: Needs, largest_px: int, figures: Figures) -> list[str]:
    """Say what of a profile does not fit its scenes, each in a sentence with what to do."""
    notes = []
    scratch = 2 * needs.scratch_bytes
    if scratch > profile.scratch_gb * 1e9:
        notes.append(
            f"a worker needs {scratch / 1e9:.3g} GB of scratch, of a scene being mapped and one "
            f"being fetched, but scratch_gb is {profile.scratch_gb:g}; raise it to at least "
            f"{scratch / 1e9:.3g}"
        )
    for group in profile.groups:
        predicted = needs.memory_with(group.threads)
        if group.memory is not None and group.memory < predicted:
            notes.append(
                f"a worker of group {group.name} would need about {predicted / 1e9:.1f} GB on its "
                f"{group.threads} threads but has {group.memory / 1e9:.1f} GB; raise its memory or "
                "take fewer threads"
            )
        scene_s = largest_px / (group.threads * figures.pixels_per_thread_s)
        notice_s = min(group.notice_s, profile.grace_s)
        if group.preemptions_per_hour and group.maps and notice_s < scene_s:
            notes.append(
                f"workers of group {group.name} go {notice_s:g} s after the notice, and mapping a "
                f"scene takes {scene_s:.0f} s; what they had begun is done again elsewhere"
            )
        if group.gpus:
            notes.append(
                f"a GPU of group {group.name} counts as none: its gain was not measured, and "
                "reading takes most of the time"
            )
    return notes
