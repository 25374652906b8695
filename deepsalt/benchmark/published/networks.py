"""Networks and losses of the published method (DeepSalt, arXiv 2510.23124)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_EDGE = 1e-6  # keeps the logarithms of an activation of 0 or 1 finite


class SparseAutoencoder(nn.Module):
    """Two stacked sigmoid layers down to the latent, and their mirror image.

    Parameters
    ----------
    bands
        Bands per spectrum.
    hidden
        Width between spectrum and latent.
    latent
        Width of the latent.
    """

    def __init__(self, bands: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Linear(bands, hidden), nn.Linear(hidden, latent)])
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.Sigmoid(), nn.Linear(hidden, bands)
        )

    def codes(self, spectra: Tensor) -> list[Tensor]:
        """Return the activations, 0 to 1, of both layers: (s, hidden), (s, latent)."""
        found = []
        for layer in self.encoder:
            spectra = torch.sigmoid(layer(spectra))
            found.append(spectra)
        return found

    def forward(self, spectra: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the spectra rebuilt (s, bands) and the activations of both layers."""
        codes = self.codes(spectra)
        return self.decoder(codes[-1]), codes


class Transformer(nn.Module):
    """Encoder layers over a sequence of one token, the latent, and a head that reads the last.

    Parameters
    ----------
    latent
        Width of the input.
    layers
        Number of encoder layers.
    width
        Of the token.
    heads
        Of the attention; they divide `width`.
    feedforward
        Width within each layer.
    """

    def __init__(
        self, latent: int, layers: int, width: int, *, heads: int, feedforward: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(latent, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, feedforward, batch_first=True)
            for _ in range(layers)
        )
        self.head = nn.Linear(width, 1)

    def forward(self, latents: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the estimate (s,) and what each layer puts out, (s, width) each."""
        token = self.embed(latents)[:, None, :]
        features = []
        for layer in self.layers:
            token = layer(token)
            features.append(token[:, 0, :])
        return self.head(features[-1])[:, 0], features


def sparsity_loss(activations: Tensor, target: float) -> Tensor:
    """Return the Kullback-Leibler divergence of each unit's mean activation, averaged over units.

    Of two coins, `target` and the mean over the batch of a sigmoid unit. It is zero only where the
    mean is `target`, and pulls at the encoder anywhere else.

    Parameters
    ----------
    activations
        (s, units), 0 to 1.
    target
        Share of the time that a unit should be active.
    """
    mean = activations.mean(dim=0).clamp(_EDGE, 1.0 - _EDGE)
    on = target * (target / mean).log()
    off = (1.0 - target) * ((1.0 - target) / (1.0 - mean)).log()
    return (on + off).mean()


def moment_loss(latents: Tensor, reference: Tensor) -> Tensor:
    """Return the squared distance of means and covariances of latents (s, k) and (t, k)."""
    shift = latents.mean(dim=0) - reference.mean(dim=0)
    spread = torch.cov(latents.T, correction=0) - torch.cov(reference.T, correction=0)
    return shift.square().mean() + spread.square().sum() / latents.shape[1]


def feature_loss(
    student: list[Tensor], teacher: list[Tensor], bridges: nn.ModuleList, weights: tuple[float, ...]
) -> Tensor:
    """Return the weighted squared distance of features, layer by layer.

    Student layers beyond the teacher's last follow the teacher's last, under its weight.

    Parameters
    ----------
    student
        Features per layer (s, student width).
    teacher
        Features per layer (s, teacher width).
    bridges
        One linear map per student layer, from its width to the teacher's.
    weights
        One per teacher layer.
    """
    last = len(teacher) - 1
    terms = [
        weights[min(i, last)] * functional.mse_loss(bridge(own), teacher[min(i, last)])
        for i, (own, bridge) in enumerate(zip(student, bridges, strict=True))
    ]
    return torch.stack(terms).sum()
