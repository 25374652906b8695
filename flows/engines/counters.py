"""What a worker has done, for Prometheus: on the `/metrics` that a Dask worker serves anyway.

Counters are of one process and begin anew with it, so sums over workers are made with `increase`.
Without prometheus-client nothing is counted. No label names a scene.
"""

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from deepsalt.effort import SceneWork

if TYPE_CHECKING:
    from prometheus_client import Counter

    from deepsalt.mapping import SceneReport

COUNTERS = {
    "deepsalt_worker_scenes": (("outcome",), "Scenes that this worker dealt with, by outcome"),
    "deepsalt_worker_pixels": ((), "Pixels of the scenes that this worker mapped"),
    "deepsalt_worker_fetched_bytes": ((), "Bytes that servers of scenes sent to this worker"),
    "deepsalt_worker_stage_seconds": (("stage",), "Seconds of each stage on this worker"),
    "deepsalt_worker_handed_back": (
        (),
        "Scenes that this worker gave back unfinished, since it was asked to leave",
    ),
}
"""Labels and help of each counter; its samples end in ``_total``."""


def count_scene(report: "SceneReport") -> None:
    """Count a scene that was dealt with.

    Parameters
    ----------
    report
        Its outcome, and the work on it.
    """
    work: SceneWork = report.work
    _add("deepsalt_worker_scenes", 1, outcome=report.status)
    _add("deepsalt_worker_pixels", report.pixels if report.status == "written" else 0)
    _add("deepsalt_worker_fetched_bytes", work.fetched_bytes)
    for stage, seconds in (("fetch", work.fetch_s), ("map", work.map_s), ("write", work.write_s)):
        _add("deepsalt_worker_stage_seconds", seconds, stage=stage)


def count_handed_back() -> None:
    """Count a scene that was given back unfinished."""
    _add("deepsalt_worker_handed_back", 1)


def _add(name: str, amount: float, **labels: str) -> None:
    if find_spec("prometheus_client") is not None:
        counter = _counter(name)
        (counter.labels(**labels) if labels else counter).inc(amount)


@cache
def _counter(name: str) -> "Counter":
    from prometheus_client import Counter

    labels, told = COUNTERS[name]
    return Counter(name, told, labels)
