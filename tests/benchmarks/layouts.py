"""Where 60 samples should be taken, in SIMULATED worlds: `python -m tests.benchmarks.layouts`.

`rare` as its argument: where salt is rare.

A campaign may go anywhere in 20 regions; models are scored in 20 others, drawn anew in each world.
"""

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from deepsalt.model.student import Student
from deepsalt.train.data.samples import Samples
from deepsalt.train.metrics import interval_scores
from deepsalt.train.student.distil import estimates
from deepsalt.types import Floats
from tests.train.campaigns import SALINE, SHIPPED, ground, mapped, score, trained

SITES = 60
REGIONS = 20
FIRST_SEED = 300
RARE = (0.0, 0.1)
"""Range of a region's share of saline sites, where salt is rare."""

Rows = NDArray[np.intp]
Layout = Callable[[Samples, np.random.Generator], Rows]


def _over(values: Floats, rows: Rows, count: int) -> Rows:
    """Return the rows whose values are nearest to evenly spaced ones, each once."""
    left = rows.tolist()
    low, high = np.quantile(values[rows], [0.01, 0.99])
    even = np.linspace(low, high, count)
    return np.array([left.pop(int(np.abs(values[left] - wanted).argmin())) for wanted in even])


def _at_random(samples: Samples, rng: np.random.Generator) -> Rows:
    return rng.choice(len(samples), SITES, replace=False)


def _clustered(regions: int) -> Layout:
    def layout(samples: Samples, rng: np.random.Generator) -> Rows:
        names = rng.choice(np.unique(samples.region), regions, replace=False)
        each = SITES // regions
        rows = [np.flatnonzero(samples.region == name) for name in names]
        return np.concatenate([rng.choice(own, each, replace=False) for own in rows])

    return layout


def _over_the_map(samples: Samples, rng: np.random.Generator) -> Rows:
    known = np.log1p(mapped(SHIPPED.student, samples))
    return _over(known, np.arange(len(samples)), SITES)


def _map_by_region(samples: Samples, rng: np.random.Generator) -> Rows:
    known = np.log1p(mapped(SHIPPED.student, samples))
    rows = [np.flatnonzero(samples.region == name) for name in np.unique(samples.region)]
    return np.concatenate([_over(known, own, SITES // len(rows)) for own in rows])


def _over_salinity(samples: Samples, rng: np.random.Generator) -> Rows:
    return _over(samples.target, np.arange(len(samples)), SITES)


LAYOUTS: dict[str, Layout] = {
    "at random": _at_random,
    "in 3 regions": _clustered(3),
    "in 10 regions": _clustered(10),
    "in each region, at random": _clustered(REGIONS),
    "over the range of the first map": _over_the_map,
    "in each region, over the range of the map": _map_by_region,
    "over the range of salinity": _over_salinity,
}


def scored(seed: int, saline: tuple[float, float]) -> dict[str, tuple[float, float, float]]:
    """Return R² of log1p, coverage of the interval and bias of log1p in unseen regions."""
    world = ground(seed, REGIONS, REGIONS, sites=24, saline=saline)
    found = {"none (shipped model)": _scores(SHIPPED.student, world.unseen)}
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        rows = layout(world.open, np.random.default_rng([seed, number]))
        found[name] = _scores(trained(world.open.take(np.sort(rows))), world.unseen)
    return found


def _scores(student: Student, unseen: Samples) -> tuple[float, float, float]:
    said = estimates(student, unseen.features)
    lower, upper = (np.asarray(ends, dtype=np.float64) for ends in (said.lower, said.upper))
    held = interval_scores(unseen.ec, lower, upper)["coverage"]
    bias = float((np.log1p(mapped(student, unseen)) - np.log1p(unseen.ec)).mean())
    return score(student, unseen), held, bias


def main(worlds: int, saline: tuple[float, float]) -> None:
    """Print the table."""
    each = [scored(seed, saline) for seed in range(FIRST_SEED, FIRST_SEED + worlds)]
    print(f"| {SITES} sites | R² of log1p | over random (SE) | better in | coverage | bias |")
    print("|---" * 6 + "|")
    random = np.array([found["at random"] for found in each])
    for name in each[0]:
        rows = np.array([found[name] for found in each])
        r2, held, bias = rows.mean(axis=0)
        lead = rows[:, 0] - random[:, 0]
        error = lead.std(ddof=1) / np.sqrt(worlds)
        told = f"{lead.mean():+.3f} ({error:.3f}) | {(lead > 0).sum()} of {worlds}"
        print(f"| {name} | {r2:.3f} | {told} | {held:.2f} | {bias:+.2f} |")


if __name__ == "__main__":
    main(40, RARE if "rare" in sys.argv else SALINE)
