"""Training stages of the published method: codecs, teacher, student; each a fixed budget."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepsalt.benchmark.published.config import PublishedConfig
from deepsalt.benchmark.published.networks import (
    SparseAutoencoder,
    Transformer,
    feature_loss,
    moment_loss,
    sparsity_loss,
)
from deepsalt.errors import UsageError

_FLAT = 1e-6  # a spread below this counts as none
_WARM_UP = 0.2  # share of the steps in which the learning rate rises
_MOMENT_ROWS = 8  # per latent: with fewer, the noise of a covariance rewards small latents


@dataclass(frozen=True, slots=True)
class Scale:
    """Means and standard deviations of training rows, per column."""

    mean: Tensor
    """(k,)"""
    std: Tensor
    """(k,), 1 where the column does not vary."""

    @classmethod
    def of(cls, rows: Tensor) -> "Scale":
        """Measure rows (s, k)."""
        std = rows.std(dim=0, correction=0)
        return cls(rows.mean(dim=0), torch.where(std > _FLAT, std, 1.0))

    def apply(self, rows: Tensor) -> Tensor:
        """Return standardised rows."""
        return (rows - self.mean) / self.std


@dataclass(frozen=True, slots=True)
class Codec:
    """From spectra of one source to standardised latents."""

    bands: Scale
    """Of the spectra."""
    autoencoder: SparseAutoencoder
    """Its encoder is what remains in use."""
    latents: Scale
    """Of the laboratory's latents where there are any: both sources share one latent space."""

    def encode(self, spectra: Tensor) -> Tensor:
        """Return latents (s, latent) of spectra (s, bands)."""
        return self.latents.apply(self.autoencoder.codes(self.bands.apply(spectra))[-1])


@dataclass(frozen=True, slots=True)
class Estimator:
    """A transformer and the labels it was trained on."""

    network: Transformer
    """From latents to standardised label."""
    labels: Scale
    """Mean and standard deviation, (1,) each."""
    low: Tensor
    """Lowest label in training; no estimate is below."""
    high: Tensor
    """Highest label in training."""

    def estimate(self, latents: Tensor) -> Tensor:
        """Return labels (s,) for latents (s, latent)."""
        value: Tensor = self.network(latents)[0]
        value = value * self.labels.std + self.labels.mean
        return value.clamp(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Target of the alignment of satellite latents."""

    scale: Scale
    """Of the laboratory's latents."""
    latents: Tensor
    """Of the laboratory's spectra, standardised (s, latent)."""
    pairs: Tensor
    """Rows (satellite, laboratory) of one soil (q, 2); q may be 0."""

    def loss(self, encode: Callable[[Tensor], Tensor], rows: int, batch: int) -> Tensor:
        """Return the distance to the pairs' latents, or of the moments if there are no pairs."""
        if len(self.pairs):
            drawn = self.pairs[torch.randint(len(self.pairs), (batch,))]
            return functional.mse_loss(encode(drawn[:, 0]), self.latents[drawn[:, 1]])
        drawn = torch.randint(rows, (_MOMENT_ROWS * self.latents.shape[1],))
        return moment_loss(encode(drawn), self.latents)

    def guides(self, own: Tensor) -> Tensor:
        """Return what the teacher is shown for satellite rows (p, latent).

        The mean laboratory latent of the row's pairs; its own latent without a pair.
        """
        rows = self.pairs[:, 0]
        partners = self.latents[self.pairs[:, 1]]
        count = torch.zeros(len(own), 1).index_add(0, rows, torch.ones(len(rows), 1))
        mean = torch.zeros_like(own).index_add(0, rows, partners) / count.clamp(min=1.0)
        return torch.where(count > 0, mean, own)


def descend(
    config: PublishedConfig,
    stage: str,
    modules: nn.Module,
    steps: int,
    *,
    rows: Tensor,
    loss: Callable[..., Tensor],
) -> None:
    """Minimise `loss` of batches of `rows` for a fixed number of steps.

    Raises
    ------
    UsageError
        The loss is not finite.
    """
    rate = config.learning_rate
    optimiser = torch.optim.AdamW(modules.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=_WARM_UP)
    modules.train()
    for step in range(steps):
        batch = rows[torch.randint(len(rows), (min(config.batch, len(rows)),))]
        value = loss(batch)
        if not bool(torch.isfinite(value)):
            raise UsageError(
                f"training of the {stage} diverged at step {step} on rows "
                f"{sorted(set(batch.tolist()))}: the loss is not finite; "
                "lower the learning rate or check these rows for impossible spectra"
            )
        optimiser.zero_grad()
        torch.autograd.backward(value)
        optimiser.step()
        schedule.step()
    modules.eval()


def train_codec(
    spectra: Tensor, config: PublishedConfig, anchor: Anchor | None, name: str
) -> Codec:
    """Train an autoencoder on spectra (s, d): reconstruction, sparsity and alignment."""
    bands = Scale.of(spectra)
    inputs = bands.apply(spectra)
    autoencoder = SparseAutoencoder(spectra.shape[1], config.hidden, config.latent)

    def loss(rows: Tensor) -> Tensor:
        rebuilt, codes = autoencoder(inputs[rows])
        value = functional.mse_loss(rebuilt, inputs[rows])
        for code in codes:
            value = value + config.sparsity_weight * sparsity_loss(code, config.sparsity_target)
        if anchor is not None:
            scale = anchor.scale
            apart = anchor.loss(
                lambda drawn: scale.apply(autoencoder.codes(inputs[drawn])[-1]),
                len(inputs),
                config.batch,
            )
            value = value + config.alignment_weight * apart
        return value

    every = torch.arange(len(spectra))
    descend(config, name, autoencoder, config.encoder_steps, rows=every, loss=loss)
    if anchor is not None:
        return Codec(bands, autoencoder, anchor.scale)
    with torch.no_grad():
        return Codec(bands, autoencoder, Scale.of(autoencoder.codes(inputs)[-1]))


def train_teacher(latents: Tensor, labels: Tensor, config: PublishedConfig) -> Estimator:
    """Train the teacher on laboratory latents (s, latent) and labels (s,)."""
    scale = Scale.of(labels[:, None])
    target = scale.apply(labels)
    network = Transformer(
        config.latent,
        config.teacher_layers,
        config.teacher_width,
        heads=config.heads,
        feedforward=config.feedforward,
    )

    def loss(rows: Tensor) -> Tensor:
        return functional.mse_loss(network(latents[rows])[0], target[rows])

    every = torch.arange(len(latents))
    descend(config, "teacher", network, config.teacher_steps, rows=every, loss=loss)
    return Estimator(network, scale, labels.min(), labels.max())


class PublishedStudent(nn.Module):
    """The student with the maps that its training needs: from its width to the teacher's."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config = config
        self.network = Transformer(
            config.latent,
            config.student_layers,
            config.student_width,
            heads=config.heads,
            feedforward=config.feedforward,
        )
        self.bridges = nn.ModuleList(
            nn.Linear(config.student_width, config.teacher_width)
            for _ in range(config.student_layers)
        )

    def loss(self, latents: Tensor, target: Tensor, features: list[Tensor]) -> Tensor:
        """Return the task's loss and the features', weighted.

        Parameters
        ----------
        latents
            (s, latent)
        target
            Standardised labels (s,), NaN where there is none.
        features
            Of the teacher, per layer (s, teacher width); none: labels alone.
        """
        estimate: Tensor
        estimate, own = self.network(latents)
        known = torch.isfinite(target)
        # A sum over the known: a batch without labels adds nothing instead of 0 / 0.
        task = (estimate[known] - target[known]).square().sum() / known.sum().clamp(min=1)
        if not features:
            return task
        apart = feature_loss(own, features, self.bridges, self.config.feature_weights)
        return self.config.task_weight * task + self.config.feature_weight * apart


def train_student(
    latents: Tensor,
    labels: Tensor,
    config: PublishedConfig,
    teacher: tuple[Estimator, Tensor] | None,
) -> Estimator:
    """Train the student on satellite latents (p, latent).

    Parameters
    ----------
    latents
        (p, latent)
    labels
        (p,), NaN where there is none. Without any, the teacher's estimates stand in.
    config
        Sizes and budget.
    teacher
        The teacher and the latents it is shown (p, latent); None: labels alone.
    """
    features: list[Tensor] = []
    rows = torch.arange(len(latents))
    if teacher is None:
        rows = rows[torch.isfinite(labels)]
    else:
        estimator, shown = teacher
        with torch.no_grad():
            features = estimator.network(shown)[1]
            if not bool(torch.isfinite(labels).any()):
                labels = estimator.estimate(shown)
    known = labels[torch.isfinite(labels)]
    scale = Scale.of(known[:, None])
    target = scale.apply(labels)
    student = PublishedStudent(config)

    def loss(batch: Tensor) -> Tensor:
        return student.loss(latents[batch], target[batch], [f[batch] for f in features])

    descend(config, "student", student, config.student_steps, rows=rows, loss=loss)
    return Estimator(student.network, scale, known.min(), known.max())
