"""The verb `extract`: field samples matched with scenes, many at once, on any engine."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from deepsalt.errors import GridError, UsageError
from deepsalt.progress import Progress, Silent
from deepsalt.sites.look import pixels_at
from deepsalt.sites.rows import UNDATED, SceneFacts, Sites, days_apart, sites_of
from deepsalt.sites.samples import FieldSamples, SampleRules, read_samples
from deepsalt.types import Acquisition, Bbox, Floats
from flows.config import Compute, Politeness, SceneConfig, Scratch, Selection
from flows.run.memory import refuse_too_large
from flows.run.pods import expect, pods_of, refuse_local_scenes
from flows.run.reading import Job, Reading, read_all
from flows.run.selection import Selected, find_scenes

MAX_DAYS = 365.0
_MARGIN_DEG = 0.02
_SWAPPED = (
    "no sample lies in any scene, but with longitude and latitude swapped some do; rename the two "
    "columns"
)


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
class Resources:
    """What reads the scenes, and how it asks archives.

    Parameters
    ----------
    compute
        Which workers.
    scratch
        Where the files of remote scenes are kept meanwhile.
    politeness
        What hosts allow.
    """

    compute: Compute = field(default_factory=Compute)
    scratch: Scratch = field(default_factory=Scratch)
    politeness: Politeness = field(default_factory=Politeness)

    @property
    def of_scenes(self) -> SceneConfig:
        """The same as a run has it."""
        return SceneConfig(compute=self.compute, scratch=self.scratch)


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


def extract(
    table: Path,
    selection: Selection,
    rules: SampleRules,
    matching: Matching,
    *,
    resources: Resources | None = None,
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
    resources
        What reads the scenes. Default: threads of this process.
    progress
        Receives progress on scenes.

    Raises
    ------
    FormatError
        The table cannot be used.
    UsageError
        No scene was found, or one that pods cannot reach.
    RunError
        The catalogue does not answer; or workers cannot be reached, differ, or are lost.
    """
    shown, on = progress or Silent(), resources or Resources()
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
    with pods_of(on.compute, shown) as pods:
        if pods is not None:
            scenes = [job.scene for job in jobs]
            refuse_local_scenes(scenes)
            expect(pods, refuse_too_large(scenes, on.of_scenes), len(jobs))
        reading = Reading(selected.access, on.of_scenes.scratch_of_workers)
        for each in read_all(reading, jobs, on.compute, on.politeness, progress=shown, pods=pods):
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
