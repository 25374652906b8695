"""What a worker takes stays within what `plan` says."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from deepsalt.model.load import model_ref
from deepsalt.scenes.base import read_acquisition
from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.types import Acquisition
from flows.config import Access, Compute, Grid, Scratch
from flows.engines.cluster import cluster_of
from flows.engines.engine import Joined
from flows.engines.opening import client_of
from flows.engines.station import Station, Task
from flows.run.memory import worker_memory
from flows.run.stores import open_store

PLACE = (84.0, 40.87)
THREADS, SCENES, SIZE_PX = 4, 10, 512


@pytest.fixture
def scene(tmp_path: Path) -> Acquisition:
    """A SIMULATED scene."""
    path = write_enmap(
        tmp_path,
        landscape=Landscape(1, *PLACE),
        grid=utm_grid(*PLACE, SIZE_PX, SIZE_PX),
        start=datetime(2024, 4, 18, tzinfo=UTC),
        seed=1,
    )
    return read_acquisition(path)


def peak_bytes() -> int:
    """Return the most memory that this process ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Port 8787:UserWarning")  # of another scheduler here
def test_a_worker_that_is_offered_ten_scenes_at_once_stays_within_the_plan(
    scene: Acquisition, tmp_path: Path
) -> None:
    out = str(tmp_path / "store")
    open_store(out, model_ref(), Grid(), None)
    task = Task(out, None, "cpu", Scratch(), Access())
    events: SimpleQueue[Any] = SimpleQueue()
    with (
        client_of(Compute(workers=1, threads=THREADS, memory="8GB")) as client,
        cluster_of(client, task, THREADS, events) as engine,
    ):
        joined = events.get()
        assert isinstance(joined, Joined)
        offered = [
            replace(scene, scene_id=f"s{number}", acquisition_id=f"a{number}")
            for number in range(SCENES)
        ]
        calls = [engine.call(joined.worker, Station.process, each) for each in offered]
        assert {call.result().status for call in calls} == {"written"}
        (peak,) = client.run(peak_bytes).values()
    assert peak < 1.2 * worker_memory([scene], THREADS)
