"""Anchors that learn from the teacher: distillation into few anchors by gradient descent.

Few samples as anchors lose what many say together. Moved to where the teacher's answers are best
copied, 320 anchors lose 0.020 of R² of log1p on noisy satellite spectra against 3,900; left where
they were drawn, 0.030 (ICRAF-ISRIC by profile, 40 components). Heads are solved again in closed
form afterwards.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from deepsalt.errors import UsageError
from deepsalt.model.threads import one_torch_thread
from deepsalt.train.machine import Machine

Floats = NDArray[np.float64]

_RATE = 0.2  # Adam's, over the spread of what it moves
_BATCH = 1024
_NAMED = 10  # rows that a message names


def learned_anchors(
    start: Machine,
    inputs: Floats,
    answers: Floats,
    weights: Floats,
    *,
    ids: NDArray[np.str_],
    steps: int,
    seed: int,
) -> Floats:
    """Return anchors (m, k) from which a machine copies answers best.

    Parameters
    ----------
    start
        A machine with one head, fitted at the anchors to begin with.
    inputs, answers, weights
        Encoded spectra (s, k), the teacher's log(EC + 0.03) (s,), weights to draw batches by (s,).
    ids
        Names of the rows, for messages (s,).
    steps
        Of Adam, on batches; 0 leaves the anchors where they are.
    seed
        Of the batches.

    Raises
    ------
    UsageError
        The loss is not finite; the message names the step and rows of the batch.
    """
    if steps == 0:
        return start.anchors
    z, wanted = (torch.from_numpy(a.astype(np.float32)) for a in (inputs, answers))
    chance = torch.from_numpy(weights / weights.sum())
    generator = torch.Generator().manual_seed(seed)
    moved = [
        torch.from_numpy(a.astype(np.float32)).requires_grad_()
        for a in (start.anchors, start.heads[:, 0])
    ]
    groups = [{"params": [t], "lr": _RATE * max(float(t.detach().std()), 1e-6)} for t in moved]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with one_torch_thread():
        for step in range(steps):
            rows = torch.multinomial(chance, _BATCH, replacement=True, generator=generator)
            value = (
                (_answers(z[rows], moved[0], moved[1], float(start.bias[0])) - wanted[rows])
                .square()
                .mean()
            )
            if not bool(torch.isfinite(value)):
                raise UsageError(
                    f"distillation diverged at step {step}: the loss of a batch with "
                    f"{', '.join(ids[rows.numpy()[:_NAMED]].tolist())} ... is not finite; look for "
                    "impossible spectra in these rows"
                )
            optimiser.zero_grad()
            torch.autograd.backward(value)
            optimiser.step()
            schedule.step()
    return np.asarray(moved[0].detach().numpy(), dtype=np.float64)


def _answers(
    inputs: torch.Tensor, anchors: torch.Tensor, heads: torch.Tensor, bias: float
) -> torch.Tensor:
    squares = inputs.square().sum(1)[:, None] + anchors.square().sum(1) - 2.0 * inputs @ anchors.T
    return bias + torch.rsqrt(1.0 + squares.clamp(min=0.0)) @ heads
