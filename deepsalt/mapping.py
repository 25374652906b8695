"""Stage 1: from a scene's files to a product on its own grid in the store.

A scene's files are fetched, opened as a lazy cube, masked and predicted chunk by chunk, written
into the store, and marked as complete.
"""

import logging
import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deepsalt.context import Context
from deepsalt.cube.load import open_scene
from deepsalt.cube.quality import mark_valid
from deepsalt.effort import NO_WORK, Meter, SceneWork
from deepsalt.errors import DeviceError, StoppedError
from deepsalt.fetch.checksums import verified
from deepsalt.model.device import failures
from deepsalt.model.platform import platform
from deepsalt.naming import named
from deepsalt.predict.cube import predict_cube
from deepsalt.products import (
    ProductMarker,
    check_layers,
    find_marker,
    mark_done,
    product_name,
    write_product,
)
from deepsalt.store import Store, keep_to_platform, tombstone
from deepsalt.types import Acquisition, QualityFlag

if TYPE_CHECKING:
    import xarray as xr
    from dask.array import Array

logger = logging.getLogger(__name__)


class FlagCounts(Mapping[str, int]):
    """Pixels per `QualityFlag` bit, lower case, in a tenth of the memory of a dictionary.

    A run over a continent holds one per scene.

    Parameters
    ----------
    counts
        Pixels of the flags that occur.
    """

    __slots__ = ("_packed",)

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._packed = array("Q", [0] * len(QualityFlag))
        for name, count in counts.items():
            self._packed[QualityFlag[name.upper()].bit_length() - 1] = count

    def __getitem__(self, name: str) -> int:
        count = self._packed[QualityFlag[name.upper()].bit_length() - 1]
        if not count:
            raise KeyError(name)
        return count

    def __iter__(self) -> Iterator[str]:
        pairs = zip(QualityFlag.__members__, self._packed, strict=True)
        return (name.lower() for name, count in pairs if count)

    def __len__(self) -> int:
        return len(self._packed) - self._packed.count(0)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __deepcopy__(self, memo: object) -> dict[str, int]:
        """Return a plain dictionary, which `dataclasses.asdict` then gives."""
        return dict(self)


_NONE = FlagCounts({})


@dataclass(frozen=True, slots=True)
class SceneReport:
    """Outcome of one scene.

    Parameters
    ----------
    scene
        Scene key.
    status
        ``written``, ``present`` (was complete before), ``withdrawn`` (by an operator),
        ``quarantined`` (can never work) or ``failed`` (a later try may succeed).
    product
        Name of the scene product; empty if there is none.
    pixels, estimated
        Pixels of the scene, and those with an estimate.
    by_flag
        Pixels per `QualityFlag` bit, lower case, those that occur.
    reason
        Why a scene is withdrawn, quarantined or failed.
    work
        What it took; nothing for a scene that was not worked on, or in a run, which adds them up.
        Equal outcomes may differ in it.

    Examples
    --------
    >>> from deepsalt.mapping import SceneReport
    >>> report = SceneReport("enmap-l2a/DT7_1/V1", "written", pixels=100, estimated=60)
    >>> f"{report.estimated / report.pixels:.0%}"
    '60%'
    """

    scene: str
    status: str
    product: str = ""
    pixels: int = 0
    estimated: int = 0
    by_flag: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    work: SceneWork = field(default=NO_WORK, compare=False)

    def __post_init__(self) -> None:
        """Pack the counts."""
        object.__setattr__(self, "by_flag", FlagCounts(self.by_flag) if self.by_flag else _NONE)


def map_scene(
    acquisition: Acquisition,
    store: Store,
    context: Context,
    *,
    announce: Callable[[ProductMarker], None] | None = None,
    meter: Meter | None = None,
) -> SceneReport:
    """Map the salinity of one scene on its own grid into a store; return at once if it exists.

    Safe to repeat, even concurrently: a product's bytes depend only on the scene, the model and the
    algorithm.

    Parameters
    ----------
    acquisition
        The scene.
    store
        The store.
    context
        Resources for the work.
    announce
        Called after the product is written and before it counts, so that what the call writes, such
        as a catalogue's Item, exists for whoever finds the product.
    meter
        Counts the work also if the scene fails. Default: only the report has it.

    Raises
    ------
    GridError
        The scene lies outside the mosaic's extent.
    FormatError
        The scene cannot be used.
    ReadError
        Its files cannot be fetched or read.
    StoreError
        The store cannot be written, or belongs to another model.
    StoppedError
        `Context.stopped` or `Context.closing` was set.
    DeviceError
        The device failed, and the CPU may not take over (`Context.mixed`).

    Examples
    --------
    >>> import deepsalt
    >>> store = deepsalt.Store.open("store")
    >>> with deepsalt.Context.local() as context:
    ...     report = deepsalt.map_scene(deepsalt.read_acquisition("enmap-scene"), store, context)
    >>> report.status
    'present'
    """
    record = tombstone(store, (acquisition.collection, acquisition.acquisition_id))
    if record is not None and record.covers(acquisition.version):
        return SceneReport(acquisition.key, "withdrawn", reason=str(record))
    if marker := find_marker(store, product_name(acquisition, context.model)):
        return report_of(acquisition, "present", marker)
    store.refuse_other_model(context.model.digest)
    # Refused here, because the product would not fit into the mosaic.
    store.frame.refuse_beyond(f"scene {acquisition.key}", store.grid.tiles_over(acquisition.grid))
    meter = meter or Meter()
    with ExitStack() as written:
        written.enter_context(named(scene=acquisition.key))
        with context.fetcher.local(acquisition, meter) as local, context.maps:
            if context.closing.is_set():
                raise StoppedError(_abandoned(acquisition))
            with (
                meter.during("map", on_gpu=platform(context.device).startswith("cuda")),
                verified(acquisition),  # fetched files were verified on arrival
            ):
                layers = _layers(local, context)
                computed_on = platform(context.device)
            # A mapped scene waits for the one being written: there are never more than two.
            written.enter_context(context.writes)
        with meter.during("write"):
            if failures and context.mixed:
                keep_to_platform(store, computed_on, mixed=True)
            attrs = {"simulated": acquisition.simulated, "computed_on": computed_on}
            marker = write_product(layers, store, acquisition, context.model, attrs=attrs)
            del layers
            if announce is not None:
                announce(marker)
            marker = mark_done(store, marker)
        report = replace(report_of(acquisition, "written", marker), work=meter.work)
        logger.info(
            "mapped %d pixels in %.1f s, written in %.1f s",
            report.pixels,
            report.work.map_s,
            report.work.write_s,
        )
        return report


def _abandoned(scene: Acquisition) -> str:
    return f"scene {scene.scene_id} was abandoned; the next run maps it"


def _layers(local: Acquisition, context: Context) -> "xr.Dataset":
    """Return the layers of a scene with local files, in memory."""
    from dask.callbacks import Callback

    layers = predict_cube(mark_valid(open_scene(local)), context.model, device=context.device)
    check_layers(layers, local)
    # Ours is for this scene alone; a user's callbacks receive it like any other work.
    told = [_chunks(context, local, layers["quality_flags"].data), *Callback.active]
    # By name: inside a task of a cluster Dask would use the cluster itself.
    computed = layers.compute(scheduler="threads", pool=context.pool, callbacks=told)
    return computed


def _chunks(context: Context, scene: Acquisition, layer: "Array") -> tuple[Any, ...]:
    """Return a Dask callback that counts chunks, and raises at the first one after a stop.

    It raises as well where the CPU took over from a device and may not.
    """
    left = math.prod(layer.numblocks)

    def go_on() -> None:
        if context.stopped.is_set():
            raise StoppedError(_abandoned(scene))
        if failures and context.device != "cpu" and not context.mixed:
            raise DeviceError(
                f"scene {scene.scene_id} was abandoned because the device failed ({failures[0]}) "
                f"and the CPU rounds differently; start again where the device works, or give "
                f"--allow-mixed"
            )

    def count(key: object, *_: object) -> None:
        nonlocal left
        go_on()
        if isinstance(key, tuple) and key[0] == layer.name:
            left -= 1
            context.progress.advance("chunks")

    def finish(_graph: object, _state: object, failed: bool) -> None:
        if left and not failed:  # a single chunk is fused under another name
            context.progress.advance("chunks", left)

    go_on()  # it may have waited for another scene that was abandoned
    context.progress.start("chunks", left)
    return (None, None, None, count, finish)


def report_of(acquisition: Acquisition, status: str, marker: ProductMarker) -> SceneReport:
    """Return the outcome of a scene that has a product."""
    found = marker.report
    return SceneReport(
        acquisition.key,
        status,
        marker.name,
        found.pixels,
        found.estimated,
        dict(found.by_flag),
    )
