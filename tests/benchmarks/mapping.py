"""Stage 1 as it runs: on threads, and on workers in processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.compute import computing
from flows.stage1 import process_scene

from catalog.items import to_item
from deepsalt.model.load import load_student, model_ref
from deepsalt.types import Acquisition
from flows.config import Access, Compute, SceneConfig
from tests.benchmarks.rows import Run

WORKERS = 2


@contextmanager
def on_threads() -> Iterator[Run]:
    """Map a scene into a store, records included."""
    yield _process(Compute())


@contextmanager
def on_cluster() -> Iterator[Run]:
    """Do the same on workers in processes, started before the clock is."""
    from distributed import get_client

    compute = Compute(workers=WORKERS, threads=1)
    with computing(compute):
        # The small scene that warms up is one chunk, and warms one worker only.
        get_client().run(warm_up)
        yield _process(compute)


def warm_up() -> None:
    """Import in a worker what it will need, and load the weights."""
    import stackstac  # noqa: F401

    load_student(model_ref())


def _process(compute: Compute) -> Run:
    def run(acquisition: Acquisition, out: Path) -> None:
        config = SceneConfig(compute=compute, access=Access(networks=("loopback",)))
        process_scene(to_item(acquisition).to_dict(), str(out), config)

    return run
