"""The machine on satellite sites alone: the floor that laboratory knowledge must not undercut."""

from collections.abc import Sequence
from dataclasses import dataclass

from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import Fold
from deepsalt.train.teacher.encoder import Encoder, fit_low_noise, fit_low_noise_each
from deepsalt.train.teacher.machine import Machine, fit_machine
from deepsalt.train.teacher.teacher import view_weights
from deepsalt.types import Floats

SITE_COMPONENTS = (6, 12, 24, 40)
SITE_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Candidates for the machine on satellite sites."""


@dataclass(frozen=True, slots=True, eq=False)
class SiteModel:
    """The machine on satellite sites: encoder, components and ridge as chosen, machine."""

    encoder: Encoder
    machine: Machine
    components: int
    ridge: float

    def __call__(self, features: Floats) -> Floats:
        """Return answers (s,) for features (s, d)."""
        return self.machine(self.encoder(features)[0])[:, 0]


def fit_sites(
    features: Floats, target: Floats, weights: Floats, *, components: int, ridge: float, tail: int
) -> SiteModel:
    """Fit the machine on satellite sites: features (s, d), target (s,), weights (s,)."""
    encoder = fit_low_noise(features, components, tail)
    inputs = encoder(features)[0]
    machine = fit_machine(inputs, inputs, target[:, None], weights, ridge)
    return SiteModel(encoder, machine, components, ridge)


def tune_sites(samples: Samples, folds: Sequence[Fold], settings: Settings) -> tuple[int, float]:
    """Return components and ridge that held-out groups of the sites like best."""
    weights = view_weights(samples, settings)
    target = samples.target
    error = dict.fromkeys([(k, r) for k in SITE_COMPONENTS for r in SITE_RIDGES], 0.0)
    for train, test in folds:
        features = samples.features[train]
        encoders = fit_low_noise_each(features, SITE_COMPONENTS, settings.tail)
        for components, encoder in zip(SITE_COMPONENTS, encoders, strict=True):
            shown, hidden = encoder(features)[0], encoder(samples.features[test])[0]
            for ridge in SITE_RIDGES:
                machine = fit_machine(shown, shown, target[train][:, None], weights[train], ridge)
                left = target[test] - machine(hidden)[:, 0]
                error[components, ridge] += float((left**2).sum())
    return min(error, key=lambda pair: error[pair])
