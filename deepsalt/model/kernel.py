"""The kernel machine that students answer by."""

import torch
from torch import Tensor

# Scaled inputs are cut here, some thousand standard deviations off: the kernel is nearly zero, and
# larger squares would lose the 1 beside them.
_MAX_INPUT = 50.0


def machine(inputs: Tensor, anchors: Tensor, heads: Tensor, bias: Tensor) -> Tensor:
    """Return heads (h, s) on the inverse multiquadric kernel of inputs (k, s), overwritten.

    bias + heads / sqrt(1 + |input - anchor|²), anchors (m, k), heads (h, m), bias (h, 1).
    """
    inputs = inputs.clamp_(-_MAX_INPUT, _MAX_INPUT)
    size = anchors.square().sum(1, keepdim=True) + 1.0
    kernel = torch.addmm(size, anchors, inputs, alpha=-2.0)
    kernel.add_(inputs.square().sum(0)).rsqrt_()
    return torch.addmm(bias, heads, kernel)
