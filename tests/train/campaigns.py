"""SIMULATED campaigns: sites of some regions, and regions where no sample was taken."""

from dataclasses import dataclass, replace

import numpy as np

from deepsalt.benchmark.world.config import SimulationConfig
from deepsalt.benchmark.world.regions import simulate_regions
from deepsalt.model.load import model_ref
from deepsalt.model.student import Student
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.training_set import draw_views
from deepsalt.train.metrics import r2
from deepsalt.train.student.base import Base
from deepsalt.train.student.distil import estimates
from deepsalt.train.student.fit import fit_model
from deepsalt.types import Floats
from tests.train.tables import satellite_table

SHIPPED = Base.of(model_ref())
SETTINGS = Settings()
SALINE = SimulationConfig().saline_share


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Ground where sites may be taken, and regions that are not sampled."""

    open: Samples
    unseen: Samples


def ground(
    seed: int, regions: int, unseen: int, *, sites: int = 20, saline: tuple[float, float] = SALINE
) -> Ground:
    """Return regions that may be sampled, and unseen ones; a region is a block.

    `saline` is the range of a region's share of saline sites.
    """
    pairs = simulate_regions(
        SimulationConfig(sites=sites, saline_share=saline),
        sensor="enmap",
        seed=seed,
        regions=range(regions + unseen),
    )
    samples = draw_views([satellite_table(pairs)], SETTINGS)
    first = np.arange(len(samples)) < regions * sites
    return Ground(samples.take(first), samples.take(~first))


def score(student: Student, samples: Samples) -> float:
    """Return R² of log(1 + EC) of a student."""
    return r2(np.log1p(samples.ec), np.log1p(mapped(student, samples)))


def mapped(student: Student, samples: Samples) -> Floats:
    """Return the salinity that a student maps, dS/m (s,)."""
    return np.asarray(estimates(student, samples.features).salinity, dtype=np.float64)


def trained(sites: Samples) -> Student:
    """Return the student of sites, as `deepsalt train --satellite` chooses it."""
    base = replace(SHIPPED, blocks=int(np.unique(sites.region).size))
    return fit_model(sites, SETTINGS, base).student
