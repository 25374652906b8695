"""Fits of the Spectral Adaptation Unit: satellite representation in, laboratory-like one out.

Each fit returns an affine `Adaptation` on the front end's features and falls back to the identity
as its evidence runs out. In the order they should be tried: `epo` removes what is known to be
nuisance, `direct_standardisation` and `contrastive` learn from trusted pairs, and
`deepsalt.train.alignment.align_features` needs neither pairs nor labels.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from deepsalt.errors import FormatError
from deepsalt.model.adaptation import Adaptation
from deepsalt.model.threads import one_torch_thread
from deepsalt.train.subspace import check_features, leading

Floats = NDArray[np.float64]

MIN_PAIRS = 8
"""Trusted pairs that `contrastive` needs: with fewer, a partner has next to no rivals."""

_MAX_DIRECTIONS = 40  # of a pairs' subspace: the components that the student keeps
_ENERGY = 0.999  # share of the pairs' variance within their subspace
_BATCH = 64  # pairs that rival each other in one contrastive step
_TEMPERATURE = 0.1  # of the mean squared distance between laboratory spectra
_RATE = 3e-3  # Adam's, on a matrix that starts at the identity


def repeat_differences(features: Floats, names: Sequence[str] | NDArray[np.str_]) -> Floats:
    """Return spectra of one site in several scenes minus their site's mean (m, d).

    Parameters
    ----------
    features
        (s, d).
    names
        Of the site or sample, one per row (s,). Sites with a single spectrum are left out.

    Raises
    ------
    FormatError
        A feature is missing, or rows and names do not match.
    """
    check_features("features", features)
    _, site, counts = np.unique(np.asarray(names), return_inverse=True, return_counts=True)
    if site.shape != (features.shape[0],):
        raise FormatError(
            f"{features.shape[0]} spectra come with {site.size} names; give one name per spectrum"
        )
    sums = np.zeros((counts.size, features.shape[1]))
    np.add.at(sums, site, features)
    differences: Floats = (features - (sums / counts[:, None])[site])[counts[site] > 1]
    return differences


def epo(differences: Floats, rank: int, scale: Floats | None = None) -> Adaptation:
    """Project out the leading directions of nuisance: external parameter orthogonalisation.

    x' = S (I - V V') S^-1 x, V the leading right singular vectors of differences S^-1 (Roger,
    Chauchard and Bellon-Maurel 2003; for soil moisture Minasny et al. 2011). Models behind it are
    trained on projected features, laboratory ones as well.

    Parameters
    ----------
    differences
        What one soil's spectra differ by for reasons that are not its salt (m, d): of repeat
        scenes (`repeat_differences`), of augmented minus clean spectra.
    rank
        Directions to remove; 0 is the identity.
    scale
        The diagonal of S (d,), `subspace.spreads` of clean features; without it, the features with
        the largest units count most.

    Raises
    ------
    FormatError
        A difference is missing, or the rank exceeds what the differences span.
    """
    check_features("differences", differences)
    rows, size = differences.shape
    if not 0 <= rank <= min(rows, size):
        raise FormatError(
            f"EPO of rank {rank} asked of {rows} differences in {size} features; "
            f"give a rank of 0 to {min(rows, size)}"
        )
    if rank == 0:
        return Adaptation.identity(size)
    unit = np.ones(size) if scale is None else scale
    vectors = np.linalg.svd(differences / unit, full_matrices=False)[2][:rank]
    removed = (vectors.T * unit[:, None]) @ (vectors / unit)
    return Adaptation(f"epo{rank}", np.eye(size) - removed, np.zeros(size))


def one_standard_error(
    scores: Floats, order: Sequence[int] | None = None, *, paired: bool = False
) -> int:
    """Return the simplest candidate within one standard error of the best (Breiman et al. 1984).

    Parameters
    ----------
    scores
        Higher is better (candidates, folds); folds are whole groups.
    order
        Indices of the candidates from the simplest; None: as the rows are.
    paired
        False: the standard error of the best candidate's mean over folds. True: that of its lead
        over each other candidate, which takes out what makes folds differ for all alike.

    Raises
    ------
    FormatError
        A score is missing, there are fewer than two folds, or `order` is no permutation.
    """
    check_features("scores", scores)
    candidates, folds = scores.shape
    ranked = list(range(candidates) if order is None else order)
    if folds < 2 or sorted(ranked) != list(range(candidates)) or not ranked:
        raise FormatError(
            f"scores {scores.shape} with the order {ranked} cannot be compared; give at least one "
            "candidate, two folds, and every candidate once"
        )
    means = scores.mean(axis=1)
    best = max(ranked, key=lambda i: means[i])
    spread = scores[best] - scores if paired else np.broadcast_to(scores[best], scores.shape)
    error = spread.std(axis=1, ddof=1) / np.sqrt(folds)
    return next(i for i in ranked if means[best] - means[i] <= error[i])


def choose_rank(
    candidates: Sequence[int], score: Callable[[int], Sequence[float]], *, paired: bool = False
) -> int:
    """Return the smallest candidate within one standard error of the best.

    Parameters
    ----------
    candidates
        Ranks, in any order.
    score
        Returns a rank's scores over the folds of a group cross-validation, higher is better.
    paired
        As for `one_standard_error`.
    """
    ranks = sorted(candidates)
    scores = np.array([list(score(rank)) for rank in ranks], dtype=np.float64)
    return ranks[one_standard_error(scores, paired=paired)]


def direct_standardisation(satellite: Floats, laboratory: Floats, ridge: float = 5.0) -> Adaptation:
    """Learn the laboratory's view of a spectrum from trusted pairs.

    Direct standardisation (Wang, Veltkamp and Kowalski 1991) as a ridge regression of the pairs'
    differences, laboratory - satellite, on the satellite's coordinates and a constant, within the
    principal directions of both. The ridge draws towards no difference, the identity, which is
    also the result without any pair.

    Parameters
    ----------
    satellite, laboratory
        Features of the pairs, row by row (p, d).
    ridge
        Above 0, in pairs: so many pairs that show no difference, at a typical distance from the
        mean, are as strong as the data.

    Raises
    ------
    FormatError
        A feature is missing, shapes differ, or the ridge is not above 0.
    """
    _check_pairs(satellite, laboratory)
    if not 0 < ridge < np.inf:
        raise FormatError(f"direct standardisation with a ridge of {ridge}; give a number above 0")
    if satellite.shape[0] == 0:
        return Adaptation.identity(satellite.shape[1])
    both = np.vstack([satellite, laboratory])
    space = leading(both, satellite.mean(axis=0), energy=_ENERGY, most=_MAX_DIRECTIONS)
    seen, wanted = space(satellite), space(laboratory)
    # One scale for all directions: those in which little varies are the first to be left alone.
    typical = max(float(np.sqrt((seen**2).mean())), 1e-12)
    inputs = np.column_stack([seen / typical, np.ones(len(seen))])
    normal = inputs.T @ inputs + ridge * np.eye(inputs.shape[1])
    solution = np.asarray(np.linalg.solve(normal, inputs.T @ (wanted - seen)), dtype=np.float64)
    return space.lift("ds", solution[:-1].T / typical, solution[-1])


def contrastive(
    satellite: Floats,
    laboratory: Floats,
    seed: int,
    *,
    steps: int = 300,
    penalty: float = 1.0,
) -> Adaptation:
    """Learn a map under which a satellite spectrum is nearest to its laboratory partner.

    InfoNCE (van den Oord et al. 2018) with the logits -|z' - l|² / (2 tau): distances rather than
    cosines, so that the map has to keep the laboratory's scale. The map starts at the identity in
    the principal directions of both and is drawn back to it. Equal laboratory spectra, one sample
    under several pixels, do not rival each other. The loss asks which spectrum is nearest, not how
    near it is: judge the map by held-out answers, not by the partners it finds.

    Parameters
    ----------
    satellite, laboratory
        Features of the trusted pairs, row by row (p, d), at least `MIN_PAIRS`.
    seed
        Of the batches.
    steps
        Of Adam.
    penalty
        On the mean squared displacement of a spectrum over the laboratory's mean variance.

    Raises
    ------
    FormatError
        Fewer than `MIN_PAIRS` pairs, a feature is missing, or shapes differ.
    """
    _check_pairs(satellite, laboratory)
    pairs = satellite.shape[0]
    if pairs < MIN_PAIRS:
        raise FormatError(
            f"contrastive alignment has {pairs} trusted pairs and needs {MIN_PAIRS}; "
            "use direct standardisation, or add pairs"
        )
    if (laboratory == laboratory[0]).all():
        raise FormatError("the laboratory spectra of all trusted pairs are equal; add samples")
    both = np.vstack([satellite, laboratory])
    space = leading(both, satellite.mean(axis=0), energy=_ENERGY, most=_MAX_DIRECTIONS)
    seen, wanted = (torch.from_numpy(space(part)) for part in (satellite, laboratory))
    variance = float(wanted.var(dim=0, correction=0).sum())
    seen, wanted = seen / variance**0.5, wanted / variance**0.5
    change = torch.zeros((seen.shape[1],) * 2, dtype=torch.float64, requires_grad=True)
    move = torch.zeros(seen.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([change, move], lr=_RATE)
    generator = torch.Generator().manual_seed(seed)
    with one_torch_thread():
        for _ in range(steps):
            batch = torch.randperm(pairs, generator=generator)[:_BATCH]
            displacement = seen[batch] @ change.T + move
            loss = _info_nce(seen[batch] + displacement, wanted[batch])
            loss = loss + penalty * displacement.square().sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return space.lift("contrastive", change.detach().numpy(), move.detach().numpy() * variance**0.5)


def _info_nce(adapted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the loss of batches (b, k) in units of the laboratory's standard deviation."""
    # The mean squared distance between two spectra is twice the variance, here 1.
    logits = -(adapted[:, None] - wanted[None]).square().sum(2) / (4.0 * _TEMPERATURE)
    same = (wanted[:, None] == wanted[None]).all(2)
    same.fill_diagonal_(False)
    logits = logits.masked_fill(same, -torch.inf)
    return functional.cross_entropy(logits, torch.arange(len(wanted)))


def _check_pairs(satellite: Floats, laboratory: Floats) -> None:
    check_features("satellite features", satellite)
    check_features("laboratory features", laboratory)
    if satellite.shape != laboratory.shape:
        raise FormatError(
            f"trusted pairs have satellite features {satellite.shape} and laboratory features "
            f"{laboratory.shape}; give one row of each per pair"
        )
