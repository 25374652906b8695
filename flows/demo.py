"""What `deepsalt demo` maps: simulated scenes across a zone border, and their truth to score by.

The landscape uses specimens, soils and noise that training never saw. Scores are on simulated
ground: they show that the path works, not how accurate it is in the field.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepsalt.documents import read_json, write_json
from deepsalt.errors import RunError
from deepsalt.progress import Progress

if TYPE_CHECKING:
    from deepsalt.simulate.landscape import Landscape

SIZE_PX = 600
CENTER = (84.02, 40.87)
"""Northern rim of the Tarim basin: irrigated oases, and the border of UTM zones 44 and 45."""
_SCORED = 200_000
SAMPLED, CHECKED = 60, 200
"""Places of a simulated field campaign, and other places where its map is checked."""
_WEST, _EAST = (83.86, 84.01), (84.04, 84.15)
"""Longitudes of the campaign and of the check, degrees: 2.5 km lie between them."""
_NORTH = (40.79, 40.98)
_SALINE_DS_M = 2.0
_CANDIDATES = 10
"""Places that are looked at for each that is wanted."""
_BANDS, _PARTS = 5, 4
"""Bands of the campaign's ground from south to north, and parts of a band from west to east."""


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
    # Cloudless, because PRISMA L2D has no cloud mask: clouds would be mistaken for salt.
    _Scene("prisma", 84.060, 40.870, 45, datetime(2024, 5, 15, 5, 12, 3, tzinfo=UTC), 0.0),
)


def simulated_catalogue(folder: Path, seed: int, progress: Progress) -> Path:
    """Write the scenes and their catalogue, unless the same demo was simulated before."""
    from catalog.items import to_item
    from catalog.local import add_items
    from deepsalt.objects.disk import storing
    from deepsalt.scenes.base import read_acquisition
    from deepsalt.simulate.landscape import Landscape

    wanted = {"seed": seed, "size_px": SIZE_PX, "scenes": [str(scene) for scene in SCENES]}
    mark = folder / "simulated.json"
    products = folder / "scenes"
    catalogue = folder / "catalogue"
    if mark.is_file() and read_json(mark) == wanted:
        progress.note(f"scenes in {products} already exist")
        return catalogue
    landscape = Landscape(seed, *CENTER)
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
        # Last, so that a stopped demo simulates again.
        write_json(mark, wanted)
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


def score(store: Path, seed: int) -> dict[str, float]:
    """Compare the mosaic with the seed's truth at randomly drawn estimated cells."""
    from deepsalt.grid import to_lonlat
    from deepsalt.reading import open_mosaic
    from deepsalt.simulate.landscape import Landscape
    from deepsalt.train.metrics import interval_scores, scale_scores

    mosaic = open_mosaic(store).isel(period=0)
    estimate = mosaic.salinity.values
    rows, columns = np.nonzero(np.isfinite(estimate))
    chosen = np.random.default_rng(0).permutation(len(rows))[:_SCORED]
    rows, columns = rows[chosen], columns[chosen]
    crs = mosaic.spatial_ref.attrs["crs_wkt"]
    longitude, latitude = to_lonlat(crs, mosaic.x.values[columns], mosaic.y.values[rows])
    truth = Landscape(seed, *CENTER).at(longitude, latitude).salinity
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


def field_samples(path: Path, seed: int, store: Path) -> None:
    """Write a table of `SAMPLED` places in the west of the landscape, with their true EC.

    Each part of the ground has as many, a low, a middle and a high one of the first map. Drawn at
    random some would have no pixel.
    """
    import pandas as pd

    from deepsalt.spectral.table import write_table

    places = _places(_CANDIDATES * SAMPLED, _WEST, seed, draw=1)
    mapped = np.log1p(_mapped(store, *places[:2])[0])
    usable = np.isfinite(mapped)
    if usable.sum() < SAMPLED:
        raise RunError(
            f"the map has only {usable.sum()} of {SAMPLED} places to sample; remove {store} and "
            f"run again"
        )
    longitude, latitude, ec = (values[usable] for values in places)
    chosen = over_parts(longitude, latitude, mapped[usable], SAMPLED // (_BANDS * _PARTS))
    longitude, latitude, ec = longitude[chosen], latitude[chosen], ec[chosen]
    table = pd.DataFrame(
        {
            "id": [f"place {number:02}" for number in range(1, SAMPLED + 1)],
            "lon": longitude.round(6),
            "lat": latitude.round(6),
            "ec": ec.round(3),
            "unit": "dS/m",
            "method": "simulated",
            "date": "2024-05-01",
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(table, path)


def over_parts(
    longitude: NDArray[np.float64],
    latitude: NDArray[np.float64],
    mapped: NDArray[np.float64],
    each: int,
) -> NDArray[np.intp]:
    """Return which places to sample: in all parts of the ground, at even ranks of the map in each.

    Ranks, not values: places evenly spaced over a map's range are saltier than the ground, and so
    would be the level and the probabilities that a model takes from them (ranked set sampling,
    McIntyre 1952).

    Parameters
    ----------
    longitude, latitude
        Places that can be sampled (n,), degrees. Parts are cut so that they hold equally many.
    mapped
        What the first map says there (n,).
    each
        Places wanted of each of the `_BANDS` times `_PARTS` parts.
    """
    chosen: list[int] = []
    for band in np.array_split(np.argsort(latitude), _BANDS):
        for part in np.array_split(band[np.argsort(longitude[band])], _PARTS):
            by_rank = part[np.argsort(mapped[part])]
            ranks = (np.arange(each) + 0.5) / each * by_rank.size
            chosen += by_rank[ranks.astype(np.intp)].tolist()
    return np.array(chosen)


def field_scores(stores: Sequence[Path], seed: int) -> list[dict[str, float]]:
    """Compare mosaics with the truth at `CHECKED` places in the east that all of them estimate."""
    from deepsalt.train.metrics import interval_scores, scale_scores

    longitude, latitude, truth = _places(_CANDIDATES * CHECKED, _EAST, seed, draw=2)
    layers = [_mapped(store, longitude, latitude) for store in stores]
    seen = np.flatnonzero(np.isfinite(np.stack(layers)).all(axis=(0, 1)))[:CHECKED]
    observed = truth[seen].astype(np.float64)
    return [
        {
            "n": float(seen.size),
            **scale_scores(np.log1p(observed), np.log1p(values[0, seen]), "log1p"),
            **interval_scores(observed, values[1, seen], values[2, seen]),
            **_found(observed, values[0, seen]),
            **_told(observed, values[3, seen]),
        }
        for values in layers
    ]


def _mapped(
    store: Path, longitude: NDArray[np.float64], latitude: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return salinity, its interval and the probability of salt that a mosaic has (4, n)."""
    import xarray as xr

    from deepsalt.grid import transform
    from deepsalt.reading import open_mosaic

    mosaic = open_mosaic(store).isel(period=0)
    x, y = transform("EPSG:4326", mosaic.spatial_ref.attrs["crs_wkt"], longitude, latitude)
    at = {"x": xr.DataArray(x, dims="place"), "y": xr.DataArray(y, dims="place")}
    mosaic["p_salt"] = mosaic.p_above.sel(threshold=_SALINE_DS_M, drop=True)
    names = ["salinity", "salinity_lower", "salinity_upper", "p_salt"]
    found: NDArray[np.float64] = mosaic[names].sel(at, method="nearest").to_array().values
    return found.astype(np.float64)


def _found(observed: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """Return how much of the ground above `_SALINE_DS_M` is found, and how much of it is right."""
    salt, said = observed > _SALINE_DS_M, predicted > _SALINE_DS_M
    both = float((salt & said).sum())
    return {"recall": both / max(salt.sum(), 1), "precision": both / max(said.sum(), 1)}


def _told(observed: NDArray[np.float64], chance: NDArray[np.float64]) -> dict[str, float]:
    """Return Brier skill over the true share, and how well the probability ranks."""
    from deepsalt.train.evaluation.salt import average_precision

    salt = observed > _SALINE_DS_M
    if not salt.any() or salt.all():
        return {"brier_skill": float("nan"), "average_precision": float("nan")}
    error = float(((chance - salt) ** 2).mean())
    return {
        "brier_skill": 1.0 - error / float(salt.var()),
        "average_precision": average_precision(salt, chance),
    }


def _places(
    count: int, between: tuple[float, float], seed: int, *, draw: int
) -> tuple[NDArray[np.float64], ...]:
    """Return longitude, latitude and true EC of so many places on land."""
    from deepsalt.simulate.landscape import Landscape

    rng = np.random.default_rng([seed, draw])
    longitude, latitude = rng.uniform(*between, 2 * count), rng.uniform(*_NORTH, 2 * count)
    ec = Landscape(seed, *CENTER).at(longitude, latitude).salinity
    land = np.flatnonzero(np.isfinite(ec))[:count]
    return longitude[land], latitude[land], ec[land].astype(np.float64)
