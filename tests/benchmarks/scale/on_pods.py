"""Real runs on pods for `tests.benchmarks.scale.preemption`, on the cluster of KUBECONFIG.

Two steps, `python -m tests.benchmarks.scale.on_pods STEP`:

1. `calm` maps scenes on two workers without kills, 8 and 24 of them, and kills one worker of two
   more runs to see how long another needs to begin; it writes `calm.json`.
2. `killed` maps as many scenes as a prediction says, five times, while worker pods are killed at
   its rate; it writes `measured.json`.

All scenes are one simulated product of 1,000,000 pixels under several names, so that they cost the
same. Scenes, store and pods are on one machine: nothing but the interruptions is like a cloud.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pystac

from catalog.local import add_items
from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.scene import Weather
from tests.benchmarks.scale.preemption import RUNS, kill
from tests.flows.conftest import CENTER, WEST_DAY
from tests.kubernetes.bucket import serving
from tests.kubernetes.cluster import Cluster, Space
from tests.kubernetes.driver import Here, left_of_runs, profile_text, workers_of
from tests.kubernetes.overlay import applied
from tests.kubernetes.world import World, uploaded

WORKERS = 2
_CALM = (8, 24)
_SIDE_PX = 1000
_PATIENCE_S = 1200.0


@dataclass(frozen=True)
class Ground:
    """A namespace with one scene in its bucket, and the profile of the runs."""

    space: Space
    world: World
    folder: Path

    def catalogue(self, scenes: int) -> World:
        """Return a world whose catalogue has the scene so many times."""
        (path,) = self.world.catalogue.rglob("ENMAP*.json")
        items = []
        for number in range(scenes):
            item = pystac.Item.from_file(str(path)).clone()
            item.id = f"{item.id}-{number:03}"
            item.properties["deepsalt:acquisition_id"] += f"_{number:03}"
            item.clear_links()
            items.append(item)
        folder = self.folder / f"scenes-{scenes}"
        if not folder.exists():
            add_items(folder, items)
        return World(self.world.bucket, folder)

    def run(self, name: str, scenes: int) -> Here:
        """Start a run of so many scenes."""
        return Here(self.catalogue(scenes), name, self.folder / "cluster.toml", "--json")

    def ended(self, run: Here) -> dict[str, Any]:
        """Return the result of a run, once nothing of it is left; it may have given up scenes."""
        ended = run.wait(_PATIENCE_S)
        found = [line for line in ended.said.splitlines() if line.startswith("{")]
        assert found, ended.said
        self.space.wait(lambda: not left_of_runs(self.space), "a run left objects", patience_s=90.0)
        result: dict[str, Any] = json.loads(found[-1])
        return result


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Make the namespace, and remove it afterwards."""
    cluster = Cluster(folder / "kinds.json")
    scene = write_enmap(
        folder,
        landscape=Landscape(3, *CENTER),
        grid=utm_grid(*CENTER, _SIDE_PX, _SIDE_PX, zone=44),
        start=WEST_DAY,
        seed=1,
        weather=Weather(cloud=0.05),
    )
    with cluster.space("preemption") as space, applied(space), serving(space) as bucket:
        world = uploaded((scene,), bucket, folder / "scene")
        group = {"least": WORKERS, "most": WORKERS}
        (folder / "cluster.toml").write_text(profile_text(space, group, scratch_gb=2))
        yield Ground(space, world, folder)


def calm(here: Ground) -> tuple[list[dict[str, float]], float]:
    """Return runs without kills, and the seconds from a worker's end to another's begin."""
    runs = []
    for scenes in _CALM:
        with here.run(f"calm-{scenes}", scenes) as run:
            seconds = here.ended(run)["effort"]["scenes_s"]
        runs.append({"scenes": scenes, "workers": WORKERS, "seconds": round(seconds, 2)})
        print(runs[-1], flush=True)
    begins = []
    for number in range(2):
        with here.run(f"one-{number}", _CALM[0] + 4) as run:
            begins.append(_replaced(here, run, f"one-{number}"))
            here.ended(run)
        print("another worker after", round(begins[-1], 1), "s", flush=True)
    return runs, statistics.fmean(begins)


def _replaced(here: Ground, run: Here, name: str) -> float:
    """Kill a worker and return the seconds until another is ready."""
    here.space.wait(
        lambda: here.world.keys(name, "records/done"),
        "no scene is mapped",
        patience_s=180.0,
        alive=run.is_alive,
    )
    known = set(workers_of(here.space))
    at_s = time.monotonic()
    here.space.kill(min(known))
    while not set(workers_of(here.space)) - known:
        assert run.is_alive(), "the run ended before another worker came"
        time.sleep(0.2)
    return time.monotonic() - at_s


def killed(
    here: Ground, prediction: dict[str, Any], seeds: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yield the results of runs whose worker pods are killed until their scenes are mapped."""
    scenes = prediction["scenes"]

    def mapped(name: str) -> bool:
        return len(here.world.keys(name, "records/done")) == scenes

    for number in seeds:
        name = f"killed-{number}"
        with ThreadPoolExecutor(1) as pool, here.run(name, scenes) as r:
            kills = pool.submit(
                kill,
                here.space.name,
                "",
                per_hour=prediction["kills_per_hour"],
                notice_s=int(prediction["notice_s"]),
                seed=number,
                is_over=partial(mapped, name),
            )
            result = here.ended(r)
            yield {"kills": kills.result(), **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["calm", "killed"])
    parser.add_argument("--prediction", type=Path, help="of `preemption predict`, for `killed`")
    parser.add_argument("--seeds", type=int, nargs="+", default=range(RUNS), help="of the moments")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    with TemporaryDirectory() as folder, ground(Path(folder)) as here:
        if args.step == "calm":
            runs, start_s = calm(here)
            print(f"--start {start_s:.1f}")
            args.out.write_text(json.dumps(runs, indent=1) + "\n")
            return
        results = []
        for each in killed(here, json.loads(args.prediction.read_text()), args.seeds):
            kept = ("kills", "begun_again", "wasted_s", "effort", "left")
            results.append({name: each[name] for name in kept})
            print(json.dumps(results[-1]), flush=True)
            args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
