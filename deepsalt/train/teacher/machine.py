"""Kernel machines: ridge regression on the inverse multiquadric kernel at some inducing points.

With all samples as inducing points this is kernel ridge regression, with few its Nyström
approximation (Williams and Seeger 2001). The kernel 1 / sqrt(1 + distance²) needs no exponential
per inducing point and pixel, and scores as a Matérn kernel does.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from deepsalt.errors import FormatError
from deepsalt.types import Floats

_JITTER = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """bias + kernel(inputs, inducing points) @ heads.

    Parameters
    ----------
    inducing_points
        (m, k)
    heads, bias
        (m, h), (h,)
    """

    inducing_points: Floats
    heads: Floats
    bias: Floats

    def __call__(self, inputs: Floats) -> Floats:
        """Return answers (s, h) for inputs (s, k)."""
        answers: Floats = self.bias + kernel(inputs, self.inducing_points) @ self.heads
        return answers


def kernel(a: Floats, b: Floats) -> Floats:
    """Return 1 / sqrt(1 + |a - b|²) (s, m) of inputs (s, k) and (m, k)."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)
    squares -= 2.0 * a @ b.T
    # In place: fits meet hundreds of such matrices.
    values: Floats = np.maximum(squares, 0.0, out=squares)
    values += 1.0
    np.sqrt(values, out=values)
    return np.reciprocal(values, out=values)


def fit_machine(
    inducing_points: Floats,
    inputs: Floats,
    targets: Floats,
    weights: Floats,
    ridge: float,
) -> Machine:
    """Fit heads by ridge regression in the kernel's own norm.

    Parameters
    ----------
    inducing_points
        (m, k)
    inputs, targets, weights
        (s, k), (s, h), (s,); weights of 1 per independent sample.
    ridge
        Variance of a label over that of the answer.

    Raises
    ------
    FormatError
        A number is missing, or the normal equations are singular.
    """
    bias = np.average(targets, axis=0, weights=weights)
    phi = kernel(inputs, inducing_points)
    norm = ridge * (
        kernel(inducing_points, inducing_points) + _JITTER * np.eye(len(inducing_points))
    )
    return Machine(inducing_points, _solve_ridge(phi, targets - bias, weights, norm), bias)


def _solve_ridge(phi: Floats, target: Floats, weights: Floats, norm: Floats) -> Floats:
    """Return the c (m, h) that minimise sum_i w_i |phi_i c - t_i|² + c' norm c."""
    for name, values in (("features", phi), ("targets", target), ("weights", weights)):
        if not np.isfinite(values).all():
            raise FormatError(f"the {name} of a ridge fit have missing values; leave them out")
    weighted = phi * weights[:, None]
    try:
        found: Floats = cho_solve(cho_factor(weighted.T @ phi + norm), weighted.T @ target)
    except LinAlgError as error:
        raise FormatError(
            f"the normal equations of {phi.shape[1]} features are singular; raise the ridge"
        ) from error
    return found


def choose_inducing_points(inputs: Floats, target: Floats, count: int, seed: int) -> Floats:
    """Return inducing points (<= count, k) drawn from inputs, saline ones more often than others.

    Samples above the mean of log(EC + 0.03) get more weight the further above they lie: they are
    few, and where a machine has no inducing point it answers with its mean.
    """
    if len(inputs) <= count:
        return inputs
    chance = 1.0 + 5.0 * np.maximum(target - target.mean(), 0.0)
    rows = np.random.default_rng([seed, 7]).choice(
        len(inputs), count, replace=False, p=chance / chance.sum()
    )
    return inputs[np.sort(rows)]
