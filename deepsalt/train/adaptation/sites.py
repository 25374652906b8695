"""The machine on satellite sites alone: the floor that laboratory knowledge must not undercut.

Some tens of sites cannot tell which of many machines is best: what held-out groups choose mostly
follows chance. So nothing is chosen: machines of very different ridges are averaged. They share
their inducing points, so their mean is one machine (decision 58).
"""

from dataclasses import dataclass

import numpy as np

from deepsalt.train.teacher.encoder import Encoder, fit_low_noise
from deepsalt.train.teacher.machine import Machine, fit_machine
from deepsalt.types import Floats

SITE_COMPONENTS = 12
"""Components of the machines on satellite sites."""

SITE_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Ridges of the machines that are averaged."""


@dataclass(frozen=True, slots=True, eq=False)
class SiteModel:
    """The machine on satellite sites, behind its encoder."""

    encoder: Encoder
    machine: Machine

    def __call__(self, features: Floats) -> Floats:
        """Return answers (s,) for features (s, d)."""
        return self.machine(self.encoder(features)[0])[:, 0]


def fit_sites(features: Floats, target: Floats, weights: Floats, *, tail: int) -> SiteModel:
    """Fit the machine on satellite sites: features (s, d), target (s,), weights (s,)."""
    encoder = fit_low_noise(features, SITE_COMPONENTS, tail)
    inputs = encoder(features)[0]
    return SiteModel(encoder, mean_machine(inputs, inputs, target, weights))


def mean_machine(
    inducing_points: Floats, inputs: Floats, target: Floats, weights: Floats
) -> Machine:
    """Return the mean of machines of all `SITE_RIDGES`.

    Parameters
    ----------
    inducing_points
        (m, k)
    inputs, target, weights
        (s, k), (s,), (s,)
    """
    machines = [
        fit_machine(inducing_points, inputs, target[:, None], weights, ridge)
        for ridge in SITE_RIDGES
    ]
    heads = np.mean([machine.heads for machine in machines], axis=0)
    return Machine(inducing_points, heads, machines[0].bias)
