"""Inducing points that learn from the teacher: distillation into few inducing points.

A machine that answers as the teacher needs few inducing points where they may lie anywhere. For
inducing points given, heads follow in closed form, so only the inducing points are searched:
variable projection (Golub and Pereyra 1973), by L-BFGS. Through a satellite's noise, 64 such
inducing points give 99.9 % of the variance of the answers of a teacher with 3,300, and 256 drawn
from the samples 96 % (profiles of ICRAF-ISRIC that neither saw, 5 folds).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from deepsalt.errors import RunError
from deepsalt.model.threads import one_torch_thread
from deepsalt.types import Floats

ROWS = 8_000  # that the inducing points are learned on
_RIDGE = 1e-3
_JITTER = 1e-4
_MEMORY = 20  # steps that L-BFGS remembers
_NAMED = 10  # rows that a message names


def learned_inducing_points(
    inducing_points: Floats,
    inputs: Floats,
    answers: Floats,
    weights: Floats,
    *,
    ids: NDArray[np.str_],
    steps: int,
    seed: int,
) -> Floats:
    """Return inducing points (m, k) from which a machine copies answers best.

    Parameters
    ----------
    inducing_points
        To begin with (m, k).
    inputs, answers, weights
        Encoded spectra (s, k), the teacher's log(EC + 0.03) (s,), weights (s,): where there are
        many rows, some are drawn by them.
    ids
        Names of the rows, for messages (s,).
    steps
        Of L-BFGS, at most; 0 leaves the inducing points where they are.
    seed
        Of what is drawn.

    Raises
    ------
    RunError
        The loss is not finite; the message names the step and rows.
    """
    if steps == 0:
        return inducing_points
    rows = np.arange(len(inputs))
    if len(rows) > ROWS:
        chance = weights / weights.sum()
        rows = np.random.default_rng([seed, 8]).choice(len(rows), ROWS, replace=False, p=chance)
        weights = np.ones(len(inputs))
    loss = _Loss(inputs[rows], answers[rows], weights[rows], ids[rows])
    with one_torch_thread():
        found = minimize(
            loss,
            inducing_points.ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=loss.stepped,
            options={"maxiter": steps, "maxcor": _MEMORY},
        )
    learned: Floats = np.asarray(found.x, dtype=np.float64).reshape(inducing_points.shape)
    return learned


class _Loss:
    """The penalised squared error of the best machine on inducing points, and its gradient."""

    def __init__(
        self, inputs: Floats, answers: Floats, weights: Floats, ids: NDArray[np.str_]
    ) -> None:
        shares = weights / weights.mean()
        finite = np.isfinite(answers)
        bias = np.average(answers[finite], weights=shares[finite]) if finite.any() else 0.0
        self._inputs = torch.from_numpy(inputs)
        self._answers = torch.from_numpy(answers - bias)
        self._shares = torch.from_numpy(shares)
        self._squares = self._inputs.square().sum(1)[:, None]
        self._ids = ids
        self._step = 0

    def stepped(self, _inducing_points: Floats) -> None:
        """Count a step."""
        self._step += 1

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        """Return the loss for inducing points (m * k,) and its gradient (m * k,)."""
        size = self._inputs.shape[1]
        inducing_points = torch.from_numpy(flat.reshape(-1, size)).requires_grad_()
        kernel = _kernel(self._inputs, self._squares, inducing_points)
        own = _kernel(inducing_points, inducing_points.square().sum(1)[:, None], inducing_points)
        with torch.no_grad():
            # The heads are optimal: their own change does not change the loss (envelope theorem).
            heads = self._heads(kernel, own)
        residual = self._answers - kernel @ heads
        value = (self._shares * residual.square()).sum() + _RIDGE * heads @ (own @ heads)
        value = value / len(residual)
        if not bool(torch.isfinite(value)):
            raise RunError(
                f"distillation diverged at step {self._step}: the loss of rows with "
                f"{', '.join(self._worst(residual.detach()))} ... is not finite; check these rows "
                f"for impossible spectra"
            )
        (gradient,) = torch.autograd.grad(value, inducing_points)
        return float(value.detach()), gradient.numpy().ravel()

    def _heads(self, kernel: Tensor, own: Tensor) -> Tensor:
        weighted = kernel * self._shares[:, None]
        normal = kernel.T @ weighted + _RIDGE * own + _JITTER * torch.eye(len(own)).double()
        heads: Tensor = torch.linalg.solve(normal, weighted.T @ self._answers)
        return heads

    def _worst(self, residual: Tensor) -> list[str]:
        wrong = ~torch.isfinite(residual).numpy()
        chosen: list[str] = np.unique(self._ids[wrong])[:_NAMED].tolist()
        return chosen


def _kernel(inputs: Tensor, squares: Tensor, inducing_points: Tensor) -> Tensor:
    distances = squares + inducing_points.square().sum(1) - 2.0 * inputs @ inducing_points.T
    return torch.rsqrt(1.0 + distances.clamp(min=0.0))
