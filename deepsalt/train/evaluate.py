"""Scores on held-out groups, with baselines on the same rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.cross_decomposition import PLSRegression

from deepsalt.model.card import Score
from deepsalt.spectral.transform import LEVEL_FEATURES
from deepsalt.train.config import TrainConfig
from deepsalt.train.fit import estimates, fit_student, sample_weights
from deepsalt.train.metrics import interval_scores, r2, scores
from deepsalt.train.samples import Samples
from deepsalt.train.splits import Fold, group_folds
from deepsalt.types import Basis

Floats = NDArray[np.float64]

PLS_COMPONENTS = 20
STUDENT, PLS, MEAN = "student", f"PLS-{PLS_COMPONENTS}, clipped", "mean"


@dataclass(slots=True)
class Predictions:
    """Held-out predictions of one method, dS/m (s,), filled fold by fold."""

    salinity: Floats
    lower: Floats | None = None
    upper: Floats | None = None
    remarks: NDArray[np.uint16] | None = None
    fold: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))


def evaluate(
    samples: Samples, config: TrainConfig, progress: Callable[[float], None]
) -> tuple[Score, ...]:
    """Score student and baselines with whole profiles, then whole regions left out.

    Every fit - components, anchors, weights, intervals, thresholds - sees the training folds only.

    Parameters
    ----------
    samples
        All views of all sources; a group's views never lie on both sides.
    config
        As for training.
    progress
        Called with the share done, 0 to 1.
    """
    found: list[Score] = []
    splits = [("profile", samples.group)]
    if (samples.region != samples.group)[~samples.simulated].any():
        splits.append(("country", samples.region))
    for i, (name, names) in enumerate(splits):
        folds = group_folds(names, config.folds, config.seed)
        held_out = _held_out(samples, config, folds)
        progress((i + 1) / len(splits))
        found += _score(samples, name, held_out)
    return tuple(found)


def _held_out(
    samples: Samples,
    config: TrainConfig,
    folds: Sequence[Fold],
) -> dict[str, Predictions]:
    size = samples.ec.size
    held_out = {name: Predictions(np.full(size, np.nan)) for name in (STUDENT, PLS, MEAN)}
    student = held_out[STUDENT]
    student.lower, student.upper = np.full((2, size), np.nan)
    student.remarks = np.zeros(size, dtype=np.uint16)
    fold_of = np.zeros(size, dtype=np.intp)
    for i, (train, test) in enumerate(folds):
        training = samples.take(train)
        fitted = estimates(fit_student(training, config), samples.features[test])
        student.salinity[test] = fitted.salinity
        student.lower[test], student.upper[test] = fitted.lower, fitted.upper
        student.remarks[test] = fitted.remarks
        held_out[PLS].salinity[test] = _pls(training, samples, test)
        held_out[MEAN].salinity[test] = _mean(training, samples, test, config)
        fold_of[test] = i
    for predictions in held_out.values():
        predictions.fold = fold_of
    return held_out


def _pls(training: Samples, samples: Samples, test: NDArray[np.intp]) -> Floats:
    """Return PLS fitted on, and applied to, each view by itself: its best case.

    SNV first derivatives, log1p(EC), predictions clipped to the training range: unclipped it
    explodes on a gypsic horizon.
    """
    out = np.full(test.size, np.nan)
    for view in np.unique(samples.view[test]):
        rows = training.view == view
        target = np.log1p(training.ec[rows])
        count = min(PLS_COMPONENTS, int(rows.sum()) - 1)
        model = PLSRegression(count, scale=False).fit(
            training.features[rows, :-LEVEL_FEATURES], target
        )
        wanted = samples.view[test] == view
        predicted = model.predict(samples.features[test[wanted], :-LEVEL_FEATURES]).ravel()
        out[wanted] = np.expm1(np.clip(predicted, target.min(), target.max()))
    return out


def _mean(
    training: Samples, samples: Samples, test: NDArray[np.intp], config: TrainConfig
) -> Floats:
    """Return the mean of log1p(EC) of the training rows of the same kind."""
    weights = sample_weights(training, config)
    out = np.empty(test.size)
    for simulated in (False, True):
        rows = training.simulated == simulated
        if rows.any():
            mean = np.average(np.log1p(training.ec[rows]), weights=weights[rows])
            out[samples.simulated[test] == simulated] = np.expm1(mean)
    return out


def _score(samples: Samples, split: str, held_out: dict[str, Predictions]) -> list[Score]:
    found = []
    for view in dict.fromkeys(samples.view.tolist()):
        rows = samples.view == view
        for method, predictions in held_out.items():
            found.append(
                Score(
                    method=method,
                    spectra=describe(view),
                    split="other mixtures" if view.startswith("simulated") else split,
                    n=int(rows.sum()),
                    metrics=_metrics(samples, rows, predictions),
                )
            )
    # Mixtures have no country: their second evaluation would only repeat the first.
    return [s for s in found if split == "profile" or s.split == split]


def describe(view: str) -> str:
    """Return how the card names a view."""
    if view == "laboratory":
        return view
    if view.startswith("simulated"):
        return f"{view.replace('simulated', 'simulated mixtures as')} with noise"
    return f"laboratory as {view} with noise"


def _metrics(
    samples: Samples, rows: NDArray[np.bool_], predictions: Predictions
) -> dict[str, float]:
    observed, predicted = samples.ec[rows], predictions.salinity[rows]
    metrics = scores(observed, predicted, samples.group[rows])
    by_fold = [
        r2(np.log1p(observed[fold]), np.log1p(predicted[fold]))
        for fold in (predictions.fold[rows] == i for i in np.unique(predictions.fold[rows]))
    ]
    metrics["r2_log1p_fold_min"], metrics["r2_log1p_fold_max"] = min(by_fold), max(by_fold)
    metrics["r2_log1p_fold_sd"] = float(np.std(by_fold))
    if predictions.lower is not None and predictions.upper is not None:
        metrics |= interval_scores(observed, predictions.lower[rows], predictions.upper[rows])
    if predictions.remarks is not None:
        for name, bit in (
            ("out_of_domain", Basis.OUT_OF_DOMAIN),
            ("extrapolated", Basis.EXTRAPOLATED),
        ):
            metrics[f"share_{name}"] = float(((predictions.remarks[rows] & int(bit)) > 0).mean())
    return {name: round(value, 4) for name, value in metrics.items() if np.isfinite(value)}
