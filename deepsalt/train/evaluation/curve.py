"""What more sites would give: scores of fewer sites on blocks not seen, continued to more.

Parts of the sites are drawn within the training folds and the whole way to a model is gone with
each, without laboratory spectra. The score R² of n sites is then a - b / n with b >= 0: the
variance of what is estimated falls with the number of independent labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from deepsalt.progress import Progress
from deepsalt.train.config import Settings
from deepsalt.train.data.places import MIN_BLOCKS
from deepsalt.train.data.samples import Samples
from deepsalt.train.data.splits import Fold, group_folds
from deepsalt.train.data.sufficiency import CURVE_SITES, MIN_SAMPLES
from deepsalt.train.evaluation.evaluate import BASE, STUDENT, Fit, answers_of_fold, key_of
from deepsalt.train.evaluation.salt import DRAWS, drawn
from deepsalt.train.student.base import Base
from deepsalt.types import Floats

BAND = 0.8
"""Share of realised scores that a band is made to hold."""

_SHARES = {0.5: 2, 1.0: 1}  # of a fold's training sites, and how often they are drawn


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Squared errors of log(1 + EC) on blocks not seen.

    Parameters
    ----------
    count
        Sites of the campaign.
    sites
        Mean number of sites that were learned from, by size (k,).
    own, base
        Of models of so many sites, mean over draws (k, s); of the base model (s,).
    observed
        log(1 + EC) (s,).
    block
        Name of the block (s,).
    """

    count: int
    sites: Floats
    own: Floats
    base: Floats
    observed: Floats
    block: NDArray[np.str_]

    def scores(self, weights: Floats, *, gain: bool = False) -> Floats:
        """Return R² by size (k,), or how much more than the base model's it is."""
        centre = weights @ self.observed / weights.sum()
        total = float(weights @ (self.observed - centre) ** 2)
        rival = float(weights @ self.base) if gain else total
        return (rival - self.own @ weights) / total if total > 0 else np.full(len(self.own), np.nan)

    def foretold(self, sites: int, *, gain: bool = False) -> tuple[float, float, float]:
        """Return the score of so many sites, and the ends of its 80 % band.

        It will be measured on other blocks, which differ among themselves as these do: the
        variance over blocks counts twice. Student's distribution, as blocks are few.
        """

        def score(weights: Floats) -> float:
            return continued(self.sites, self.scores(weights, gain=gain), sites)

        blocks = np.unique(self.block).size
        spread = np.sqrt(blocks / (blocks - 1)) * np.nanstd(drawn(score, self.block, DRAWS))
        reach = float(student_t.ppf(0.5 + BAND / 2.0, blocks - 1) * np.sqrt(2.0) * spread)
        middle = score(np.ones(self.observed.size))
        return middle, middle - reach, middle + reach

    def told(self) -> dict[str, Any]:
        """Return the curve, and what these sites and twice as many would score, for the card.

        Scores are ``r2_log1p``, and ``gain`` over the base model; of what is foretold with the ends
        of the band.
        """
        found: dict[str, Any] = {"sites": np.round(self.sites, 1).tolist()}
        every = np.ones(self.observed.size)
        for name, gain in (("r2_log1p", False), ("gain", True)):
            found[name] = np.round(self.scores(every, gain=gain), 4).tolist()
            for more in (self.count, 2 * self.count):
                said = np.round(self.foretold(more, gain=gain), 4).tolist()
                found.setdefault("foretold", {}).setdefault(str(more), {})[name] = said
        return found


def continued(sites: Floats, scores: Floats, wanted: int) -> float:
    """Return a - b / wanted of the least-squares fit with b >= 0 to scores (k,) of sites (k,)."""
    rarity = 1.0 / sites
    centred = rarity - rarity.mean()
    fall = min(float(centred @ scores / (centred @ centred)), 0.0)
    return float(scores.mean() + fall * (1.0 / wanted - rarity.mean()))


def learning_curve(
    samples: Samples,
    settings: Settings,
    fit: Fit,
    *,
    base: Base,
    cache: Path,
    progress: Progress,
) -> Errors | None:
    """Return what parts of the sites score on blocks that they do not lie in.

    Parameters
    ----------
    samples
        All rows; only labelled ones of satellite sites count.
    settings
        As for training.
    fit
        The method.
    base
        The model that models of sites stand beside.
    cache
        Folder of results: a stopped run resumes.
    progress
        Receives progress on the fits (stage ``learning curve``).

    Returns
    -------
    Errors | None
        None: fewer than `MIN_BLOCKS` blocks or `CURVE_SITES` sites, or a part with equal labels.
    """
    sites = samples.take(samples.satellite & samples.labelled)
    total = np.unique(sites.site).size
    if total < CURVE_SITES or np.unique(sites.region).size < MIN_BLOCKS:
        return None
    folds = group_folds(sites.region, settings.folds, settings.seed)
    parts = _parts(sites, folds, settings.seed)
    if any(np.ptp(sites.ec[train]) == 0.0 for _, train, _ in parts):
        return None
    progress.start("learning curve", len(parts))
    key = key_of(sites, settings, fit, base)
    own = np.zeros((len(_SHARES), len(sites)))
    rival = np.zeros(len(sites))
    learned = np.zeros(len(_SHARES))
    observed = np.log1p(sites.ec)
    draws = np.array([*_SHARES.values()])
    for number, (size, train, test) in enumerate(parts):
        path = cache / f"{key}-curve-{number}.npz"
        answers, _ = answers_of_fold(sites, settings, fit, (train, test), path, base=base)
        own[size, test] += (observed[test] - np.log1p(answers[STUDENT])) ** 2 / draws[size]
        rival[test] = (observed[test] - np.log1p(answers[BASE])) ** 2
        learned[size] += np.unique(sites.site[train]).size / draws[size] / len(folds)
        progress.advance("learning curve")
    return Errors(total, learned, own, rival, observed, sites.region)


def _parts(
    sites: Samples, folds: Sequence[Fold], seed: int
) -> list[tuple[int, NDArray[np.intp], NDArray[np.intp]]]:
    """Return size, training rows and test rows of all fits; looks of one site stay together."""
    rng = np.random.default_rng([seed, 11])
    found = []
    for train, test in folds:
        names = np.unique(sites.site[train])
        for size, (share, draws) in enumerate(_SHARES.items()):
            count = max(MIN_SAMPLES, round(share * names.size))
            for _ in range(draws):
                chosen = rng.choice(names, min(count, names.size), replace=False)
                found.append((size, train[np.isin(sites.site[train], chosen)], test))
    return found
