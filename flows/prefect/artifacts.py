"""What an operator sees of a run on Prefect's pages: one short text, and how far it is.

Pictures stay in the store; Prefect's database has links alone. All of it is a convenience: a server
that does not take it is a warning, and the run goes on.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from deepsalt.errors import DeepsaltError
from deepsalt.mosaic import QUICKLOOK
from deepsalt.products import prefix_of, read_markers
from deepsalt.store import Store
from flows.publication import draw_scene, items_of, picture_key
from flows.run.mosaic import MosaicResult
from flows.service.environment import PAGES_VARIABLE
from flows.watch.costs import Amounts
from flows.watch.freshness import Freshness
from flows.watch.judge import Judgement

logger = logging.getLogger(__name__)

EVERY_S = 5.0
"""Time between two updates of a progress bar: each is a request and a row of the database."""

_FAILURES = (httpx.HTTPError, PrefectException, OSError, RuntimeError, ValueError)


def show_scene(store: Store, report: Mapping[str, Any]) -> None:
    """Draw a scene product into its store, and show what it holds.

    Parameters
    ----------
    store
        The store.
    report
        The fields of a `SceneReport`.
    """
    product = str(report["product"])
    lines = [f"**{report['scene']}** is {report['status']}", ""]
    if product:
        picture = picture_key(product)
        try:
            if next(store.objects.list(picture), None) is None:
                draw_scene(store, product)
            item, source = items_of(read_markers(store, [product])[product])
        except DeepsaltError as error:
            logger.warning("scene %s has no picture: %s", report["scene"], error)
            return
        lines += [
            f"[picture]({link(store, picture)}), [Item]({link(store, item)}), "
            f"[Item of the scene]({link(store, source)})",
            "",
            f"product: `{store.objects.below(prefix_of(product))}`",
            "",
        ]
    lines += _shares(report["pixels"], report["estimated"], report["by_flag"])
    _show("scene", lines)


def show_mosaic(store: Store, result: MosaicResult) -> None:
    """Show the version that a build made.

    Parameters
    ----------
    store
        The store.
    result
        Outcome of the build.
    """
    lines = [
        f"version **{result.version}**: {result.tiles} tiles, {result.composed} composed, "
        f"{result.added} scenes more and {result.removed} less",
        "",
    ]
    if result.held:
        why = result.why_held or "as asked"
        lines += [f"**held back**: {why}; readers see the version before", ""]
    else:
        lines += [f"[picture]({link(store, QUICKLOOK)})", ""]
    lines += _shares(result.pixels, result.estimated, result.by_flag)
    _show("mosaic", lines)


def show_judgement(store: Store, found: Judgement, spent: Amounts) -> None:
    """Show how fresh collections and mosaic are, what is covered and spent, and open alerts.

    Parameters
    ----------
    store
        The store.
    found
        What was judged.
    spent
        What all runs into the store took.
    """
    bad = [each for each in found.alerts if each.severity != "well"]
    lines = [f"- **{each.kind}**: {each.sentence}" for each in bad] or ["all is well"]
    lines += ["", *_table(_FRESH, map(_fresh, found.collections))]
    mosaic = found.mosaic
    made = f"{mosaic.created:%Y-%m-%d %H:%M}" if mosaic.created else "never"
    row = (mosaic.version or "none", made, str(len(mosaic.waiting)))
    lines += ["", *_table(("version", "made, UTC", "scenes that wait too long"), [row])]
    if mosaic.version:
        lines += ["", f"[coverage]({link(store, QUICKLOOK)})"]
    costs = [
        ("fetched, GB", f"{spent.expected_bytes / 1e9:,.2f}", f"{spent.fetched_bytes / 1e9:,.2f}"),
        ("workers, h", f"{spent.expected_s / 3600:,.2f}", f"{spent.worker_s / 3600:,.2f}"),
    ]
    lines += ["", *_table((f"cost of {spent.scenes:,.0f} scenes", "estimated", "actual"), costs)]
    _show("freshness", lines)


def link(store: Store, key: str) -> str:
    """Return where a browser finds an object of a store.

    An address of its bucket; of a folder one of the service whose store it is, else a file.
    """
    objects = store.objects
    if objects.is_local:
        address, _, place = os.environ.get(PAGES_VARIABLE, "").partition(" ")
        if place == str(objects):  # runs by hand may write into other stores
            return f"{address}/{quote(key)}"
        return (objects.path / key).as_uri()
    scheme, _, rest = objects.uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    path = quote(f"{prefix}/{key}" if prefix else key)
    hosts = {
        "s3": f"https://{bucket}.s3.amazonaws.com/{path}",
        "gs": f"https://storage.googleapis.com/{bucket}/{path}",
    }
    return hosts.get(scheme, f"{objects.uri}/{key}")


class Shown:
    """`Progress` as one bar on the page of the run, for the stage that takes longest.

    Parameters
    ----------
    stage
        The stage that is shown.
    """

    def __init__(self, stage: str = "scenes") -> None:
        self._stage = stage
        self._total = 0
        self._done = 0
        self._artifact: UUID | None = None
        self._is_refused = False
        self._shown_s = 0.0
        self._lock = Lock()

    def start(self, stage: str, total: int, *, size_bytes: int = 0) -> None:
        """Begin a stage, or let one that began grow."""
        if stage == self._stage and total:
            with self._lock:
                self._total += total
            self._update(at_once=True)

    def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
        """Count units of a stage as done."""
        if stage == self._stage:
            with self._lock:
                self._done += units
                over = self._done >= self._total
            self._update(at_once=over)

    def note(self, message: str) -> None:
        """Log a sentence."""
        logger.info("%s", message)

    def listing(self, pages: int, items: int) -> None:
        """Ignore it: a search is short."""

    def _update(self, *, at_once: bool) -> None:
        with self._lock:
            now_s = time.monotonic()
            if self._is_refused or (not at_once and now_s - self._shown_s < EVERY_S):
                return
            self._shown_s = now_s
            percent = 100.0 * self._done / max(self._total, 1)
            said = f"{self._done} of {self._total} {self._stage}"
            try:
                if self._artifact is None:
                    created = create_progress_artifact(percent, self._stage, said)
                    self._artifact = cast(UUID, created)  # a coroutine in a coroutine alone
                else:
                    update_progress_artifact(self._artifact, percent, said)
            except _FAILURES as error:
                self._is_refused = True  # to ask a server that is away each time would stop the run
                _warn(self._stage, error)


def _shares(pixels: int, estimated: int, by_flag: Mapping[str, int]) -> list[str]:
    """Return a table of shares of pixels: those estimated, and by flag."""
    rows = [("estimated", estimated), *by_flag.items()]
    shown = [
        (name.replace("_", " "), f"{count / pixels:.1%}", f"{count:,}")
        for name, count in rows
        if pixels
    ]
    return _table(("pixels", "share", f"of {pixels:,}"), shown)


_FRESH = ("collection", "newest", "last news", "usual latency", "usual wait", "verdict")


def _fresh(each: Freshness) -> Sequence[str]:
    usual = each.usual
    return (
        each.collection,
        f"{each.newest:%Y-%m-%d %H:%M}" if each.newest else "none",
        f"{each.heard:%Y-%m-%d %H:%M}" if each.heard else "none",
        f"{usual.latency.total_seconds() / 3600:.0f} h" if usual else "not known",
        f"{usual.wait.total_seconds() / 3600:.0f} h at most" if usual else "not known",
        each.late or each.unjudged or "fresh",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines]


_DESCRIPTIONS = {
    "scene": "What a scene product holds: shares of pixels by flag, of which one may have several.",
    "mosaic": "What a build changed, shares of pixels by flag, and whether readers see it.",
    "freshness": "Open alerts, and how fresh each collection and the mosaic are.",
}
"""What each artifact is; the overview of artifacts shows it."""


def _show(key: str, lines: Sequence[str]) -> None:
    try:
        create_markdown_artifact("\n".join(lines), key, _DESCRIPTIONS[key])
    except _FAILURES as error:
        _warn(key, error)


def _warn(key: str, error: Exception) -> None:
    logger.warning("the run's page has no %s (%s); the run goes on", key, type(error).__name__)
