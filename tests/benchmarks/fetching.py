"""Remote scenes: fetching beside local files, and beside computing, in one run.

A web server on this machine answers each request after a wait, as distant ones do; it is a process
of its own. Each row is the median of several turns; all rows of a comparison take turns.

- fetched / local: all pixels of one scene by `read_window`, after a fetch or of the file;
- overlap: a few scenes mapped, the server so slow that a fetch takes about as long as the work. The
  sum is what fetching all and mapping all take one after the other.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from deepsalt.access import Reach
from deepsalt.fetch import Fetcher, ScratchSpace
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.types import Acquisition
from tests.benchmarks.mapping import on_threads
from tests.benchmarks.scenes import CENTER
from tests.servers.ranges import file_server

THREADS = 2
LIMIT_BYTES = 10**10


def simulate(folder: Path, size_px: int, interleave: str) -> Acquisition:
    """Write the scene that is served."""
    from deepsalt.simulate.enmap import Variant, write_enmap
    from deepsalt.simulate.geodesy import utm_grid
    from deepsalt.simulate.landscape import Landscape

    path = write_enmap(
        folder,
        landscape=Landscape(1, *CENTER),
        grid=utm_grid(*CENTER, size_px, size_px),
        start=datetime(2024, 4, 18, tzinfo=UTC),
        seed=1,
        variant=Variant(interleave=interleave),
    )
    return read_acquisition(path)


@contextmanager
def serving_elsewhere(root: Path, latency_s: float) -> Iterator[str]:
    """Serve a folder from a process of its own until the block ends; yields its URL."""
    command = [sys.executable, "-m", "tests.benchmarks.fetching"]
    command += ["--serve", str(root), "--latency", str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def remote(acquisition: Acquisition, root: Path, url: str, number: int) -> Acquisition:
    """Return the scene as on the server; `number` makes others of it."""
    return dataclasses.replace(
        acquisition,
        scene_id=f"{acquisition.scene_id}-{number}",
        assets=tuple(
            dataclasses.replace(a, href=f"{url}/{Path(a.href).relative_to(root)}?{number}")
            for a in acquisition.assets
        ),
    )


def read_all(acquisition: Acquisition) -> None:
    """Read all windows of a scene, two threads."""
    grid = acquisition.grid
    rows, columns = acquisition.block_shape or (256, 256)

    def strip(row: int) -> None:
        reader = open_reader(acquisition)
        height = min(rows, grid.height - row)
        for column in range(0, grid.width, columns):
            window = (row, column, height, min(columns, grid.width - column))
            reader.read_window(*window)
            reader.read_quality(*window)
        reader.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(strip, range(0, grid.height, rows)))


def seconds(work: Callable[[], None]) -> float:
    """Return how long some work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def fetched(scenes: list[Acquisition], work: Callable[[Acquisition], None]) -> None:
    """Fetch scenes and work on each, the next one coming meanwhile."""
    reach = Reach(networks=frozenset({"loopback"}))
    with (
        Fetcher(ScratchSpace(None, LIMIT_BYTES), reach=reach) as fetcher,
        ThreadPoolExecutor(1) as ahead,
    ):
        coming = ahead.submit(fetcher.bring, scenes[0])
        for number, scene in enumerate(scenes):
            coming.result()
            if scenes[number + 1 :]:
                coming = ahead.submit(fetcher.bring, scenes[number + 1])
            with fetcher.local(scene) as local:
                work(local)


def fetched_beside_local(size_px: int, repeats: int, latency_s: float) -> list[dict[str, object]]:
    """Return rows of reading a scene after fetching it, and where it lies."""
    rows = []
    for interleave in ("pixel", "band"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            local = simulate(root, size_px, interleave)
            found: dict[str, list[float]] = {"fetched": [], "local": []}
            with serving_elsewhere(root, latency_s) as url:
                for turn in range(repeats):
                    remote_scene = remote(local, root, url, turn)
                    found["fetched"].append(seconds(partial(fetched, [remote_scene], read_all)))
                    found["local"].append(seconds(partial(read_all, local)))
            case = f"EnMAP {size_px} x {size_px} x 224, {interleave}-interleaved, simulated, "
            case += f"{latency_s * 1000:.0f} ms"
            rows += rows_of(found, case, "local")
    return rows


def overlap(size_px: int, repeats: int, scenes: int) -> list[dict[str, object]]:
    """Return rows of mapping a few scenes, the fetch of one about as slow as the work on it."""
    with tempfile.TemporaryDirectory() as folder, on_threads() as ours:
        root = Path(folder)
        local = simulate(root, size_px, "pixel")
        ours(local, root / "warm-up")
        work_s = seconds(lambda: ours(local, root / "again"))
        found: dict[str, list[float]] = {"fetching alone": [], "mapping alone": [], "both": []}
        # A scene takes three waits: for the sizes, and two times for ranges (10 at a time).
        with serving_elsewhere(root, work_s / 3) as url:
            for turn in range(repeats):
                remotes = [remote(local, root, url, turn * scenes + n) for n in range(scenes)]
                with tempfile.TemporaryDirectory() as out:
                    target = Path(out)

                    def mapped(scene: Acquisition, target: Path = target) -> None:
                        ours(scene, target / str(time.monotonic_ns()))

                    found["fetching alone"].append(
                        seconds(lambda s=remotes: fetched(s, lambda scene: None))
                    )
                    found["mapping alone"].append(
                        seconds(lambda m=mapped: [m(local) for _ in range(scenes)])
                    )
                    found["both"].append(seconds(lambda s=remotes, m=mapped: fetched(s, m)))
        found["sum"] = [
            fetch + work
            for fetch, work in zip(found["fetching alone"], found["mapping alone"], strict=True)
        ]
        return rows_of(found, f"{scenes} scenes of {size_px} x {size_px}, simulated", "both")


def rows_of(found: dict[str, list[float]], case: str, base: str) -> list[dict[str, object]]:
    """Return one row per case: median and ratio to the base."""
    medians = {name: statistics.median(runs) for name, runs in found.items()}
    return [
        {"name": name, "case": case, "wall_s": round(s, 2), "ratio": round(s / medians[base], 2)}
        for name, s in medians.items()
    ]


def serve(root: Path, latency_s: float) -> None:
    """Serve until killed; the first line says where."""
    with file_server(root, latency_s=latency_s) as server:
        print(server.url, flush=True)
        while True:
            time.sleep(3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", type=Path, help="serve this folder, no more")
    parser.add_argument("--latency", type=float, default=0.02, help="wait per request, seconds")
    parser.add_argument("--size", type=int, default=600, help="edge of the scene, pixels")
    parser.add_argument("--scenes", type=int, default=4, help="scenes of the overlap")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/bench-fetching.json"))
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.latency)
    rows = fetched_beside_local(args.size, args.repeats, args.latency)
    rows += overlap(args.size, args.repeats, args.scenes)
    for row in rows:
        print(f"{row['case']:<60}{row['name']:<16}{row['wall_s']:>8} s{row['ratio']:>7}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
