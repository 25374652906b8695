"""Fits of the Spectral Adaptation Unit: satellite representation in, laboratory-like one out.

Each fit returns an affine `Adaptation` on the front end's features and falls back to the identity
as its evidence runs out. In the order they should be tried: `epo` removes what is known to be
nuisance, `direct_standardisation` learns from trusted pairs, and
`deepsalt.train.adaptation.alignment.align_features` needs neither pairs nor labels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.model.adaptation import Adaptation
from deepsalt.train.adaptation.subspace import check_features, leading
from deepsalt.types import Floats

_MAX_DIRECTIONS = 40  # of a pairs' subspace: the components that the student keeps
_ENERGY = 0.999  # share of the pairs' variance within their subspace


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
            f"{features.shape[0]} spectra have {site.size} names; give one name per spectrum"
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
            f"EPO of rank {rank} does not fit {rows} differences in {size} features; give a "
            f"rank from 0 to {min(rows, size)}"
        )
    if rank == 0:
        return Adaptation.identity(size)
    unit = np.ones(size) if scale is None else scale
    vectors = np.linalg.svd(differences / unit, full_matrices=False)[2][:rank]
    removed = (vectors.T * unit[:, None]) @ (vectors / unit)
    return Adaptation(f"epo{rank}", np.eye(size) - removed, np.zeros(size))


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
        raise FormatError(f"direct standardisation has a ridge of {ridge}; give a number above 0")
    if satellite.shape[0] == 0:
        return Adaptation.identity(satellite.shape[1])
    both = np.vstack([satellite, laboratory])
    space = leading(both, satellite.mean(axis=0), energy=_ENERGY, most=_MAX_DIRECTIONS)
    seen = space(satellite)
    wanted = space(laboratory)
    # One scale for all directions: those in which little varies are the first to be left alone.
    typical = max(float(np.sqrt((seen**2).mean())), 1e-12)
    inputs = np.column_stack([seen / typical, np.ones(len(seen))])
    normal = inputs.T @ inputs + ridge * np.eye(inputs.shape[1])
    solution = np.asarray(np.linalg.solve(normal, inputs.T @ (wanted - seen)), dtype=np.float64)
    return space.lift("ds", solution[:-1].T / typical, solution[-1])


def _check_pairs(satellite: Floats, laboratory: Floats) -> None:
    check_features("satellite features", satellite)
    check_features("laboratory features", laboratory)
    if satellite.shape != laboratory.shape:
        raise FormatError(
            f"trusted pairs have satellite features {satellite.shape} and laboratory features "
            f"{laboratory.shape}; give one row of each per pair"
        )
