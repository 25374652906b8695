"""The teacher's networks: small, trained on labels, stopped early on held-out groups."""

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deepsalt.errors import RunError
from deepsalt.model.threads import one_torch_thread
from deepsalt.train.config import Settings
from deepsalt.train.data.splits import group_folds
from deepsalt.types import Floats

_HUBER = 1.0  # log units; larger residuals count linearly, since single labels are far off
_INPUT_NOISE = 0.15  # standard deviation added to standardised inputs while training
_HELD_OUT = 6  # one group in so many is held out to stop by
_NAMED = 8  # ids of a batch in a message


class Network(nn.ModuleList):
    """Two hidden layers and a location.

    Parameters
    ----------
    inputs
        Inputs per spectrum.
    hidden
        Widths of the hidden layers.
    dropout
        Share of hidden units dropped in training.
    """

    def __init__(self, inputs: int, hidden: tuple[int, int], dropout: float) -> None:
        super().__init__(
            [nn.Linear(inputs, hidden[0]), nn.Linear(hidden[0], hidden[1]), nn.Linear(hidden[1], 1)]
        )
        self.dropout = dropout

    def forward(self, z: Tensor) -> Tensor:
        """Return locations (s,) for standardised inputs (s, k)."""
        for layer in list(self)[:-1]:
            z = functional.dropout(functional.silu(layer(z)), self.dropout, self.training)
        return torch.as_tensor(self[-1](z)[:, 0])


def train_network(
    inputs: Floats,
    target: Floats,
    weights: Floats,
    *,
    groups: NDArray[np.str_],
    ids: NDArray[np.str_],
    settings: Settings,
    number: int,
) -> Network:
    """Train one network, on a GPU where there is one.

    Parameters
    ----------
    inputs, target, weights
        Standardised inputs (s, k), target about 0 (s,), weights (s,).
    groups
        Whole groups are held out to stop by, samples where there is one group (s,).
    ids
        Name of each row, for messages (s,).
    settings
        Sizes, budgets and seed.
    number
        Of the member; each holds out other groups.

    Raises
    ------
    RunError
        The loss is not finite; the message names the step and rows of the batch.
    """
    names = groups if np.unique(groups).size > 1 else ids
    folds = group_folds(names, _HELD_OUT, settings.seed + number)
    train, held = folds[number % len(folds)]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed + 1000 * (number + 1))
        network = Network(inputs.shape[1], settings.hidden, settings.dropout).to(device)
        parts = [
            [torch.from_numpy(a[rows].astype(np.float32)).to(device) for a in (inputs, target, w)]
            for rows, w in ((train, weights / weights.mean()), (held, weights / weights.mean()))
        ]
        _optimise(network, parts, ids[train], settings)
    return network.cpu().eval()


def _optimise(
    network: Network, parts: list[list[Tensor]], ids: NDArray[np.str_], settings: Settings
) -> None:
    (z, target, weights), (held_z, held_target, held_weights) = parts
    batch = min(settings.batch, len(target))
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    best = math.inf
    state = copy.deepcopy(network.state_dict())
    waited = 0
    step = 0
    for _ in range(settings.epochs):
        network.train()
        for rows in torch.split(torch.randperm(len(target)), batch):
            noisy = z[rows] + _INPUT_NOISE * torch.randn(len(rows), z.shape[1]).to(z.device)
            value = (weights[rows] * _loss(network(noisy), target[rows])).mean()
            if not bool(torch.isfinite(value)):
                raise RunError(
                    f"training diverged at step {step}: the loss of a batch with "
                    f"{', '.join(ids[rows.numpy()[:_NAMED]].tolist())} ... is not finite; lower "
                    f"the learning rate or check these rows for impossible spectra"
                )
            optimiser.zero_grad()
            torch.autograd.backward(value)
            optimiser.step()
            step += 1
        network.eval()
        with torch.no_grad():
            reached = float((held_weights * _loss(network(held_z), held_target)).mean())
        waited += 1
        if reached < best:
            best = reached
            state = copy.deepcopy(network.state_dict())
            waited = 0
        elif waited >= settings.patience:
            break
    network.load_state_dict(state)


def _loss(location: Tensor, target: Tensor) -> Tensor:
    return functional.huber_loss(location, target, reduction="none", delta=_HUBER)


def apply_network(network: Network, inputs: Floats) -> Floats:
    """Return locations (s,) of standardised inputs (s, k)."""
    with one_torch_thread(), torch.inference_mode():
        out = network(torch.from_numpy(inputs.astype(np.float32)))
    return np.asarray(out.numpy(), dtype=np.float64)
