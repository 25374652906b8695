"""The kernel machine that students answer by."""

import torch
from torch import Tensor

# Scaled inputs are cut here, some thousand standard deviations off: the kernel is nearly zero, and
# larger squares would lose the 1 beside them.
_MAX_INPUT = 50.0

_PADDING = 16  # numbers after each row

COLUMNS = 512
"""Spectra at a time: their kernel with some hundred anchors stays in a core's own cache."""


def machine(inputs: Tensor, anchors: Tensor, heads: Tensor, bias: Tensor) -> Tensor:
    """Return heads (h, s) on the inverse multiquadric kernel of inputs (k, s).

    bias + heads / sqrt(1 + |input - anchor|²), anchors (m, k), heads (h, m), bias (h, 1).
    """
    # 1 + |z|² - 2 a z + |a|² is one product of (-2 a, 1, 1 + |a|²) and (z, |z|², 1): nothing else
    # has to pass over the kernel but its root.
    size = anchors.shape[1]
    # Rows a power of two apart would share a few lines of the cache.
    right = inputs.new_ones(size + 2, inputs.shape[1] + _PADDING)[:, : inputs.shape[1]]
    torch.clamp(inputs, -_MAX_INPUT, _MAX_INPUT, out=right[:size])
    torch.sum(right[:size].square(), 0, out=right[size])
    far = anchors.square().sum(1, keepdim=True) + 1.0
    left = torch.cat([-2.0 * anchors, torch.ones_like(far), far], dim=1)
    # One piece of memory for all parts: taking and clearing it costs as much as the product.
    kernel = inputs.new_empty(anchors.shape[0], COLUMNS + _PADDING)
    answers = []
    for part in torch.split(right, COLUMNS, dim=1):
        squares = torch.mm(left, part, out=kernel[:, : part.shape[1]])
        answers.append(torch.addmm(bias, heads, squares.rsqrt_()))
    return torch.cat(answers, dim=1)
