"""Materials of simulated regions: the shipped specimens by mineral."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deepsalt.simulate.specimens import GRID_NM, Mineral, Use, mineral_reflectance, specimens
from deepsalt.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Materials:
    """Specimens by mineral.

    Parameters
    ----------
    minerals
        Names, sorted.
    records
        All preparations of all specimens, each with its reflectance on `GRID_NM` (430,).
    """

    minerals: tuple[str, ...]
    records: tuple[tuple[Mineral, Floats], ...]

    def draw(self, rng: np.random.Generator) -> Floats:
        """Return one spectrum per mineral (k, 430): a specimen first, then one of its records."""
        chosen = []
        for name in self.minerals:
            records = [(m, spectrum) for m, spectrum in self.records if m.mineral == name]
            whole = sorted({m.specimen for m, _ in records})
            specimen = whole[rng.integers(len(whole))]
            of_it = [spectrum for m, spectrum in records if m.specimen == specimen]
            chosen.append(of_it[rng.integers(len(of_it))])
        return np.array(chosen)


@lru_cache(maxsize=2)
def load_materials(use: Use) -> Materials:
    """Return what there is to mix for a use, ``train`` or ``demo``."""
    known = specimens(use)
    # A spectrum above 1 (bright powders against a white reference) has no albedo.
    records = tuple((m, np.clip(mineral_reflectance(m, GRID_NM), 0.002, 0.98)) for m in known)
    return Materials(tuple(sorted({m.mineral for m in known})), records)
