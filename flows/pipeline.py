"""What a run does, free of Prefect.

`run` searches, maps every scene and builds the mosaic. The two stages are handed in as callables,
so that the command (directly) and the Prefect flows (one flow run per scene and mosaic) do the
same work in the same order.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsalt.errors import DeepsaltError, InputError, ReadError, UsageError
from deepsalt.types import Acquisition, Report
from flows.config import MosaicConfig, RunConfig, SceneConfig, Selection
from flows.progress import Progress, Silent

if TYPE_CHECKING:
    import pystac

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SceneResult:
    """What became of one scene.

    Parameters
    ----------
    scene
        Scene key.
    product
        Name of the scene product.
    status
        ``written``, ``present`` (was complete before) or ``quarantined``.
    pixels, estimated
        Pixels of the scene, and those with an estimate.
    by_basis
        Pixels per `Basis` bit, lower case.
    reason
        Why a scene is quarantined.
    """

    scene: str
    product: str
    status: str
    pixels: int = 0
    estimated: int = 0
    by_basis: dict[str, int] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class MosaicResult:
    """What became of the mosaic.

    Parameters
    ----------
    version
        Id of the published version.
    products
        Scene products in it.
    tiles, composed
        Tiles of the mosaic, and those that had to be composed anew.
    """

    version: str
    products: int
    tiles: int
    composed: int


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run; `exit_code` is the command's."""

    scenes: tuple[SceneResult, ...]
    mosaic: MosaicResult | None

    @property
    def quarantined(self) -> tuple[SceneResult, ...]:
        """Scenes that cannot work, with the reason."""
        return tuple(scene for scene in self.scenes if scene.status == "quarantined")

    @property
    def exit_code(self) -> int:
        """0 when everything is in the mosaic, 3 when some scenes are quarantined."""
        return 3 if self.quarantined else 0


@dataclass(frozen=True)
class Scene:
    """A scene that was found: its Item and what we made of it."""

    item: "pystac.Item"
    acquisition: Acquisition


Process = Callable[[dict[str, Any], str, SceneConfig], SceneResult]
Build = Callable[[str, MosaicConfig], MosaicResult]


def find_items(selection: Selection) -> "list[pystac.Item]":
    """Search the catalogue.

    Raises
    ------
    UsageError
        A filter that makes no sense, an area file that cannot be read.
    RunError
        A STAC API that does not answer.
    """
    from catalog.search import Query, read_area, search

    query = Query(
        collections=selection.collections,
        bbox=selection.bbox,
        area=read_area(selection.area) if selection.area else None,
        datetime=selection.datetime,
        max_cloud_pct=selection.max_cloud_pct,
        max_quality=selection.max_quality,
        limit=selection.limit,
    )
    return search(selection.catalogue, query)
