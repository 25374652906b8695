"""Stage 2 over scenes three deep: composing, checking and publishing, quicklook included."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from deepsalt.model.load import model_ref
from deepsalt.products import mark_done, open_product, write_product
from deepsalt.store import Store
from deepsalt.types import Acquisition
from flows.config import MosaicConfig, SceneConfig
from flows.publication import write_items
from flows.run.mosaic import build_at
from flows.run.single_scene import map_one
from tests.benchmarks.rows import DEPTH, Run


@contextmanager
def stage_two() -> Iterator[Run]:
    """Build the mosaic of a store that `three_deep` made."""

    def run(acquisition: Acquisition, out: Path) -> None:
        build_at(str(out), MosaicConfig())

    yield run


def three_deep(acquisition: Acquisition, out: Path) -> None:
    """Map a scene and write its product as that of two further acquisitions, too."""
    ref = model_ref()
    done = map_one(acquisition, str(out), SceneConfig())
    store = Store.open(out)
    layers = open_product(store, done.product).load()
    for number in range(1, DEPTH):
        other = replace(acquisition, acquisition_id=f"{acquisition.acquisition_id}-{number}")
        marker = write_product(layers, store, other, ref)
        write_items(store, other, ref, marker)
        mark_done(store, marker)
