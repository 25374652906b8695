"""Principal directions of features in which adaptations are learned."""

from dataclasses import dataclass

import numpy as np

from deepsalt.errors import FormatError
from deepsalt.model.adaptation import Adaptation
from deepsalt.types import Floats

_MIN_SPREAD = 1e-3  # of the largest spread: features that hardly vary are not blown up


def spreads(features: Floats) -> Floats:
    """Return the standard deviation of each feature (d,), small ones raised to be divided by."""
    check_features("features", features)
    deviation = features.std(axis=0)
    largest = float(deviation.max(initial=0.0))
    raised: Floats = np.maximum(deviation, _MIN_SPREAD * largest if largest > 0 else 1.0)
    return raised


@dataclass(frozen=True, slots=True, eq=False)
class Subspace:
    """Orthonormal directions in features divided by their spreads.

    Parameters
    ----------
    scale
        Spreads (d,).
    centre
        Where the coordinates are 0 (d,).
    basis
        Directions by column (d, k).
    """

    scale: Floats
    centre: Floats
    basis: Floats

    def __call__(self, features: Floats) -> Floats:
        """Return coordinates (s, k) of features (s, d)."""
        return ((features - self.centre) / self.scale) @ self.basis

    def lift(self, name: str, change: Floats, move: Floats) -> Adaptation:
        """Return the adaptation that adds change z + move (k, k), (k,) to the coordinates z.

        The part outside the subspace is unchanged.
        """
        out = self.basis * self.scale[:, None]
        matrix = out @ change @ (self.basis / self.scale[:, None]).T
        return Adaptation(name, np.eye(self.scale.size) + matrix, out @ move - matrix @ self.centre)


def leading(features: Floats, centre: Floats, *, energy: float, most: int) -> Subspace:
    """Return the principal directions of features (s, d) that hold a share of their variance."""
    scale = spreads(features)
    values = (features - features.mean(axis=0)) / scale
    _, singular, vectors = np.linalg.svd(values, full_matrices=False)
    held = np.cumsum(singular**2) / max(float((singular**2).sum()), 1e-300)
    rank = min(int(np.searchsorted(held, energy)) + 1, most, singular.size)
    return Subspace(scale, centre, vectors[:rank].T)


def check_features(what: str, values: Floats) -> None:
    """Refuse features that are not (s, d) or miss values, with a FormatError that names them."""
    if values.ndim != 2:
        raise FormatError(f"the {what} have shape {values.shape}; give a two-dimensional table")
    missing = ~np.isfinite(values).all(axis=1)
    if missing.any():
        raise FormatError(
            f"{missing.sum()} rows of the {what} (first: row {np.flatnonzero(missing)[0]}) have "
            "missing values; leave them out"
        )
