"""One member of the student: a small network and its training."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deepsalt.errors import UsageError
from deepsalt.layers import INTERVAL_COVERAGE
from deepsalt.model.student import MAX_COMPONENT
from deepsalt.model.threads import one_torch_thread
from deepsalt.train.config import TrainConfig

MISSES_ABOVE = 0.03
"""Share of samples that may lie above the interval.

Less than half of all misses: most labels are near zero, where a miss below is some hundredths of a
dS/m, and a miss above is a saline soil taken for a good one.
"""

MISSES_BELOW = 1.0 - INTERVAL_COVERAGE - MISSES_ABOVE
"""Share of samples that may lie below the interval."""

_WARM_UP = 0.2  # share of the steps in which the learning rate rises
_HUBER = 1.0  # log units; larger residuals count linearly, since single labels are far off


class Network(nn.ModuleList):
    """Two hidden layers and three heads: location, log width below, log width above.

    Parameters
    ----------
    inputs
        Components per spectrum.
    hidden
        Widths of the hidden layers.
    dropout
        Share of hidden units left out in training.
    """

    def __init__(self, inputs: int, hidden: tuple[int, int], dropout: float) -> None:
        super().__init__(
            [nn.Linear(inputs, hidden[0]), nn.Linear(hidden[0], hidden[1]), nn.Linear(hidden[1], 3)]
        )
        self.dropout = dropout

    def forward(self, z: Tensor) -> Tensor:
        """Return the three heads for components (s, k): (s, 3)."""
        z = z.clamp(-MAX_COMPONENT, MAX_COMPONENT)
        for layer in list(self)[:-1]:
            z = functional.dropout(functional.silu(layer(z)), self.dropout, self.training)
        return torch.as_tensor(self[-1](z))


def train_member(
    inputs: NDArray[np.float32],
    target: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    config: TrainConfig,
    number: int,
) -> Network:
    """Train one network for a fixed number of steps.

    Parameters
    ----------
    inputs
        Standardised components (s, k).
    target
        log(EC + 0.03) minus its mean (s,).
    weights
        (s,)
    config
        Sizes and penalties.
    number
        Of the member: each starts from its own seed.

    Raises
    ------
    UsageError
        The loss is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # One thread: sums split over threads round differently, and a seed is to give equal weights.
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + number)
        network = Network(inputs.shape[1], config.hidden, config.dropout).to(device)
        data = [
            torch.from_numpy(a.astype(np.float32)).to(device) for a in (inputs, target, weights)
        ]
        _optimise(network, (data[0], data[1], data[2] / data[2].mean()), config)
    return network.cpu().eval()


def _optimise(network: Network, data: tuple[Tensor, Tensor, Tensor], config: TrainConfig) -> None:
    inputs, target, weights = data
    batch = min(config.batch, target.numel())
    steps = config.epochs * -(-target.numel() // batch)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, steps, pct_start=_WARM_UP
    )
    for step in range(steps):
        rows = torch.randint(target.numel(), (batch,)).to(inputs.device)
        z = inputs[rows]
        z = z + config.component_noise * torch.randn(z.shape).to(z.device)
        value = (weights[rows] * loss(network(z), target[rows])).mean()
        if not bool(torch.isfinite(value)):
            raise UsageError(
                f"training diverged at step {step}: the loss is not finite; "
                "lower the learning rate or look for impossible spectra in the tables"
            )
        optimiser.zero_grad()
        torch.autograd.backward(value)
        optimiser.step()
        schedule.step()


def loss(out: Tensor, target: Tensor) -> Tensor:
    """Return the loss per row (s,): Huber of the location, pinball of either end.

    The ends do not pull at the location: its error is what the map's error is.
    """
    residual = target - out[:, 0]
    fixed = residual.detach()
    below, above = out[:, 1].exp(), out[:, 2].exp()
    huber = functional.huber_loss(out[:, 0], target, reduction="none", delta=_HUBER)
    return (
        huber + _pinball(fixed + below, MISSES_BELOW) + _pinball(fixed - above, 1.0 - MISSES_ABOVE)
    )


def _pinball(residual: Tensor, quantile: float) -> Tensor:
    return torch.maximum(quantile * residual, (quantile - 1.0) * residual)


def apply_member(network: Network, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return location and widths below and above for components (s, k): (s, 3)."""
    with one_torch_thread(), torch.inference_mode():
        out = network(torch.from_numpy(inputs))
        out[:, 1:] = out[:, 1:].exp()
    return np.asarray(out.numpy(), dtype=np.float64)
