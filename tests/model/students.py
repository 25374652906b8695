"""Tiny students with random weights, for tests of everything but skill."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from deepsalt.layers import THRESHOLDS_DS_M
from deepsalt.model.card import Chance, ModelCard
from deepsalt.model.files import write_model
from deepsalt.model.student import CHANCE_KNOTS, Student
from deepsalt.spectral.transform import LEVEL_FEATURES, common_nm, linear_matrix


def tiny_student(seed: int = 0, kept: int = 6, tail: int = 3, low_noise: int = 0) -> Student:
    """Return a student of random weights; `low_noise` inducing points for low-noise spectra."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 0.5) -> torch.Tensor:
        return scale * torch.randn(shape, generator=generator)

    features = linear_matrix().shape[0] + LEVEL_FEATURES
    return Student(
        components=normal(kept + tail, features),
        component_offset=normal(kept + tail),
        domain=normal(5, kept + tail, scale=0.05),
        domain_offset=normal(5),
        domain_shrinkage=normal(5).abs(),
        shrinkage=normal(kept).abs(),
        scale=torch.full((kept,), 0.3),
        inducing_points=normal(7, kept),
        heads=normal(2, 7),
        heads_bias=torch.tensor([[-1.0], [-0.5]]),
        low_noise_components=normal(4, features, scale=0.1),
        low_noise_offset=normal(4),
        low_noise_inducing_points=normal(low_noise, 4),
        low_noise_heads=normal(2, low_noise),
        low_noise_bias=torch.tensor([[0.5], [-0.5]]),
        nodes=torch.tensor([-1.5, 0.0, 2.0]),
        low_noise_nodes=torch.tensor([-1.0, 1.0]),
        intervals=torch.tensor([[-20.0, 20.0, 1.0, 1.5]]),
        low_noise_intervals=torch.tensor([[-20.0, 20.0, 1.0, 1.0]]),
        chances=torch.sigmoid(torch.linspace(*CHANCE_KNOTS)),
        low_noise_chances=torch.sigmoid(2.0 * torch.linspace(*CHANCE_KNOTS)),
        limits=torch.tensor([30.0, 20.0, 200.0, 200.0, 0.05, 0.005]),
        contrast=normal(2, kept, scale=0.05),
        contrast_offset=torch.zeros(2),
        contrast_weights=torch.tensor([1.0, -1.0]),
    )


def tiny_card() -> ModelCard:
    return ModelCard(
        name="tiny",
        family="deepsalt-test",
        version="1",
        created_by="deepsalt test",
        bands_nm=tuple(common_nm().tolist()),
        band_width_nm=10.0,
        normalisation="as deepsalt.spectral.transform",
        outputs={},
        ec_method="1:2 water extract",
        depth="0-5 cm",
        temperature="25 degC",
        ec_max=30.0,
        ec_extrapolated=20.0,
        interval="none",
        chances=tuple(Chance(t, 0.1, 20, "yes", 0.3) for t in THRESHOLDS_DS_M),
        macs_per_pixel=1,
        data=(),
        scores=(),
        limits=("random weights",),
        training={},
        weights_sha256="",
    )


def write_tiny(directory: Path, seed: int = 0, **changes: object) -> Path:
    write_model(directory, tiny_student(seed), replace(tiny_card(), **changes))  # type: ignore[arg-type]
    return directory


def soils(count: int, centers_nm: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """Return smooth spectra like those of soils (count, bands)."""
    rng = np.random.default_rng(seed)
    x = (np.array(centers_nm) - 1400.0) / 1000.0
    level, slope, bend = rng.uniform([0.15, 0.0, -0.1], [0.4, 0.15, 0.02], (count, 3)).T
    spectra = level[:, None] + slope[:, None] * x + bend[:, None] * x**2
    clay = 0.05 * rng.uniform(size=(count, 1)) * np.exp(-(((x - 0.8) / 0.02) ** 2))
    return np.clip(spectra - clay, 0.02, 0.9)
