"""The verb `extract`: field samples matched with scenes, many at once, on any engine."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.access import is_remote
from deepsalt.effort import Meter
from deepsalt.errors import AwayError, FormatError, GridError, ReadError, UsageError
from deepsalt.fetch import Fetcher, ScratchSpace
from deepsalt.progress import Progress, Silent
from deepsalt.sites.look import look, pixels_at, pixels_needed
from deepsalt.sites.rows import (
    UNDATED,
    SceneFacts,
    Seen,
    Sites,
    days_apart,
    sites_of,
)
from deepsalt.sites.samples import FieldSamples, SampleRules, read_samples
from deepsalt.types import Acquisition, Bbox, Floats
from flows.config import Access, Compute, Scratch, Selection
from flows.run.selection import Selected, find_scenes

logger = logging.getLogger(__name__)

MAX_DAYS = 365.0
_MARGIN_DEG = 0.02
_SWAPPED = (
    "no sample lies in any scene, but with longitude and latitude swapped some do; rename the two "
    "columns"
)
_REMOTE_AT_ONCE = 2  # as many as a run's worker fetches


@dataclass(frozen=True)
class Matching:
    """How samples and scenes are matched.

    Parameters
    ----------
    days
        Greatest number of days between sample and scene, at most `MAX_DAYS`; None: any, dates
        that are missing too.
    window
        1: the pixel itself; 3: the median of 3 x 3.
    all_looks
        Whether all looks count, instead of the best one of each sample.
    """

    days: float | None = 30.0
    window: int = 1
    all_looks: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.days is not None and not 0 <= self.days <= MAX_DAYS:
            raise UsageError(
                f"--days {self.days:g} is not within 0 to {MAX_DAYS:.0f}; soils change within a "
                f"year, and --any-date matches all the same"
            )
        if self.window not in (1, 3):
            raise UsageError(f"--window {self.window} is neither 1 nor 3 pixels")

    @property
    def no_scene(self) -> str:
        """Why no scene is asked for a sample."""
        return "no scene covers it" + ("" if self.days is None else f" within {self.days:g} days")


@dataclass(frozen=True)
class Extracted:
    """Outcome of an extraction.

    Parameters
    ----------
    sites
        The rows.
    samples
        The samples.
    scenes
        Scenes that were found, and that were read.
    failed
        Why scenes could not be read, by key.
    """

    sites: Sites
    samples: FieldSamples
    scenes: tuple[int, int]
    failed: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """The places that one scene is asked for."""

    scene: Acquisition
    samples: NDArray[np.intp]
    lon: Floats
    lat: Floats
    window: int


def extract(
    table: Path,
    selection: Selection,
    rules: SampleRules,
    matching: Matching,
    *,
    compute: Compute | None = None,
    scratch: Scratch | None = None,
    progress: Progress | None = None,
) -> Extracted:
    """Match a table of samples with the scenes of a selection.

    Parameters
    ----------
    table
        The samples; see `read_samples`.
    selection
        The scenes; without an area, those around the samples.
    rules
        What the table's columns mean.
    matching
        Which looks count.
    compute
        Default: threads of this process.
    scratch
        Where the files of remote scenes are kept meanwhile.
    progress
        Receives progress on scenes.

    Raises
    ------
    FormatError
        The table cannot be used.
    UsageError
        No scene was found.
    RunError
        The catalogue or the scheduler does not answer.
    """
    shown = progress or Silent()
    samples = read_samples(table, rules)
    for note in samples.notes:
        shown.note(f"{table.name}: {note}")
    selected = _scenes(selection, samples, matching, shown)
    reasons = {
        i: UNDATED
        for i in range(len(samples))
        if matching.days is not None and np.isnat(samples.day[i])
    }
    jobs, failed = _jobs(selected.scenes, samples, matching, reasons)
    failed |= selected.refused
    seen = []
    shown.start("scenes", len(jobs))
    works = Reading(selected.access, scratch or Scratch())
    for each in _each(works, jobs, compute or Compute()):
        seen.append(each)
        if each.why_not:
            failed[each.scene.key] = each.why_not
        shown.advance("scenes")
    sites = sites_of(samples, seen, reasons, all_looks=matching.all_looks)
    if not len(sites.table):
        shown.note(_why_nothing(samples, selected.scenes, matching))
    read = sum(each.looks is not None for each in seen)
    return Extracted(sites, samples, (len(selected.scenes), read), failed)


def _scenes(
    selection: Selection, samples: FieldSamples, matching: Matching, progress: Progress
) -> Selected:
    """Search around the samples, in place and time, where the selection does not say so itself.

    Raises
    ------
    UsageError
        Nothing was found; it says whether place or time is the reason.
    """
    box: dict[str, Any] = {}
    days: dict[str, Any] = {}
    if selection.bbox is None and selection.area is None:
        box["bbox"] = _box(samples.lon, samples.lat)
    known = samples.day[~np.isnat(samples.day)]
    if selection.datetime is None and matching.days is not None and known.size:
        apart = timedelta(days=matching.days + 1)
        first, last = (each.astype(date) for each in (known.min(), known.max()))
        days["datetime"] = f"{first - apart}/{last + apart}"
    try:
        return find_scenes(selection.model_copy(update=box | days), progress)
    except UsageError:
        if days and _finds(selection.model_copy(update=box)):
            raise UsageError(
                f"no scene over the samples was taken within {matching.days:g} days of any of them;"
                f" allow more with --days, up to {MAX_DAYS:.0f}, or any with --any-date"
            ) from None
        swapped = {"bbox": _box(samples.lat, samples.lon)}
        may_be = box and (np.abs(samples.lon) <= 90).all()
        if may_be and _finds(selection.model_copy(update=swapped)):
            raise UsageError(_SWAPPED) from None
        if box and _finds(selection):
            raise UsageError(
                "no scene of the catalogue lies over any sample; check the coordinates, their CRS "
                "and the catalogue"
            ) from None
        raise


def _finds(selection: Selection) -> bool:
    """Return whether a selection has a scene."""
    try:
        find_scenes(selection.model_copy(update={"limit": 1}))
    except UsageError:
        return False
    return True


def _box(lon: Floats, lat: Floats) -> Bbox:
    return (
        max(-180.0, float(lon.min()) - _MARGIN_DEG),
        max(-90.0, float(lat.min()) - _MARGIN_DEG),
        min(180.0, float(lon.max()) + _MARGIN_DEG),
        min(90.0, float(lat.max()) + _MARGIN_DEG),
    )


def _jobs(
    scenes: Iterable[Acquisition],
    samples: FieldSamples,
    matching: Matching,
    reasons: dict[int, str],
) -> tuple[list[Job], dict[str, str]]:
    """Return what to read; say of samples that no scene is asked for why."""
    everyone = np.setdiff1d(np.arange(len(samples)), np.array(sorted(reasons), dtype=np.intp))
    asked = np.zeros(len(samples), np.bool_)
    jobs: list[Job] = []
    failed: dict[str, str] = {}
    for scene in scenes:
        try:
            row, _ = pixels_at(scene, samples.lon[everyone], samples.lat[everyone])
        except GridError as error:
            failed[scene.key] = str(error)
            continue
        under = everyone[row >= 0]
        if matching.days is not None:
            apart = days_apart(samples, SceneFacts.of(scene), under)
            under = under[np.abs(apart) <= matching.days]
        if under.size:
            asked[under] = True
            place = samples.lon[under], samples.lat[under]
            jobs.append(Job(scene, under, *place, matching.window))
    for i in everyone.tolist():
        if not asked[i]:
            reasons[i] = matching.no_scene
    return jobs, failed


def _why_nothing(samples: FieldSamples, scenes: Iterable[Acquisition], matching: Matching) -> str:
    """Return a sentence on what may be wrong where no sample has a row."""
    swapped = False
    for scene in scenes:
        if (pixels_at(scene, samples.lon, samples.lat)[0] >= 0).any():
            late = "" if matching.days is None else f" or is within {matching.days:g} days of one"
            return f"samples lie in scenes, but none has a usable pixel{late}"
        swapped |= bool((pixels_at(scene, samples.lat, samples.lon)[0] >= 0).any())
    if swapped:
        return _SWAPPED
    return "no sample lies in any scene; check the coordinates, their CRS and the catalogue"


@dataclass(frozen=True)
class Reading:
    """Reads what a job asks for; several threads may share one.

    Parameters
    ----------
    access
        Hosts that scenes may refer to.
    scratch
        Where remote files are kept meanwhile.
    """

    access: Access
    scratch: Scratch

    def fetcher(self) -> Fetcher:
        """Return what fetches the files of remote scenes."""
        space = ScratchSpace(self.scratch.folder, round(self.scratch.limit_gb * 1e9))
        return Fetcher(space, reach=self.access.reach)

    def __call__(self, job: Job) -> Seen:
        """Do a job with a fetcher of its own."""
        with self.fetcher() as fetcher:
            return do(job, fetcher)


def do(job: Job, fetcher: Fetcher) -> Seen:
    """Fetch a scene if it is remote, and look at its places; an error of it is part of the answer.

    Raises
    ------
    StoreError
        The scratch folder cannot be written.
    """
    facts = SceneFacts.of(job.scene)
    try:
        pixels = pixels_needed(job.scene, job.lon, job.lat, job.window)
        with fetcher.local(job.scene, Meter(), pixels) as local:
            looks = look(local, job.lon, job.lat, window=job.window)
    except (ReadError, AwayError, FormatError) as error:
        return Seen(facts, job.samples, None, str(error))
    return Seen(facts, job.samples, looks)


def _each(work: Reading, jobs: Sequence[Job], compute: Compute) -> Iterator[Seen]:
    """Do all jobs on what computes, and yield them as they come."""
    remote = any(is_remote(asset.href) for job in jobs for asset in job.scene.assets)
    if compute.scheduler is None and compute.workers is None:
        at_once = _REMOTE_AT_ONCE if remote else compute.threads or os.cpu_count() or 1
        with work.fetcher() as fetcher, ThreadPoolExecutor(at_once) as pool:
            waiting = [pool.submit(do, job, fetcher) for job in jobs]
            try:
                for each in as_completed(waiting):
                    yield each.result()
            finally:
                for each in waiting:
                    each.cancel()
        return
    from distributed import as_completed as as_they_come

    from flows.engines.opening import client_of

    with client_of(compute) as client:
        left = iter(jobs)
        # Archives limit connections of all workers together.
        begun = list(islice(left, _REMOTE_AT_ONCE if remote else len(jobs)))
        calls = as_they_come(client.map(work, begun, pure=False))
        for call in calls:
            calls.update(client.map(work, list(islice(left, 1)), pure=False))
            yield call.result()
