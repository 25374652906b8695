"""Laboratory knowledge that cannot hurt: satellite sites first, the teacher where it proves itself.

log(EC + 0.03) = (1 - b) g(x) + b (a + c T(A x)): g a kernel machine on the satellite sites, T the
teacher behind an adaptation A, a and c >= 0 its line through the sites' labels, and b chosen on
held-out groups of the sites by the one-standard-error rule towards 0. With b = 0 the answer is that
of the satellite sites alone, to the bit; with the labels of a stranger c is near 0.

Two predictors with errors of their own are better together than either: on 120 SIMULATED sites of 8
worlds R² of log1p in unseen regions was 0.11 for g, 0.23 for the teacher's line, 0.27 for both at
b = 0.6; 0.11 for g fitted to what b T left, with b = 1, since T's spread is not that of the sites
(before shape was a feature, decision 58).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.model.adaptation import Adaptation
from deepsalt.train.adaptation.alignment import align_features
from deepsalt.train.adaptation.fits import (
    direct_standardisation,
    epo,
    repeat_differences,
)
from deepsalt.train.adaptation.sites import SiteModel, fit_sites
from deepsalt.train.adaptation.subspace import spreads
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import EMPTY, IN_THE_FIELD, Samples, stack
from deepsalt.train.data.splits import Fold, group_folds, one_standard_error
from deepsalt.train.teacher.encoder import Encoder, fit_encoder
from deepsalt.train.teacher.teacher import Teacher, fit_teacher, noise_differences, view_weights
from deepsalt.types import Floats

RANKS = (2, 4, 8)
"""Nuisance directions that EPO may remove."""

_MIN_ALIGNED = 30  # spectra on either side, for the alignment without pairs
_MIN_LIBRARY = 30  # laboratory samples, as training needs; without some regions there may be less


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """(1 - b) g(x) + b (a + c T(A x)).

    Parameters
    ----------
    sites, weight, line
        g, b, and (a, c).
    teacher, adaptation
        T, None if there is none, and A.
    encoder
        Encoder in which a student follows it.
    """

    sites: SiteModel
    teacher: Teacher | None
    adaptation: Adaptation
    weight: float
    line: tuple[float, float]
    encoder: Encoder

    @property
    def alone(self) -> "Combined":
        """The same without the teacher: b = 0."""
        return replace(self, teacher=None, weight=0.0, encoder=self.sites.encoder)

    def weighing(self, weight: float) -> "Combined":
        """Return the same with another weight above 0; the weight stays 0 without a teacher."""
        return self if self.teacher is None else replace(self, weight=weight)

    def location(self, features: Floats) -> Floats:
        """Return log(EC + 0.03) (s,) of features (s, d)."""
        answer = self.sites(features)
        if self.teacher is None or self.weight == 0.0:
            return answer
        level, slope = self.line
        known = level + slope * self.teacher.location(self.adaptation(features))
        return (1.0 - self.weight) * answer + self.weight * known


def rising_line(known: Floats, target: Floats, weights: Floats) -> tuple[float, float]:
    """Return level and slope >= 0 of the weighted least-squares line from known to target (s,)."""
    centre, level = (float(np.average(values, weights=weights)) for values in (known, target))
    spread = float(np.average((known - centre) ** 2, weights=weights))
    common = float(np.average((known - centre) * (target - level), weights=weights))
    slope = max(common / spread, 0.0) if spread > 0.0 else 0.0
    return level - slope * centre, slope


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The choice by held-out groups, and its scores.

    Parameters
    ----------
    weight, adaptation
        b, and the names of the adaptations.
    held_out
        Answers of the chosen model fitted without a row's group (s,).
    sites_held_out
        The same with b = 0.
    scores
        Mean squared error by adaptation and weight, for the report.
    models
        Rows held out and the chosen model that did not see their groups, by fold.
    """

    weight: float
    adaptation: tuple[str, ...]
    held_out: Floats
    sites_held_out: Floats
    scores: dict[str, float]
    models: tuple[tuple[NDArray[np.intp], Combined], ...]

    @property
    def alone(self) -> "Choice":
        """The choice of b = 0."""
        models = tuple((rows, model.alone) for rows, model in self.models)
        return replace(self, weight=0.0, adaptation=(), held_out=self.sites_held_out, models=models)

    def gains(self, target: Floats, answers: Floats) -> bool:
        """Return whether held-out answers (s,) beat those with b = 0 by one standard error."""
        folds = [rows for rows, _ in self.models]
        scores = [scores_by_fold(target, said, folds) for said in (self.sites_held_out, answers)]
        return one_standard_error(np.array(scores)) == 1


def fit_combined(
    satellite: Samples,
    laboratory: Samples | None,
    settings: Settings,
    unlabelled: Samples | None = None,
) -> tuple[Combined, Choice]:
    """Fit on labelled satellite rows, with laboratory views if there are any.

    Parameters
    ----------
    satellite
        Labelled rows of satellite tables.
    laboratory
        All views of laboratory samples, labelled; None if there are none.
    settings
        Candidates, folds, seed.
    unlabelled
        Further rows of satellite tables: their repeats tell EPO what is nuisance.
    """
    # More folds than elsewhere: sites are few, and a standard error over few folds hides gains.
    folds = group_folds(satellite.region, 2 * settings.inner_folds, settings.seed)
    fitter = AdaptationFitter(satellite, laboratory, settings, unlabelled)
    choice = _choose(fitter, folds)
    every = np.arange(len(satellite))
    return fitter.fit(every, choice.adaptation, choice.weight, np.array([], dtype=int)), choice


@dataclass(eq=False)
class AdaptationFitter:
    """Fits models of one shape on any part of the sites."""

    satellite: Samples
    laboratory: Samples | None
    settings: Settings
    unlabelled: Samples | None = None

    def __post_init__(self) -> None:
        self.weights = view_weights(self.satellite, self.settings)
        self._known: dict[tuple[object, ...], _Known] = {}
        self._teachers: dict[tuple[object, ...], _Taught] = {}

    def fit(
        self,
        train: NDArray[np.intp],
        adaptations: tuple[str, ...],
        weight: float,
        test: NDArray[np.intp],
    ) -> Combined:
        """Fit on training rows, without laboratory rows of the test rows' regions or sites."""
        features = self.satellite.features[train]
        target = self.satellite.target[train]
        weights = self.weights[train]
        sites = fit_sites(features, target, weights, tail=self.settings.tail)
        if weight == 0.0 or not self._teachable(test):
            same = Adaptation.identity(features.shape[1])
            return Combined(sites, None, same, 0.0, (0.0, 0.0), sites.encoder)
        known = self.teacher(train, adaptations, test)
        teacher = known.teacher
        adaptation = known.adaptation
        line = rising_line(teacher.location(adaptation(features)), target, weights)
        encoder = known.encoder(features, self.settings)
        return Combined(sites, teacher, adaptation, weight, line, encoder)

    def teacher(
        self, train: NDArray[np.intp], adaptations: tuple[str, ...], test: NDArray[np.intp]
    ) -> "_Known":
        """Return the teacher and the steps before it, fitted once per request."""
        seen = (train.tobytes(), test.tobytes()) if adaptations else ()
        key = (self._allowed(test).tobytes(), seen, adaptations)
        if key not in self._known:
            self._known[key] = self._teach(train, adaptations, test)
        return self._known[key]

    def _teachable(self, test: NDArray[np.intp]) -> bool:
        lab = self.laboratory
        if lab is None:
            return False
        return np.unique(lab.site[self._allowed(test) & ~lab.pixels]).size >= _MIN_LIBRARY

    def _allowed(self, test: NDArray[np.intp]) -> NDArray[np.bool_]:
        lab = self.laboratory
        sites = self.satellite
        if lab is None:
            return np.zeros(0, dtype=np.bool_)
        hidden = np.isin(lab.region, sites.region[test])
        partners = sites.partner[test]
        hidden |= np.isin(lab.site, partners[partners != EMPTY])
        return ~hidden

    def _library(self, test: NDArray[np.intp]) -> Samples:
        if self.laboratory is None:
            raise FormatError("there are no laboratory spectra to learn from")
        return self.laboratory.take(self._allowed(test))

    def _teach(
        self, train: NDArray[np.intp], adaptations: tuple[str, ...], test: NDArray[np.intp]
    ) -> "_Known":
        lab = self._library(test)
        sat = self.satellite.take(train)
        nuisance = tuple(name for name in adaptations if name.startswith("epo"))
        taught = self._taught(train, nuisance, test)
        adaptation = taught.adaptation
        for name in adaptations:
            if name not in nuisance:
                seen = replace(sat, features=adaptation(sat.features))
                adaptation = adaptation.then(_FITS[name](taught.measured, seen, self.settings))
        field = np.char.endswith(lab.view, IN_THE_FIELD)
        return _Known(taught.teacher, adaptation, lab.features[field], noise_differences(lab))

    def _taught(
        self, train: NDArray[np.intp], nuisance: tuple[str, ...], test: NDArray[np.intp]
    ) -> "_Taught":
        """Return the teacher behind EPO or nothing, fitted once for all adaptations after it."""
        seen = (train.tobytes(), test.tobytes()) if nuisance else ()
        key = (self._allowed(test).tobytes(), seen, nuisance)
        if key not in self._teachers:
            lab = self._library(test)
            adaptation = Adaptation.identity(lab.features.shape[1])
            if nuisance:
                more = self.unlabelled
                if more is not None:
                    more = more.take(~np.isin(more.region, self.satellite.region[test]))
                rank = int(nuisance[0].removeprefix("epo"))
                disturbed = _nuisance(lab, self.satellite.take(train), more)
                adaptation = epo(disturbed, rank, spreads(lab.features))
                # Teachers behind it are trained on projected spectra as well.
                lab = replace(lab, features=adaptation(lab.features))
            teacher = fit_teacher(lab, self.settings)
            self._teachers[key] = _Taught(teacher, adaptation, lab.take(lab.view == "laboratory"))
        return self._teachers[key]


class _Taught(NamedTuple):
    """A teacher, EPO or the identity before it, and spectra as measured behind that."""

    teacher: Teacher
    adaptation: Adaptation
    measured: Samples


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """A teacher, its adaptation, and the laboratory's field views and noise, unadapted (m, d)."""

    teacher: Teacher
    adaptation: Adaptation
    field: Floats
    noise: Floats

    def encoder(self, features: Floats, settings: Settings) -> Encoder:
        """Return the encoder of a student that follows the combination on sites (s, d).

        Noise-whitened like the teacher's, but of what the field shows and not of clean spectra: it
        also tells apart what the sites' machine does.
        """
        seen = self.adaptation(np.concatenate([features, self.field]))
        noise = self.adaptation(self.noise) - self.adaptation(np.zeros_like(self.noise[:1]))
        encoder = fit_encoder(seen, noise, settings.components, settings.tail)
        return encoder.after(self.adaptation)


def _nuisance(lab: Samples, sat: Samples, more: Samples | None) -> Floats:
    """Return what differs for reasons other than salt (m, d), each kind with the same weight."""
    parts = []
    for view in np.unique(lab.view):
        if view.endswith(IN_THE_FIELD):
            rows = np.flatnonzero(lab.view == view)
            clean = np.flatnonzero(lab.view == "laboratory")
            _, mine, theirs = np.intersect1d(lab.site[rows], lab.site[clean], return_indices=True)
            parts.append(lab.features[rows[mine]] - lab.features[clean[theirs]])
    seen = sat if more is None else stack([sat, more])
    parts.append(repeat_differences(seen.features, seen.site))
    found = [part / np.sqrt(len(part)) for part in parts if len(part)]
    if not found:
        raise FormatError("EPO needs repeat scenes of a site or augmented laboratory spectra")
    return np.concatenate(found)


def _pairs(lab: Samples, sat: Samples) -> tuple[Floats, Floats]:
    """Return features of trusted pairs (p, d): satellite, laboratory as measured."""
    measured = np.flatnonzero(lab.view == "laboratory")
    place = dict(zip(lab.site[measured].tolist(), measured, strict=True))
    rows = [i for i, partner in enumerate(sat.partner.tolist()) if partner in place]
    partners = [place[sat.partner[i]] for i in rows]
    return sat.features[rows], lab.features[partners]


def _standardise(lab: Samples, sat: Samples, settings: Settings) -> Adaptation:
    return direct_standardisation(*_pairs(lab, sat))


def _align(lab: Samples, sat: Samples, settings: Settings) -> Adaptation:
    clean = lab.take(lab.view == "laboratory")
    if min(len(clean), len(sat)) < _MIN_ALIGNED:
        return Adaptation.identity(sat.features.shape[1])
    return align_features(clean.features, sat.features, groups=clean.group, seed=settings.seed)


_FITS: dict[str, Callable[[Samples, Samples, Settings], Adaptation]] = {
    "ds": _standardise,
    "align": _align,
}


def scores_by_fold(
    target: Floats, answers: Floats, folds: Sequence[NDArray[np.intp]]
) -> list[float]:
    """Return minus the mean squared error of answers (s,) in each fold of rows."""
    return [-float(((target[rows] - answers[rows]) ** 2).mean()) for rows in folds]


def _choose(fitter: AdaptationFitter, folds: Sequence[Fold]) -> Choice:
    """Go through adaptations in order while held-out groups gain, then choose the weight."""
    settings = fitter.settings
    target = fitter.satellite.target

    def held_out(adaptations: tuple[str, ...], weights: Sequence[float]) -> Floats:
        """Return answers by weight (w, s); only the mean of both depends on it."""
        out = np.empty((len(weights), len(target)))
        for train, test in folds:
            model = fitter.fit(train, adaptations, weights[0], test)
            for row, weight in enumerate(weights):
                out[row, test] = model.weighing(weight).location(fitter.satellite.features[test])
        return out

    def by_fold(answers: Floats) -> list[float]:
        return scores_by_fold(target, answers, [test for _, test in folds])

    answers: dict[tuple[tuple[str, ...], float], Floats] = {((), 0.0): held_out((), [0.0])[0]}
    positive = sorted(w for w in settings.weights if w > 0)
    chosen: tuple[str, ...] = ()
    if fitter.laboratory is not None and positive:

        def best(adaptations: tuple[str, ...]) -> list[float]:
            for weight, said in zip(positive, held_out(adaptations, positive), strict=True):
                answers[adaptations, weight] = said
            tried = [by_fold(answers[adaptations, weight]) for weight in positive]
            return max(tried, key=lambda scores: float(np.mean(scores)))

        reached = best(chosen)
        for name in settings.adaptations:
            for step in [f"epo{rank}" for rank in RANKS] if name == "epo" else [name]:
                base = tuple(n for n in chosen if not (name == "epo" and n.startswith("epo")))
                scores = best((*base, step))
                if one_standard_error(np.array([reached, scores])) == 1:
                    chosen = (*base, step)
                    reached = scores
    candidates = [0.0] + [w for w in positive if (chosen, w) in answers]
    known = [answers[(chosen if w else ()), w] for w in candidates]
    index = one_standard_error(np.array([by_fold(a) for a in known]))
    weight = candidates[index]
    chosen = chosen if weight else ()
    models = tuple((test, fitter.fit(train, chosen, weight, test)) for train, test in folds)
    told = {
        f"{'+'.join(names) or 'as it is'}, b = {w:g}": round(-float(np.mean(by_fold(a))), 5)
        for (names, w), a in answers.items()
    }
    return Choice(weight, chosen, known[index], known[0], told, models)
