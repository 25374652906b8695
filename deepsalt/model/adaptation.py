"""Applying the Spectral Adaptation Unit: affine maps on the front end's features.

Turns a satellite's representation into a laboratory-like one. Every adaptation is affine, so a
chain of them is one, and it folds into the student's projection at no cost per pixel. Fitting is in
`deepsalt.train.adaptation.fits`.
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
        Its parts, joined by "+" in the order of application.
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
                f"{self.shift.shape}; expected (d, d) and (d,)"
            )
        if not (np.isfinite(self.matrix).all() and np.isfinite(self.shift).all()):
            raise ModelError(
                f"adaptation {self.name!r} has numbers that are not finite; fit it again"
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
                f"adaptation {self.name!r} takes features (s, {self.shift.size}), found "
                f"{values.shape}; use the front end that it was fitted with"
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
            Components and offset on unadapted features (k, d), (k,).
        """
        return components @ self.matrix, offset + components @ self.shift
