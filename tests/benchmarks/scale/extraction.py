"""What it takes to extract field samples: `python -m tests.benchmarks.scale.extraction`.

Samples at random places and days under scenes of one place, one every few days. Scenes are
SIMULATED, Items of one product with other names and days, here and on a server on loopback; each
engine writes the same bytes.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.scenes.base import read_acquisition
from deepsalt.sites.samples import SampleRules
from flows.cli.models.extract import write_sites
from flows.config import Compute, Selection
from flows.run.extract import Matching, Resources, extract
from tests.benchmarks.measure import cpu_s
from tests.benchmarks.scenes import on_server, simulate
from tests.servers.ranges import file_server

EVERY_DAYS = 3
FIRST = datetime(2022, 1, 1, tzinfo=UTC)
ENGINES = {
    "threads": Compute(threads=2),
    "processes": Compute(workers=2, threads=1),
}
Row = dict[str, Any]


def catalogued(scene: Path, folder: Path, count: int, url: str | None = None) -> Path:
    """Catalogue a product as so many scenes of different days."""
    found = read_acquisition(scene)
    if url is not None:
        found = on_server(found, scene.parent, url)
    items = []
    for number in range(count):
        day = FIRST + timedelta(days=EVERY_DAYS * number)
        name = f"{found.acquisition_id}-{number:05d}"
        one = replace(found, scene_id=name, acquisition_id=name, start=day, end=day)
        items.append(to_item(one))
    add_items(folder, items)
    return folder


def sampled(scene: Path, path: Path, samples: int, scenes: int) -> Path:
    """Write samples at random places of a scene, and days of a campaign of years."""
    rng = np.random.default_rng(0)
    corners = np.array(read_acquisition(scene).footprint)
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    days = rng.integers(0, EVERY_DAYS * scenes, samples)
    table = {
        "id": [f"s{number:05d}" for number in range(samples)],
        "lon": rng.uniform(west, east, samples).round(6),
        "lat": rng.uniform(south, north, samples).round(6),
        "ec": rng.lognormal(size=samples).round(3),
        "date": [(FIRST + timedelta(days=int(day))).date().isoformat() for day in days],
    }
    pd.DataFrame(table).to_csv(path, index=False)
    return path


@contextmanager
def catalogues(scene: Path, folder: Path, count: int) -> Iterator[dict[str, Path]]:
    """Catalogues of local files, and of the same on a server that answers 10 ms late."""
    with file_server(scene.parent, latency_s=0.01) as files:
        yield {
            "local": catalogued(scene, folder / "here", count),
            "remote": catalogued(scene, folder / "there", count, files.url),
        }


def measured(samples: int, scenes: int, size_px: int) -> Iterator[Row]:
    """Yield a row for each engine and place of files.

    Raises
    ------
    RuntimeError
        Tables differ.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = simulate(folder, size_px)
        table = sampled(scene, folder / "samples.csv", samples, scenes)
        tables: dict[str, bytes] = {}
        with catalogues(scene, folder, scenes) as known:
            for (files, catalogue), (engine, compute) in (
                (place, how) for place in known.items() for how in ENGINES.items()
            ):
                wall_s, used_s = time.perf_counter(), cpu_s()
                found = extract(
                    table,
                    Selection(catalogue=str(catalogue), allow_hosts=("127.0.0.1",)),
                    SampleRules(),
                    Matching(days=EVERY_DAYS),
                    resources=Resources(compute),
                )
                out = folder / f"{files}-{engine}.csv"
                write_sites(found, out)
                tables[out.name] = out.read_bytes()
                yield {
                    "files": files,
                    "engine": engine,
                    "samples": samples,
                    "scenes": scenes,
                    "size_px": size_px,
                    "read": found.scenes[1],
                    "matched": int(found.sites.matched.sum()),
                    "rows": len(found.sites.table),
                    "failed": len(found.failed),
                    "wall_s": round(time.perf_counter() - wall_s, 1),
                    "cpu_s": round(cpu_s() - used_s, 1),
                }
        if len(set(tables.values())) > 1:
            raise RuntimeError(f"tables differ: {', '.join(tables)}")


def main() -> None:
    """Print a row for each engine, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--size", type=int, default=400, help="edge of a scene, pixels")
    asked = parser.parse_args()
    for row in measured(asked.samples, asked.scenes, asked.size):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
