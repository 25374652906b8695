"""What a run waits for: how long each resource is busy with it at the least, and which is first."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deepsalt.access import HostLimit
from deepsalt.access.archives import MB
from flows.cluster_profile import ClusterProfile, WorkerGroup
from flows.scale.figures import FIGURES, Figures
from flows.scale.workload import Workload


@dataclass(frozen=True, slots=True)
class Bound:
    """A resource that all workers share.

    Parameters
    ----------
    name
        Of the resource.
    seconds
        Time for which the run keeps it busy: no run is shorter, however many workers it has.
    gives
        What it gives to all workers together, and on which ground.
    advice
        What to do where it comes first.
    of_a_run
        Whether `deepsalt run` and the flow `map-scenes` need it; runs of `process-scene` do.
    """

    name: str
    seconds: float
    gives: str
    advice: str
    of_a_run: bool = True


def bounds(
    work: Workload, limits: Callable[[str], HostLimit], *, workers: int, figures: Figures = FIGURES
) -> list[Bound]:
    """Return what the workers of a run share, the slowest first.

    Parameters
    ----------
    work
        What is to be done.
    limits
        What a host allows to all workers together.
    workers
        Number of workers; each keeps the scheduler a little busy.
    figures
        What things take.
    """
    scenes, tiles = len(work), work.tiles
    reads = scenes * figures.reads_per_scene + tiles * figures.reads_per_tile
    writes = scenes * figures.writes_per_scene + tiles * figures.writes_per_tile
    calls = scenes + sum(map(bool, work.hosts)) + tiles
    at_work = max(1.0 - workers * figures.scheduler_per_worker, 1e-3)
    own = "split the run by --bbox or --datetime; each part has its own"
    found = [
        *_archives(work, limits, figures),
        Bound(
            "object store",
            max(reads / figures.reads_per_s, writes / figures.writes_per_s),
            f"{figures.reads_per_s:,.0f} reads and {figures.writes_per_s:,.0f} writes per second "
            "of one prefix (Amazon S3's figure)",
            "spread stores over several prefixes or buckets, or ask the provider for partitions",
        ),
        Bound(
            "scheduler",
            calls / (figures.calls_per_s * at_work),
            f"{figures.calls_per_s * at_work:,.0f} calls per second beside {workers} workers, on "
            "one core",
            own,
        ),
        Bound(
            "driver",
            scenes * figures.driver_s_per_scene + tiles * figures.driver_s_per_tile,
            f"{1 / figures.driver_s_per_scene:,.0f} scenes per second on one core",
            own,
        ),
        Bound(
            "Prefect's server",
            scenes * figures.server_s_per_scene,
            f"{1 / figures.server_s_per_scene:.1f} runs of process-scene per second on one core, "
            f"{scenes * figures.database_bytes_per_scene / MB:,.0f} MB in its database",
            "use map-scenes, one run for many scenes, instead of process-scene",
            of_a_run=False,
        ),
    ]
    return sorted(found, key=lambda each: -each.seconds)


def _archives(work: Workload, limits: Callable[[str], HostLimit], figures: Figures) -> list[Bound]:
    of_host: dict[str, float] = defaultdict(float)
    for hosts, size in zip(work.hosts, work.fetched_bytes, strict=True):
        for host in hosts:
            of_host[host] += size / len(hosts)
    found = []
    for host, sent in of_host.items():
        limit = limits(host)
        rate = archive_rate(limit, figures)
        if rate is None:
            continue
        why = (
            "its limit"
            if limit.bytes_per_s is not None
            else f"{limit.connections} connections of {figures.connection_bytes_per_s / MB:g} MB/s "
            "each, which is assumed"
        )
        found.append(
            Bound(
                f"archive {host}",
                sent / rate,
                f"{rate / MB:,.3g} MB/s: {why}",
                "ask the provider for more, spread the run over more time, or raise --host-share "
                "if it is below 1; give --host-limit what it really gives",
            )
        )
    return found


def archive_rate(limit: HostLimit, figures: Figures) -> float | None:
    """Return the bytes per second that a host gives to all workers together; None for any."""
    if limit.bytes_per_s is not None:
        return limit.bytes_per_s
    if limit.connections is not None:
        return limit.connections * figures.connection_bytes_per_s
    return None


def shared_s_per_scene(found: Sequence[Bound], scenes: int) -> float:
    """Return the seconds from scene to scene that scheduler, driver and object store need."""
    busy = (each.seconds for each in found if each.of_a_run and not each.name.startswith("archive"))
    return max(busy, default=0.0) / max(1, scenes)


def scene_share_s(work: Workload, profile: ClusterProfile, figures: Figures = FIGURES) -> float:
    """Return the seconds of a thread that each scene's share of composing tiles takes.

    Workers that do not map compose too, and take their part off.
    """
    maps = sum(each.most * each.threads for each in profile.groups if each.maps)
    every = sum(each.most * each.threads for each in profile.groups)
    return figures.tile_thread_s * work.tiles * maps / every / max(1, len(work))


def worker_s(
    work: Workload,
    group: WorkerGroup,
    limits: Callable[[str], HostLimit],
    *,
    tile_s: float,
    figures: Figures = FIGURES,
) -> float:
    """Return the seconds that a worker of a group would take for all scenes.

    It maps one while it fetches the next, so the slower of the two counts.
    """
    pixels_per_s = group.threads * figures.pixels_per_thread_s
    total = 0.0
    for pixels, size, hosts in zip(work.pixels, work.fetched_bytes, work.hosts, strict=True):
        is_free = all(archive_rate(limits(host), figures) is None for host in hosts)
        fetch_s = size / figures.worker_bytes_per_s if is_free else 0.0
        total += max(pixels / pixels_per_s + tile_s / group.threads, fetch_s)
    return total


def useful(each_s: Sequence[float], most: Sequence[int], bound_s: float) -> list[int]:
    """Return how many workers of each group are of use before a bound holds.

    Parameters
    ----------
    each_s
        Seconds that one worker of each group would take for all scenes.
    most
        Maximum number of workers of each group.
    bound_s
        Seconds below which no run comes.
    """
    needed = 1 / bound_s if bound_s > 0 else math.inf  # all scenes per second
    taken = []
    for alone_s, number in zip(each_s, most, strict=True):
        wanted = needed * alone_s if alone_s else 0.0
        workers = number if wanted >= number else math.ceil(round(wanted, 6))
        taken.append(workers)
        needed = max(0.0, needed - workers / alone_s) if alone_s else 0.0
    return taken
