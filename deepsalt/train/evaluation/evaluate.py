"""Scores on held-out groups and regions, with baselines on the same rows."""

import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cross_decomposition import PLSRegression

from deepsalt import __version__
from deepsalt.documents import replacing
from deepsalt.layers import CHANCE_COLUMNS
from deepsalt.model.card import Score
from deepsalt.model.student import Estimates
from deepsalt.progress import Progress
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import EMPTY, Samples
from deepsalt.train.data.splits import Fold, group_folds
from deepsalt.train.data.sufficiency import enough, without_few_sites
from deepsalt.train.evaluation.salt import bootstrapped, chance_scores, coverage_scores
from deepsalt.train.metrics import r2, scores
from deepsalt.train.student.base import Base
from deepsalt.train.student.distil import Fitted, by_low_noise, estimates
from deepsalt.types import Floats, QualityFlag

logger = logging.getLogger(__name__)

Fit = Callable[[Samples, Settings, Base | None], Fitted]

PLS_COMPONENTS = 20
STUDENT = "student"
PLS = f"PLS-{PLS_COMPONENTS}, clipped"
MEAN = "mean"
BASE = "shipped model"
GROUP = "group"
REGION = "region"
_REPORT = "report"  # in a fold's file, beside its answers


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One way to hold out: its name and folds of rows."""

    name: str
    folds: list[Fold]


def splits(samples: Samples, settings: Settings) -> list[Split]:
    """Return the splits that a table allows: whole groups, and whole regions where there are two.

    Laboratory rows that belong to a held-out region, or are the partner of a held-out site, are on
    neither side: training rows exclude them.
    """
    scored = _scored(samples)
    found: list[Split] = []
    kinds = (
        (GROUP, samples.group, settings.folds),
        (REGION, samples.region, settings.region_folds),
    )
    same = not (samples.group != samples.region)[scored].any()
    for name, names, count in kinds[same:]:
        if np.unique(names[scored]).size > 1:
            folds = _folds(samples, names, count, settings.seed)
            found += [Split(name, folds)] if folds else []
    if REGION not in {split.name for split in found}:
        logger.warning(
            "unseen regions are not scored: the number of regions with labels is %d; give labels "
            "of several regions, named in a column region or country",
            np.unique(samples.region[scored]).size,
        )
    return found


def _folds(samples: Samples, names: NDArray[np.str_], count: int, seed: int) -> list[Fold]:
    """Return folds of the rows that count, trained on all rows of other groups and sites."""
    # Folds of all rows could put all satellite sites, few beside a library, into a single one.
    rows = np.flatnonzero(_scored(samples))
    tests = [rows[test] for _, test in group_folds(names[rows], count, seed)]
    folds = [(_apart(samples, names, test), test) for test in tests]
    known = [fold for fold in folds if enough(samples, fold[0])]
    if len(known) < len(folds):
        logger.warning(
            "%d of %d folds leave too few labels to learn from and are not scored",
            len(folds) - len(known),
            len(folds),
        )
    return known


def _scored(samples: Samples) -> NDArray[np.bool_]:
    """Return the rows that count: labelled, of satellite sites where they are learned from."""
    samples, _ = without_few_sites(samples)
    satellite = samples.satellite & samples.labelled
    return satellite if satellite.any() else samples.labelled


def _apart(samples: Samples, names: NDArray[np.str_], test: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows that share neither group, site nor laboratory sample with the test rows."""
    partners = samples.partner[test]
    partners = partners[partners != EMPTY]
    hidden = np.isin(names, names[test]) | np.isin(samples.site, samples.site[test])
    hidden |= np.isin(samples.site, partners) | np.isin(samples.partner, partners)
    return np.flatnonzero(~hidden)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results on held-out rows.

    Parameters
    ----------
    scores
        Of the method and its baselines.
    chosen
        Choices of the method in each fold, by split: `Fitted.report`.
    """

    scores: tuple[Score, ...]
    chosen: dict[str, list[dict[str, Any]]]


def evaluate(
    samples: Samples,
    settings: Settings,
    fit: Fit,
    *,
    base: Base | None = None,
    cache: Path,
    progress: Progress,
) -> Evaluation:
    """Score a method and its baselines with groups, then regions left out.

    Every fit - components, inducing points, weights, intervals, thresholds - sees the training
    folds only.

    Parameters
    ----------
    samples
        All views of all tables; a group's views never lie on both sides.
    settings
        As for training.
    fit
        The method.
    base
        The model that satellite sites stand beside; scored as well.
    cache
        Folder of fold results: a stopped run resumes, a second one is fast.
    progress
        Receives progress on the folds (stage ``folds``).
    """
    known = splits(samples, settings)
    progress.start("folds", sum(len(split.folds) for split in known))
    key = key_of(samples, settings, fit, base)
    found: list[Score] = []
    chosen: dict[str, list[dict[str, Any]]] = {}
    for split in known:
        held_out = []
        chosen[split.name] = []
        for number, (train, test) in enumerate(split.folds):
            path = cache / f"{key}-{split.name}-{number}.npz"
            answers, report = answers_of_fold(
                samples, settings, fit, (train, test), path, base=base
            )
            held_out.append(answers)
            chosen[split.name].append(report)
            logger.info("%s left out, fold %d: chose %s", split.name, number, json.dumps(report))
            progress.advance("folds")
        found += _scores(samples, split, held_out)
    return Evaluation(tuple(found), chosen)


def key_of(samples: Samples, settings: Settings, fit: Fit, base: Base | None) -> str:
    """Return a digest of what the answers of folds depend on."""
    digest = hashlib.sha256()
    for field in fields(Samples):
        column = getattr(samples, field.name)
        if column is not None:
            digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(json.dumps(asdict(settings), sort_keys=True).encode())
    digest.update(f"{fit.__module__}.{fit.__qualname__} {__version__}".encode())
    digest.update(base.digest.encode() if base is not None else b"")
    return digest.hexdigest()[:16]


def answers_of_fold(
    samples: Samples,
    settings: Settings,
    fit: Fit,
    fold: Fold,
    path: Path,
    *,
    base: Base | None = None,
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Return held-out answers of one fold and what was chosen, from the cache where they are."""
    try:
        # Opened here: np.load leaves a broken archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as known:
            kept = {name: known[name] for name in known.files}
            return kept, json.loads(str(kept.pop(_REPORT)))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        pass  # missing, or truncated by a kill: computed again
    train, test = fold
    training = samples.take(train)
    fitted = fit(training, settings, base)
    answers = estimates(fitted.student, samples.features[test])
    labelled = training.take(training.labelled)
    found = {
        STUDENT: np.asarray(answers.salinity, dtype=np.float64),
        "lower": np.asarray(answers.lower, dtype=np.float64),
        "upper": np.asarray(answers.upper, dtype=np.float64),
        "flags": np.asarray(answers.flags, dtype=np.float64),
        **_chances(fitted, answers, by_low_noise(fitted.student, samples.features[test])),
        PLS: _pls(labelled, samples, test),
        MEAN: _mean(labelled, samples, test),
    }
    if base is not None:
        shipped = estimates(base.student, samples.features[test]).salinity
        found[BASE] = np.asarray(shipped, dtype=np.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {_REPORT: np.array(json.dumps(fitted.report))}
    with replacing(path) as temporary, temporary.open("wb") as part:
        np.savez(part, **found, **report)  # type: ignore[arg-type] # names its other options in its stubs
    return found, fitted.report


def _chances(fitted: Fitted, answers: Estimates, low_noise: NDArray[np.bool_]) -> dict[str, Floats]:
    """Return probabilities of each row, and what its fold's training says of them.

    Each machine has its own base rate and alarm; `low_noise` (s,) says which one answered.
    """
    found = dict[str, Floats]()
    plain = fitted.low_noise_chances or fitted.chances
    rows = zip(CHANCE_COLUMNS, answers.chances, fitted.chances, plain, strict=True)
    for name, chance, *known in rows:
        alarm, low_alarm = (np.nan if each.alarm is None else each.alarm for each in known)
        base, low_base = (each.base_rate for each in known)
        found[name] = np.asarray(chance, dtype=np.float64)
        found[f"{name} base"] = np.where(low_noise, low_base, base)
        found[f"{name} alarm"] = np.where(low_noise, low_alarm, alarm)
    return found


def _like(training: Samples, samples: Samples, view: str) -> NDArray[np.bool_]:
    """Return the training rows of a view; those of all views if it has none."""
    rows = training.view == view
    return rows if rows.sum() > 1 else np.ones(len(training), dtype=np.bool_)


def _pls(training: Samples, samples: Samples, test: NDArray[np.intp]) -> Floats:
    """Return PLS fitted on, and applied to, each view separately: its best case.

    First differences of the common bands after SNV, log1p(EC), predictions clipped to the training
    range: unclipped it explodes on a gypsic horizon.
    """
    out = np.full(test.size, np.nan)
    for view in np.unique(samples.view[test]):
        rows = _like(training, samples, view)
        target = np.log1p(training.ec[rows])
        inputs = np.diff(training.snv[rows].astype(np.float64), axis=1)
        count = min(PLS_COMPONENTS, int(rows.sum()) - 1, inputs.shape[1])
        model = PLSRegression(count, scale=False).fit(inputs, target)
        wanted = samples.view[test] == view
        seen = np.diff(samples.snv[test[wanted]].astype(np.float64), axis=1)
        predicted = model.predict(seen).ravel()
        out[wanted] = np.expm1(np.clip(predicted, target.min(), target.max()))
    return out


def _mean(training: Samples, samples: Samples, test: NDArray[np.intp]) -> Floats:
    """Return the mean of log1p(EC) of the training rows of the same view."""
    out = np.empty(test.size)
    for view in np.unique(samples.view[test]):
        rows = _like(training, samples, view)
        out[samples.view[test] == view] = np.expm1(np.log1p(training.ec[rows]).mean())
    return out


def _scores(samples: Samples, split: Split, held_out: Sequence[dict[str, Floats]]) -> list[Score]:
    tests = np.concatenate([test for _, test in split.folds])
    fold_of = np.repeat(np.arange(len(split.folds)), [len(test) for _, test in split.folds])
    joined = {name: np.concatenate([part[name] for part in held_out]) for name in held_out[0]}
    found = []
    kinds = zip(samples.view[tests].tolist(), samples.simulated[tests].tolist(), strict=True)
    for view, simulated in dict.fromkeys(kinds):
        rows = (samples.view[tests] == view) & (samples.simulated[tests] == simulated)
        part = samples.take(tests[rows])
        answers = {name: values[rows] for name, values in joined.items()}
        for method in (name for name in (STUDENT, BASE, PLS, MEAN) if name in answers):
            metrics = _point(part, answers[method], fold_of[rows])
            if method == STUDENT:
                metrics |= _beyond(part, answers, split.name)
                if BASE in answers:
                    metrics |= lead(part.ec, answers[STUDENT], answers[BASE], part.region)
            known = {name: round(value, 4) for name, value in metrics.items() if np.isfinite(value)}
            seen = describe(part)
            found.append(Score(method, seen, split.name, int(rows.sum()), known))
    return found


def _point(part: Samples, predicted: Floats, fold: NDArray[np.intp]) -> dict[str, float]:
    metrics = scores(part.ec, predicted, part.group)
    by_fold = [
        r2(np.log1p(part.ec[fold == i]), np.log1p(predicted[fold == i])) for i in np.unique(fold)
    ]
    known = [value for value in by_fold if np.isfinite(value)] or [float("nan")]
    metrics["r2_log1p_fold_min"], metrics["r2_log1p_fold_max"] = min(known), max(known)
    metrics["r2_log1p_fold_sd"] = float(np.std(known))
    return metrics


def _beyond(part: Samples, answers: dict[str, Floats], split: str) -> dict[str, float]:
    """Return what intervals hold and probabilities find, with ranges over what was left out."""
    names = part.region if split == REGION else part.group
    found = coverage_scores(part.ec, answers["lower"], answers["upper"], names)
    found |= chance_scores(part.ec, answers, names)
    flags = answers["flags"].astype(int)
    for name, bit in (
        ("out_of_domain", QualityFlag.OUT_OF_DOMAIN),
        ("extrapolated", QualityFlag.EXTRAPOLATED),
    ):
        found[f"share_{name}"] = float(((flags & int(bit)) > 0).mean())
    return found


def lead(
    ec: Floats, answers: Floats, of_base: Floats, groups: NDArray[np.str_]
) -> dict[str, float]:
    """Return how much more variance of log(1 + EC) is explained than the base model does.

    Parameters
    ----------
    ec, answers, of_base
        Labels, held-out answers and those of the base model, dS/m (s,).
    groups
        Names of what is drawn together (s,).
    """
    observed = np.log1p(ec)
    own, other = ((observed - np.log1p(each)) ** 2 for each in (answers, of_base))

    def gained(weights: Floats) -> float:
        centre = weights @ observed / weights.sum()
        total = float(weights @ (observed - centre) ** 2)
        return float(weights @ (other - own) / total) if total > 0 else float("nan")

    return bootstrapped("lead_r2_log1p", gained, groups)


def describe(part: Samples) -> str:
    """Return how the card names spectra of one view and kind."""
    view = str(part.view[0])
    seen = view if part.satellite.all() or view == "laboratory" else f"laboratory as {view}"
    return f"SIMULATED {seen}" if part.simulated.all() else seen
