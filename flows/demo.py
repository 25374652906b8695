"""The demo: simulated scenes across a zone border, mapped by the real path, scored against truth.

The landscape uses specimens, soils and noise that training never saw. Scores are on simulated
ground: they show that the path works, not how well salinity is read in the field.
"""

import json
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from deepsalt.errors import RunError
from flows.config import MosaicConfig, RunConfig, Selection
from flows.plan import make_plan
from flows.progress import Progress, bars
from flows.show import duration, plan_lines, run_lines, share
from flows.stage2 import MosaicResult
from flows.start import start_run

if TYPE_CHECKING:
    from deepsalt.simulate.landscape import Landscape

SIZE_PX = 600
CENTER = (84.02, 40.87)
"""Northern rim of the Tarim basin: irrigated oases, and the border of UTM zones 44 and 45."""
SKILL_FLOOR = 0.2
"""R2 of log1p(EC) that the demo must reach. Predicting the mean of the truth scores 0."""
_SCORED = 200_000


@dataclass(frozen=True)
class _Scene:
    sensor: str
    longitude: float
    latitude: float
    zone: int
    start: datetime
    cloud: float


SCENES = (
    _Scene("enmap", 83.915, 40.905, 44, datetime(2024, 4, 18, 5, 21, 7, tzinfo=UTC), 0.05),
    _Scene("enmap", 84.085, 40.840, 45, datetime(2024, 4, 18, 5, 21, 11, tzinfo=UTC), 0.08),
    _Scene("enmap", 83.990, 40.925, 44, datetime(2024, 5, 15, 5, 24, 40, tzinfo=UTC), 0.75),
    # Cloudless, because PRISMA L2D carries no cloud mask: clouds would be taken for salt.
    _Scene("prisma", 84.060, 40.870, 45, datetime(2024, 5, 15, 5, 12, 3, tzinfo=UTC), 0.0),
)


def run_demo(out: Path, *, seed: int, by_prefect: bool) -> int:
    """Simulate, ingest, plan, run and score; return the exit code.

    Raises
    ------
    RunError
        The map has no skill over predicting the mean.
    """
    begin = time.monotonic()
    typer.echo(f"deepsalt demo: SIMULATED scenes, mapped into {out}")
    with bars() as progress:
        catalogue = _simulated_catalogue(out / "input", seed, progress)
    config = RunConfig(
        selection=Selection(catalogue=str(catalogue)),
        out=str(out),
        mosaic=MosaicConfig(),
    )

    typer.echo("\n".join(["", "plan", *plan_lines(make_plan(config)), ""]))
    with bars() as progress:
        result = start_run(config, by_prefect=by_prefect, progress=progress)
    typer.echo("\n".join(["", "run", *run_lines(result), ""]))
    if result.exit_code or result.mosaic is None:
        return result.exit_code
    scores = _score(out, _landscape(seed))
    typer.echo("\n".join(_table(result.mosaic, scores)))
    typer.echo("\n".join(_next_lines(out, time.monotonic() - begin)))
    if scores["r2_log1p"] < SKILL_FLOOR:
        raise RunError(
            f"the map has no skill: R2 {scores['r2_log1p']:.2f} of log1p(EC) on simulated ground, "
            f"expected {SKILL_FLOOR} or more; the model or the path is broken"
        )
    return 0


def _landscape(seed: int) -> "Landscape":
    from deepsalt.simulate.landscape import Landscape

    return Landscape(seed, *CENTER)


def _simulated_catalogue(folder: Path, seed: int, progress: Progress) -> Path:
    """Write the scenes and their catalogue, unless this very demo was simulated before."""
    from catalog.items import to_item
    from catalog.local import add_items
    from deepsalt.objects.disk import storing
    from deepsalt.scenes.base import read_acquisition

    wanted = {"seed": seed, "size_px": SIZE_PX, "scenes": [str(scene) for scene in SCENES]}
    mark, products, catalogue = folder / "simulated.json", folder / "scenes", folder / "catalogue"
    if mark.is_file() and json.loads(mark.read_text()) == wanted:
        progress.note(f"scenes in {products} are there already")
        return catalogue
    landscape = _landscape(seed)
    progress.start("simulate scenes", len(SCENES))
    items = []
    with storing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        products.mkdir(parents=True)
        for number, scene in enumerate(SCENES):
            path = _write(products, scene, landscape, seed * 100 + number)
            items.append(to_item(read_acquisition(path)))
            progress.advance("simulate scenes")
        add_items(catalogue, items)
        # Last, so that a demo that was stopped simulates again.
        mark.write_text(json.dumps(wanted))
    return catalogue


def _write(folder: Path, scene: _Scene, landscape: "Landscape", seed: int) -> Path:
    from deepsalt.simulate.enmap import write_enmap
    from deepsalt.simulate.geodesy import utm_grid
    from deepsalt.simulate.prisma import write_prisma
    from deepsalt.simulate.scene import Weather

    write = write_enmap if scene.sensor == "enmap" else write_prisma
    return write(
        folder,
        landscape=landscape,
        grid=utm_grid(scene.longitude, scene.latitude, SIZE_PX, SIZE_PX, zone=scene.zone),
        start=scene.start,
        seed=seed,
        weather=Weather(cloud=scene.cloud),
    )


def _score(out: Path, landscape: "Landscape") -> dict[str, float]:
    """Compare the mosaic with the truth at randomly drawn estimated cells."""
    from deepsalt.grid import to_lonlat
    from deepsalt.reading import open_mosaic
    from deepsalt.train.metrics import interval_scores, scale_scores

    mosaic = open_mosaic(out).isel(period=0)
    estimate = mosaic.salinity.values
    rows, columns = np.nonzero(np.isfinite(estimate))
    chosen = np.random.default_rng(0).permutation(len(rows))[:_SCORED]
    rows, columns = rows[chosen], columns[chosen]
    crs = mosaic.spatial_ref.attrs["crs_wkt"]
    longitude, latitude = to_lonlat(crs, mosaic.x.values[columns], mosaic.y.values[rows])
    truth = landscape.at(longitude, latitude).salinity
    land = np.isfinite(truth)  # a cell on a shore may be estimated where the ground is water
    observed, predicted, lower, upper = (
        values[land].astype(np.float64)
        for values in (
            truth,
            estimate[rows, columns],
            mosaic.salinity_lower.values[rows, columns],
            mosaic.salinity_upper.values[rows, columns],
        )
    )
    return {
        "n": float(len(observed)),
        **scale_scores(np.log1p(observed), np.log1p(predicted), "log1p"),
        **scale_scores(observed, predicted, "dsm"),
        **interval_scores(observed, lower, upper),
    }


def _table(mosaic: MosaicResult, scores: dict[str, float]) -> list[str]:
    """Return the closing table: cells by reason, and scores labelled as simulation."""
    seen = mosaic.pixels - mosaic.by_flag.get("outside", 0)
    rows = [
        ("cells seen by a scene", f"{seen:>10,}"),
        ("estimated", f"{mosaic.estimated:>10,}  {share(mosaic.estimated, seen)}"),
        *(
            (name.replace("_", " "), f"{count:>10,}  {share(count, seen)}")
            for name, count in mosaic.by_flag.items()
            if count and name != "outside"
        ),
    ]
    width = max(len(name) for name, _ in rows)
    lines = ["mosaic: cells by reason (a cell may have several)"]
    lines += [f"  {name:<{width}}  {value}" for name, value in rows]
    lines += [
        "",
        f"accuracy against the SIMULATED truth at {scores['n']:,.0f} estimated cells "
        "(proves the path, says nothing about the field)",
        _scale_line("log1p(dS/m)", scores, "log1p"),
        _scale_line("dS/m", scores, "dsm"),
        f"  the 90 % interval holds the truth in {100 * scores['coverage']:.0f} % of cells",
        "  predicting the mean everywhere: R2 0.00",
    ]
    return lines


def _scale_line(unit: str, scores: dict[str, float], scale: str) -> str:
    r2, rmse, bias = (scores[f"{name}_{scale}"] for name in ("r2", "rmse", "bias"))
    return f"  {unit:<12}  R2 {r2:5.2f}   RMSE {rmse:5.2f}   bias {bias:+.2f}"


def _next_lines(out: Path, seconds: float) -> list[str]:
    """Return what an analyst would type next."""
    return [
        "",
        f"done in {duration(seconds)}; look at {out / 'quicklook.png'}, and in Python:",
        f"  import deepsalt; mosaic = deepsalt.open_mosaic({str(out)!r})",
        "  mosaic.salinity.isel(period=0).coarsen(y=8, x=8).mean().plot(robust=True)",
    ]
