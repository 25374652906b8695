"""Speed and memory of stage 1 beside its floor, in one run: `make bench`.

The floor is what nobody can go below: block windows on threads, the same student on the same
pixels, a bare zarr write of the same layers; no Dask, no xarray. It takes the provider's masks
only; ours also judges water and vegetation from the spectrum. Each case runs in a process of its
own, in turn, several times; medians are shown. The machine is noisy, the ratio is less so.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from deepsalt.model.load import model_ref
from deepsalt.scenes.base import open_reader, read_acquisition
from deepsalt.types import Acquisition

CENTER = (84.0, 40.87)
LAYERS = ("salinity", "salinity_lower", "salinity_upper", "basis")


def simulate(folder: Path, size_px: int) -> Path:
    """Write the scene that all cases map."""
    from deepsalt.simulate.enmap import write_enmap
    from deepsalt.simulate.geodesy import utm_grid
    from deepsalt.simulate.landscape import Landscape

    grid = utm_grid(*CENTER, size_px, size_px)
    start = datetime(2024, 4, 18, tzinfo=UTC)
    return write_enmap(folder, landscape=Landscape(1, *CENTER), grid=grid, start=start, seed=1)


def floor(acquisition: Acquisition, out: Path) -> None:
    """Map a scene with nothing between the file, the student and the output."""
    import zarr

    from deepsalt.predict import RESULT, predict_chunk

    ref, grid = model_ref(), acquisition.grid
    rows, columns = acquisition.block_shape or (256, 256)
    result = np.empty((grid.height, grid.width), RESULT)

    def strip(row: int) -> None:
        reader = open_reader(acquisition)
        height = min(rows, grid.height - row)
        for column in range(0, grid.width, columns):
            window = (row, column, height, min(columns, grid.width - column))
            part = predict_chunk(
                reader.read_window(*window),
                reader.read_quality(*window),
                bands=acquisition.bands,
                gain=acquisition.gain,
                offset=acquisition.offset,
                nodata=acquisition.nodata,
                ref=ref,
            )
            result[row : row + height, column : column + part.shape[1]] = part
        reader.close()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(strip, range(0, grid.height, rows)))
    group = zarr.open_group(out, mode="w")
    for name in LAYERS:
        group.create_array(name, data=np.ascontiguousarray(result[name]), chunks=(256, 256))


def ours(acquisition: Acquisition, out: Path) -> None:
    """Map a scene as a run does, without its records."""
    from deepsalt.cube.load import open_scene
    from deepsalt.cube.quality import mark_valid
    from deepsalt.predict import predict_cube
    from deepsalt.products import write_product

    ref = model_ref()
    layers = predict_cube(mark_valid(open_scene(acquisition)), ref)
    write_product(layers, out, name="bench", key="bench", acquisition=acquisition, ref=ref)


CASES = {"floor": floor, "ours, threads": ours}


def measure(name: str, scene: Path) -> dict[str, float]:
    """Run one case in this process, after a warm-up of imports and weights."""
    from deepsalt.model.load import load_student

    acquisition = read_acquisition(scene)
    load_student(model_ref())
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        CASES[name](acquisition, Path(folder) / "out")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"wall_s": wall, "cpu_s": cpu, "peak_rss_mb": peak}


def compare(size_px: int, repeats: int) -> list[dict[str, object]]:
    """Return one row per case: medians, and ratios to the floor."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        scene = simulate(Path(folder), size_px)
        for _ in range(repeats):
            for name in CASES:
                command = [sys.executable, "-m", "tests.benchmarks.run", "--one", name, str(scene)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[name].append(json.loads(done.stdout))
    rows = []
    for name, runs in found.items():
        medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        base = statistics.median(run["wall_s"] for run in found["floor"])
        rows.append(
            {
                "name": name,
                "case": f"EnMAP {size_px} x {size_px} x 224, 256 blocks, local, simulated",
                **{key: round(value, 3) for key, value in medians.items()},
                "pixels_per_s": round(size_px**2 / medians["wall_s"]),
                "ratio": round(medians["wall_s"] / base, 3),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=2, metavar=("CASE", "SCENE"), help="run one case here")
    parser.add_argument("--size", type=int, default=1200, help="edge of the scene, pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], Path(args.one[1]))))
        return
    rows = compare(args.size, args.repeats)
    print(f"{'case':<16}{'wall s':>8}{'cpu s':>8}{'peak MB':>9}{'pixels/s':>10}{'ratio':>7}")
    for row in rows:
        print(
            f"{row['name']:<16}{row['wall_s']:>8}{row['cpu_s']:>8}{row['peak_rss_mb']:>9}"
            f"{row['pixels_per_s']:>10}{row['ratio']:>7}"
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
