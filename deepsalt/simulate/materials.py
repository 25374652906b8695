"""What a simulation mixes: specimens and the wavelengths that all of them cover."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepsalt.simulate.library import Specimen, mixable, read_specimens, shipped_specimens
from deepsalt.simulate.specimens import GRID_NM, Use

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Materials:
    """Specimens by mineral, on a grid without gaps that were bridged.

    Parameters
    ----------
    covered
        Where on `GRID_NM` every specimen has a value (430,); g wavelengths.
    minerals
        Names, sorted.
    specimens
        All spectra, reflectance on the whole `GRID_NM`.
    """

    covered: NDArray[np.bool_]
    minerals: tuple[str, ...]
    specimens: tuple[Specimen, ...]

    @property
    def grid_nm(self) -> Floats:
        """Wavelengths of mixing, nm (g,)."""
        return np.asarray(GRID_NM[self.covered])

    def draw(self, rng: np.random.Generator) -> Floats:
        """Return one spectrum per mineral (k, g): a specimen first, then one of its records."""
        chosen = []
        for mineral in self.minerals:
            records = [s for s in self.specimens if s.mineral == mineral]
            whole = sorted({s.specimen for s in records})
            specimen = whole[rng.integers(len(whole))]
            of_it = [s for s in records if s.specimen == specimen]
            chosen.append(of_it[rng.integers(len(of_it))].reflectance[self.covered])
        return np.array(chosen)


@lru_cache(maxsize=4)
def load_materials(folder: Path | None, use: Use) -> Materials:
    """Return what there is to mix for a use.

    Parameters
    ----------
    folder
        Folder of specimens; None: the shipped ones.
    use
        ``train`` or ``demo``.

    Raises
    ------
    FormatError
        The folder has no specimens, or no soluble salt among them.
    """
    found = shipped_specimens(use) if folder is None else read_specimens(folder)
    kept = mixable(found, use, str(folder or "the shipped table"))
    covered = np.logical_and.reduce([s.covered for s in kept])
    # A spectrum above 1 (bright powders against a white reference) has no albedo.
    clipped = tuple(
        Specimen(s.mineral, s.specimen, s.record, np.clip(s.reflectance, 0.002, 0.98)) for s in kept
    )
    return Materials(covered, tuple(sorted({s.mineral for s in kept})), clipped)
