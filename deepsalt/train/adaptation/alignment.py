"""Alignment of satellite features without pairs, in a way that is safe for regression.

A regression on features Z answers with (Z'Z)^-1 Z'y, so DARE-GRAM (Nejjar, Wang and Fink 2023,
CVPR) compares the inverse Gram matrices of two domains rather than their covariances: the angles
between the columns of the pseudo-inverses, which do not see scale, and, weakly, the eigenvalues.
Let a factor of variance v, salt, load on the features as l, beside other variation N. The
covariance v l l' + N grows with v without bound, so that CORAL shrinks salt wherever satellite
sites are saltier than the laboratory's soils. The inverse, with a = N^-1 l, is
N^-1 - a a' v / (1 + v l'a): it settles once the factor stands out of N, and stays as it is whether
there is more of it or less. The first row of the Gram matrix of (1, z) carries the mean in the same
way: an offset counts by the variance along it.

Nejjar et al. train a network under that loss. Here the network is one affine map within the
laboratory's principal directions: the Gram matrix of adapted coordinates (1, z') is T G T' with
T = [[1, 0], [move, I + change]], so the fit is on matrices of some twenty rows whatever the number
of spectra. With H = (T G T')^-1, H_lab the laboratory's, E the directions as orthonormal columns
of (1, features), h_j and h_j,lab the columns of E H E' and E H_lab E', and g, g_lab the
eigenvalues of the Gram matrices, it minimises

    mean_j (1 - cos(h_j, h_j,lab)) + scale_weight x mean_i (log g_i - log g_i,lab)²
    + penalty x mean |z' - z|² / (variance of the laboratory's z).

The logarithm replaces the paper's plain difference, which depends on the features' units.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

from deepsalt.errors import FormatError
from deepsalt.model.adaptation import Adaptation
from deepsalt.model.threads import one_torch_thread
from deepsalt.train.adaptation.subspace import Subspace, check_features, leading
from deepsalt.types import Floats

MIN_SPECTRA = 30
"""Spectra that each domain needs: fewer say nothing about the angles of several directions."""

# The directions have to reach the noise: without it beside the factors, salt fills the whole
# subspace, and its inverse Gram matrix follows the variance of salt as the covariance does. On
# generated features, 0.97 let a doubled spread of salt cost ten times what 0.99 does.
_ENERGY = 0.99
_MAX_DIRECTIONS = 20
_SPECTRA_PER_DIRECTION = 5  # of the smaller domain: angles of thinner ones are noise
_DRAWS = 100
_NOISE_QUANTILE = 0.95
_MAX_ITERATIONS = 200


def align_features(
    laboratory: Floats,
    satellite: Floats,
    *,
    groups: NDArray[np.str_] | None = None,
    seed: int = 0,
    scale_weight: float = 0.02,
    penalty: float = 0.03,
) -> Adaptation:
    """Bring the inverse Gram matrix of satellite features to the laboratory's, by DARE-GRAM.

    The identity is returned when the satellite's matrix is no further from the laboratory's than
    random draws of as many laboratory spectra mostly are: what sampling explains is not learned.

    Parameters
    ----------
    laboratory, satellite
        Features, of whichever soils (s, d), (p, d).
    groups
        Of the laboratory's rows (s,): whole groups are drawn, since spectra of one profile say
        less than as many profiles. None: rows are drawn.
    seed
        Of the draws.
    scale_weight
        Of the eigenvalues against the angles; the default is the paper's ratio of 0.001 to 0.05.
    penalty
        On the displacement, above 0; on generated features 0.03 gained where features were
        distorted and cost little where only salt differed.

    Raises
    ------
    FormatError
        Fewer than `MIN_SPECTRA` on a side, a feature is missing, or widths or groups differ.
    """
    _check(laboratory, satellite, groups)
    fewest = min(len(laboratory), len(satellite))
    space = leading(
        laboratory,
        laboratory.mean(axis=0),
        energy=_ENERGY,
        most=min(_MAX_DIRECTIONS, fewest // _SPECTRA_PER_DIRECTION),
    )
    known = _with_one(space(laboratory))
    target = known.T @ known / len(known)
    with one_torch_thread():
        loss = _loss(space, target, scale_weight)
        seen = _gram(_with_one(space(satellite)), target)
        if _value(loss, seen) <= _sampling_noise(loss, known, groups, (len(satellite), seed)):
            return Adaptation.identity(laboratory.shape[1])
        change = _fit(loss, seen, penalty / float(np.trace(target) - 1.0))
    return space.lift("align", change[:, 1:], change[:, 0])


@dataclass(frozen=True, slots=True, eq=False)
class _Loss:
    """Distance of Gram matrices (k + 1, k + 1) of (1, z) from the laboratory's.

    Parameters
    ----------
    rows
        1 and the features in the subspace's directions, E (d + 1, k + 1).
    columns
        Columns of the laboratory's inverse Gram matrix, in these directions (d + 1, k + 1).
    log_eigenvalues
        Of the laboratory's Gram matrix (k + 1).
    scale_weight
        Of the eigenvalues.
    """

    rows: Tensor
    columns: Tensor
    log_eigenvalues: Tensor
    scale_weight: float

    def __call__(self, gram: Tensor) -> Tensor:
        # The columns of E are orthonormal, so the angle of E a and E b is that of a and b.
        columns = torch.linalg.solve(gram, self.rows, left=False)
        angle = 1.0 - functional.cosine_similarity(columns, self.columns, dim=1)
        scale = (torch.linalg.eigvalsh(gram).log() - self.log_eigenvalues).square()
        total: Tensor = angle.mean() + self.scale_weight * scale.mean()
        return total


def _loss(space: Subspace, target: Floats, scale_weight: float) -> _Loss:
    size, rank = space.basis.shape
    rows = np.zeros((size + 1, rank + 1))
    rows[0, 0] = 1.0
    rows[1:, 1:] = space.basis
    wanted = torch.from_numpy(target)
    return _Loss(
        torch.from_numpy(rows),
        torch.linalg.solve(wanted, torch.from_numpy(rows), left=False),
        torch.linalg.eigvalsh(wanted).log(),
        scale_weight,
    )


def _value(loss: _Loss, gram: Floats) -> float:
    return float(loss(torch.from_numpy(gram)))


def _with_one(coordinates: Floats) -> Floats:
    return np.column_stack([np.ones(len(coordinates)), coordinates])


def _gram(inputs: Floats, target: Floats) -> Floats:
    """Return the Gram matrix of inputs (p, k + 1), drawn to the laboratory's by k + 1 rows of it.

    Without, few spectra would have next to no inverse.
    """
    prior = len(target)
    gram: Floats = (inputs.T @ inputs + prior * target) / (len(inputs) + prior)
    return gram


def _sampling_noise(
    loss: _Loss, known: Floats, groups: NDArray[np.str_] | None, draw: tuple[int, int]
) -> float:
    """Return the loss that random laboratory spectra mostly stay below; `draw` is size, seed."""
    size, seed = draw
    rng = np.random.default_rng(seed)
    names = np.arange(len(known)) if groups is None else groups
    _, index, counts = np.unique(names, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(index, kind="stable"), np.cumsum(counts)[:-1])
    target = known.T @ known / len(known)
    values = []
    for _ in range(_DRAWS):
        rows: list[int] = []
        while len(rows) < size:
            rows.extend(members[rng.integers(len(members))])
        values.append(_value(loss, _gram(known[rows[:size]], target)))
    return float(np.quantile(values, _NOISE_QUANTILE))


def _fit(loss: _Loss, seen: Floats, penalty: float) -> Floats:
    """Return move and change side by side (k, k + 1)."""
    gram = torch.from_numpy(seen)
    shape = (len(seen) - 1, len(seen))
    identity = torch.eye(len(seen), dtype=torch.float64)

    def objective(flat: Floats) -> tuple[float, Floats]:
        change = torch.from_numpy(flat.reshape(shape)).requires_grad_()
        whole = identity + functional.pad(change, (0, 0, 1, 0))
        # trace(change G change') is the mean squared displacement of the spectra.
        displacement = torch.trace(change @ gram @ change.T)
        value = loss(whole @ gram @ whole.T) + penalty * displacement
        (gradient,) = torch.autograd.grad(value, change)
        return float(value.detach()), gradient.numpy().ravel()

    found = minimize(
        objective,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS},
    )
    change: Floats = found.x.reshape(shape)
    return change


def _check(laboratory: Floats, satellite: Floats, groups: NDArray[np.str_] | None) -> None:
    check_features("laboratory features", laboratory)
    check_features("satellite features", satellite)
    fewest = min(len(laboratory), len(satellite))
    if fewest < MIN_SPECTRA:
        raise FormatError(
            f"alignment has {len(laboratory)} laboratory and {len(satellite)} satellite spectra "
            f"but needs {MIN_SPECTRA} of each; add spectra, labelled or not, or leave it out"
        )
    if laboratory.shape[1] != satellite.shape[1]:
        raise FormatError(
            f"laboratory features {laboratory.shape} and satellite features {satellite.shape} "
            f"differ; pass both through the front end"
        )
    if groups is not None and len(groups) != len(laboratory):
        raise FormatError(
            f"{len(laboratory)} laboratory spectra have {len(groups)} groups; give one group per "
            f"spectrum"
        )
