"""The Spectral Adaptation Unit as it is applied: affine maps on the front end's features.

Satellite representation in, laboratory-like representation out. Every adaptation is affine, so a
chain of them is one, and it folds into the student's projection: a pixel costs nothing more.
Fitting is in `deepsalt.train.adaptation.fits`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError, ModelError
from deepsalt.types import Floats

IDENTITY = "identity"
"""Name of the adaptation that changes nothing; left out of the names of chains."""


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """The map x' = matrix x + shift on features of one spectrum.

    Parameters
    ----------
    name
        What it is made of, parts joined by "+" in the order they are applied.
    matrix
        (d, d) float64.
    shift
        (d,) float64, in the features' own units.

    Raises
    ------
    ModelError
        Matrix and shift disagree, or hold numbers that are not finite.
    """

    name: str
    matrix: Floats
    shift: Floats

    def __post_init__(self) -> None:
        size = self.shift.size
        if self.shift.shape != (size,) or self.matrix.shape != (size, size):
            raise ModelError(
                f"adaptation {self.name!r} has a matrix {self.matrix.shape} and a shift "
                f"{self.shift.shape}; give (d, d) and (d,)"
            )
        if not (np.isfinite(self.matrix).all() and np.isfinite(self.shift).all()):
            raise ModelError(
                f"adaptation {self.name!r} holds numbers that are not finite; refit it"
            )

    @classmethod
    def identity(cls, size: int) -> "Adaptation":
        """Return the adaptation that leaves features (s, size) as they are."""
        return cls(IDENTITY, np.eye(size), np.zeros(size))

    def __call__(self, features: NDArray[np.floating]) -> Floats:
        """Return adapted features (s, d) float64 of features (s, d).

        Raises
        ------
        FormatError
            The features are not (s, d), or some are missing.
        """
        values = np.asarray(features, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != self.shift.size:
            raise FormatError(
                f"adaptation {self.name!r} takes features (s, {self.shift.size}), got "
                f"{values.shape}; pass spectra through the front end it was fitted behind"
            )
        if not np.isfinite(values).all():
            rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
            raise FormatError(
                f"features of {rows.size} spectra (first: row {rows[0]}) have missing values; "
                f"leave them out before adaptation {self.name!r}"
            )
        adapted: Floats = values @ self.matrix.T + self.shift
        return adapted

    def then(self, other: "Adaptation") -> "Adaptation":
        """Return this adaptation followed by another one, as one adaptation."""
        names = [part.name for part in (self, other) if part.name != IDENTITY]
        return Adaptation(
            "+".join(names) or IDENTITY,
            other.matrix @ self.matrix,
            other.matrix @ self.shift + other.shift,
        )

    def fold(self, components: Floats, offset: Floats) -> tuple[Floats, Floats]:
        """Fold this adaptation into a projection that follows it.

        Parameters
        ----------
        components
            Rows of the projection on adapted features (k, d).
        offset
            Added to their products (k,).

        Returns
        -------
        tuple[Floats, Floats]
            Components and offset on features that are not adapted yet (k, d), (k,).
        """
        return components @ self.matrix, offset + components @ self.shift
