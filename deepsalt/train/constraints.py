"""Ridge regression that is told physics: penalties along mixing lines in feature space.

A mixing line is a series of spectra in which one thing grows - soluble salt, gypsum, cover - and
all else stays. A head that is linear in features phi (m) answers along it phi @ c, so what physics
says about the answer is linear in the coefficients c, and a one-sided quadratic penalty keeps the
problem convex.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from deepsalt.errors import FormatError
from deepsalt.model.student import EC_SHIFT

Floats = NDArray[np.float64]

GYPSUM_CEILING = math.log(3.0 + EC_SHIFT)
"""log(EC + 0.03) that gypsum alone may reach: its saturated water has 2.2-2.6 dS/m."""

_MAX_ITERATIONS = 30
_MAX_HALVINGS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Penalty:
    """One term of the objective, with r = rows @ c - bound.

    Parameters
    ----------
    name
        What it stands for, in error messages and reports.
    rows
        (q, m) float64.
    bound
        (q,) float64, in the target's unit.
    weight
        Weight of the term, not negative; a weight of 1 counts a mean squared violation like one
        sample's squared residual. 0 switches it off.
    one_sided
        True: weight x mean(max(0, r)²); False: weight x mean(r²).
    """

    name: str
    rows: Floats
    bound: Floats
    weight: float
    one_sided: bool

    def violation(self, coefficients: Floats) -> float:
        """Return mean(max(0, r)²) or mean(r²) at coefficients (m,), without the weight."""
        return float(np.mean(self._excess(coefficients) ** 2)) if self.bound.size else 0.0

    def active(self, coefficients: Floats) -> NDArray[np.bool_]:
        """Return which rows count at coefficients (m,): violated ones, or all (q,)."""
        return (self._excess(coefficients) > 0) | (not self.one_sided)

    def _excess(self, coefficients: Floats) -> Floats:
        residual: Floats = self.rows @ coefficients - self.bound
        return np.maximum(residual, 0.0) if self.one_sided else residual


def solve_ridge(
    phi: Floats,
    target: Floats,
    weights: Floats,
    ridge: float | Floats,
    penalties: Sequence[Penalty] = (),
) -> Floats:
    """Minimise sum_i w_i (phi_i c - t_i)² + c' R c + penalties.

    The objective is convex, piecewise quadratic and once differentiable. Each iteration solves the
    normal equations with the rows that are violated now - Newton's step - and halves the step
    until the objective falls; it ends when the set of violated rows stays as it is, which is then
    the minimum, or after 30 iterations.

    Parameters
    ----------
    phi
        Features (s, m).
    target
        (s,) or (s, k); the penalties hold for every column.
    weights
        Of the samples, not negative (s,).
    ridge
        R as a matrix (m, m), symmetric and positive semi-definite, or r for r x identity. It acts
        on every coefficient: give a matrix with a zero for an unpenalised intercept.
    penalties
        Without any of positive weight the result is the plain ridge, to the bit.

    Returns
    -------
    Floats
        Coefficients (m,) or (m, k).

    Raises
    ------
    FormatError
        Shapes disagree, numbers are missing, or the normal equations are singular.
    """
    _check(phi, target, weights, penalties)
    matrix = ridge * np.eye(phi.shape[1]) if np.ndim(ridge) == 0 else np.asarray(ridge)
    if matrix.shape != (phi.shape[1],) * 2 or not np.isfinite(matrix).all():
        raise FormatError(
            f"the ridge {matrix.shape} does not fit {phi.shape[1]} features; give a finite number "
            "or matrix (m, m)"
        )
    weighted = phi * weights[:, None]
    normal = weighted.T @ phi + matrix
    moment = weighted.T @ target
    plain = _solve(normal, moment)
    counted = [penalty for penalty in penalties if penalty.weight > 0 and penalty.bound.size]
    if not counted:
        return plain
    columns = plain.reshape(phi.shape[1], -1)
    found = [
        _descend(normal, right, start, counted)
        for right, start in zip(moment.reshape(columns.shape).T, columns.T, strict=True)
    ]
    return np.stack(found, axis=1).reshape(plain.shape)


def _descend(normal: Floats, moment: Floats, start: Floats, penalties: Sequence[Penalty]) -> Floats:
    def objective(c: Floats) -> float:
        terms = sum(penalty.weight * penalty.violation(c) for penalty in penalties)
        return float(c @ normal @ c - 2.0 * moment @ c + terms)

    coefficients, value, before = start, objective(start), None
    for _ in range(_MAX_ITERATIONS):
        active = [penalty.active(coefficients) for penalty in penalties]
        if before is not None and all(map(np.array_equal, active, before)):
            break
        step = _newton(normal, moment, penalties, active) - coefficients
        for _ in range(_MAX_HALVINGS):
            if (reached := objective(coefficients + step)) < value:
                break
            step, active = step / 2.0, []  # a shortened step is no minimum of its active set
        else:
            break
        coefficients, value = coefficients + step, reached
        before = active or None
    return coefficients


def _newton(
    normal: Floats,
    moment: Floats,
    penalties: Sequence[Penalty],
    active: Sequence[NDArray[np.bool_]],
) -> Floats:
    """Return the minimum as if just the active rows counted, from both sides (m,)."""
    left, right = normal.copy(), moment.copy()
    for penalty, counts in zip(penalties, active, strict=True):
        share = penalty.weight / penalty.bound.size
        rows = penalty.rows[counts]
        left += share * rows.T @ rows
        right += share * rows.T @ penalty.bound[counts]
    return _solve(left, right)


def _solve(left: Floats, right: Floats) -> Floats:
    try:
        solution: Floats = cho_solve(cho_factor(left), right)
    except LinAlgError as error:
        raise FormatError(
            f"the normal equations of {left.shape[0]} features are singular; raise the ridge"
        ) from error
    return solution


def _check(phi: Floats, target: Floats, weights: Floats, penalties: Sequence[Penalty]) -> None:
    s, m = phi.shape
    if target.shape[:1] != (s,) or weights.shape != (s,) or target.ndim > 2:
        raise FormatError(
            f"{s} samples of features come with targets {target.shape} and weights "
            f"{weights.shape}; give one of each per sample"
        )
    for name, values in (("features", phi), ("targets", target), ("weights", weights)):
        if not np.isfinite(values).all():
            raise FormatError(f"the {name} of a ridge fit hold missing values; leave them out")
    if (weights < 0).any():
        raise FormatError("the weights of a ridge fit hold negative numbers; give 0 or more")
    for penalty in penalties:
        if penalty.rows.shape != (penalty.bound.size, m) or penalty.bound.ndim != 1:
            raise FormatError(
                f"penalty {penalty.name!r} has rows {penalty.rows.shape} and bounds "
                f"{penalty.bound.shape}; give (q, {m}) and (q,)"
            )
        finite = np.isfinite(penalty.rows).all() and np.isfinite(penalty.bound).all()
        if not finite or not 0 <= penalty.weight < math.inf:
            raise FormatError(
                f"penalty {penalty.name!r} holds missing values or a weight of {penalty.weight}; "
                "give finite rows and a weight of 0 or more"
            )


def monotone(phi_lines: Floats, amount: Floats | None = None, *, weight: float = 1.0) -> Penalty:
    """Return the penalty on an answer that falls while soluble, non-gypsum salt grows.

    Parameters
    ----------
    phi_lines
        Features along mixing lines (count, steps, m).
    amount
        Of what grows, any unit (count, steps); None: the steps are in order. Steps of equal
        amount are not compared.
    weight
        Of the term.
    """
    return _rising("monotone", phi_lines, amount, weight)


def widening(phi_lines: Floats, amount: Floats | None = None, *, weight: float = 1.0) -> Penalty:
    """Return the penalty on a log-width that falls while vegetation or residue cover grows.

    For the head of the interval's width; parameters as for `monotone`.
    """
    return _rising("widening", phi_lines, amount, weight)


def gypsum_cap(
    phi_lines: Floats, *, ceiling: float = GYPSUM_CEILING, weight: float = 1.0
) -> Penalty:
    """Return the penalty on gypsum-only lines (count, steps, m) that answer above the ceiling.

    `ceiling` is in log(EC + 0.03), as the target; every step of the lines counts.
    """
    rows = _lines(phi_lines, None)[0].reshape(-1, phi_lines.shape[-1])
    return Penalty("gypsum_cap", rows, np.full(rows.shape[0], ceiling), weight, one_sided=True)


def smooth(phi_lines: Floats, amount: Floats | None = None, *, weight: float = 1.0) -> Penalty:
    """Return the two-sided penalty on bends along a line.

    What counts is how far each inner step lies from the straight line between its neighbours, in
    the target's unit: half a second difference where steps are even. Parameters as for `monotone`.
    """
    lines, at = _lines(phi_lines, amount)
    before, after = np.diff(at, axis=1)[:, :-1, None], np.diff(at, axis=1)[:, 1:, None]
    span = np.where(before + after > 0, before + after, np.inf)
    rows = lines[:, 1:-1] - (after * lines[:, :-2] + before * lines[:, 2:]) / span
    rows = rows[(before > 0)[..., 0] & (after > 0)[..., 0]]
    return Penalty("smooth", rows, np.zeros(rows.shape[0]), weight, one_sided=False)


def _rising(name: str, phi_lines: Floats, amount: Floats | None, weight: float) -> Penalty:
    lines, at = _lines(phi_lines, amount)
    rows = (lines[:, :-1] - lines[:, 1:])[np.diff(at, axis=1) > 0]
    return Penalty(name, rows, np.zeros(rows.shape[0]), weight, one_sided=True)


def _lines(phi_lines: Floats, amount: Floats | None) -> tuple[Floats, Floats]:
    """Return lines (count, steps, m) in ascending order of their amounts, and these."""
    if phi_lines.ndim != 3:
        raise FormatError(f"mixing lines have shape {phi_lines.shape}; give (count, steps, m)")
    shape = phi_lines.shape[:2]
    steps = np.arange(shape[1], dtype=np.float64)
    at = np.broadcast_to(steps, shape) if amount is None else np.asarray(amount, dtype=np.float64)
    if at.shape != shape or not np.isfinite(at).all():
        raise FormatError(
            f"mixing lines {phi_lines.shape} come with amounts {at.shape}; give one finite amount "
            "per line and step"
        )
    order = np.argsort(at, axis=1, kind="stable")
    return np.take_along_axis(phi_lines, order[..., None], 1), np.take_along_axis(at, order, 1)
