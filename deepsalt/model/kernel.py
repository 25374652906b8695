"""The kernel machine that students answer by."""

import torch
from torch import Tensor

from deepsalt.model.memory import Memory

# Scaled inputs are cut here, some thousand standard deviations off: the kernel is nearly zero, and
# larger squares would lose the 1 beside them.
_MAX_INPUT = 50.0

COLUMNS = 512
"""Spectra at a time: their kernel with some hundred inducing points stays in a core's own cache."""


def machine(
    inputs: Tensor,
    inducing_points: Tensor,
    heads: Tensor,
    bias: Tensor,
    memory: Memory | None = None,
) -> Tensor:
    """Return heads (h, s) on the inverse multiquadric kernel of inputs (k, s).

    bias + heads / sqrt(1 + |input - inducing point|²), inducing points (m, k), heads (h, m), bias
    (h, 1); in `memory`, where it is written over by the next batch.
    """
    # 1 + |z|² - 2 a z + |a|² is one product of (-2 a, 1, 1 + |a|²) and (z, |z|², 1): nothing else
    # has to pass over the kernel but its root.
    memory = memory or Memory()
    size = inducing_points.shape[1]
    right = memory.matrix("inputs", size + 2, inputs)
    torch.clamp(inputs, -_MAX_INPUT, _MAX_INPUT, out=right[:size])
    squares = torch.mul(right[:size], right[:size], out=memory.matrix("squares", size, inputs))
    torch.sum(squares, 0, out=right[size])
    far = inducing_points.square().sum(1, keepdim=True) + 1.0
    left = torch.cat([-2.0 * inducing_points, torch.ones_like(far), far], dim=1)
    answers = memory.matrix("answers", heads.shape[0], inputs)
    for start in range(0, inputs.shape[1], COLUMNS):
        part = right[:, start : start + COLUMNS]
        kernel = torch.mm(left, part, out=memory.matrix("kernel", inducing_points.shape[0], part))
        torch.addmm(bias, heads, kernel.rsqrt_(), out=answers[:, start : start + COLUMNS])
    return answers
