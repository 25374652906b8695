"""The published method (DeepSalt, Dey et al. 2025, arXiv 2510.23124) as one configuration.

Sparse stacked autoencoders take laboratory and satellite spectra to 64 latents each; the satellite
encoder is aligned with the laboratory's on trusted pairs; a transformer teacher learns EC from
laboratory latents; a transformer student on satellite latents follows the teacher's features layer
by layer and the labels a little. Rewritten from the description, with these faults corrected:

- *Dead sparsity term.* The codes are sigmoids, and the divergence of their batch mean from the
  target reaches the encoder's weights.
- *Alignment that was not connected.* It is a loss of the satellite encoder whose latents the
  student reads.
- *Last student layer without supervision.* The fourth layer follows the teacher's last layer as the
  third does, and the head, hence the labels, reads it.
- *Haversine fed with degrees.* Pairs come from `lab_sample_id`, so that no distance is computed.
- *Unseen-region test that never ran.* This is a row of the benchmark, which leaves regions out.
- *Encoders trained on test regions.* All statistics and weights come from the rows that
  `fit_published` is given.

Kept as described: the latent is a sequence of one token, over which attention is a linear map, so
its queries and keys cost time and change nothing. Not in the description, and chosen here: width
of the feed-forward layers (so that the student costs the published 1.13 M multiplications), hidden
width of the autoencoders, step budgets, and that outputs stay within the training labels' range.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepsalt.benchmark.published.config import PublishedConfig
from deepsalt.benchmark.published.stages import (
    Anchor,
    Codec,
    Estimator,
    train_codec,
    train_student,
    train_teacher,
)
from deepsalt.errors import UsageError
from deepsalt.model.threads import one_torch_thread

__all__ = ["Published", "PublishedConfig", "fit_published"]

Rows = NDArray[np.floating[Any]]
Pairs = NDArray[np.integer[Any]]

_PREDICT_ROWS = 2048  # at once; more fall out of the processor's cache
_NAMED_ROWS = 10  # in a message


@dataclass(frozen=True, slots=True)
class Published:
    """Result of `fit_published`."""

    satellite: Codec
    """Of satellite spectra."""
    student: Estimator
    """On satellite latents."""
    laboratory: Codec | None
    """None if trained without laboratory rows."""
    teacher: Estimator | None
    """None if trained without laboratory rows."""

    def predict(self, spectra: Rows) -> NDArray[np.float64]:
        """Return log(EC + 0.03) (m,) of satellite spectra (m, d), after SNV as in training.

        Raises
        ------
        UsageError
            A spectrum has a value that is not finite, or another number of bands.
        """
        return _predict(self.satellite, self.student, spectra)

    def predict_lab(self, spectra: Rows) -> NDArray[np.float64]:
        """Return the teacher's log(EC + 0.03) (m,) of laboratory spectra (m, d).

        Raises
        ------
        UsageError
            As `predict`, or there is no teacher because training had no laboratory rows.
        """
        if self.laboratory is None or self.teacher is None:
            raise UsageError(
                "this model has no teacher: it was trained without laboratory rows; "
                "give laboratory spectra in training or predict satellite spectra"
            )
        return _predict(self.laboratory, self.teacher, spectra)


def fit_published(
    lab_x: Rows,
    lab_y: Rows,
    sat_x: Rows,
    sat_y: Rows,
    pairs: Pairs,
    *,
    config: PublishedConfig,
) -> Published:
    """Train encoders, teacher and student on the rows given, and on no others.

    Satellite rows with a pair follow the teacher's features of that laboratory spectrum (the mean
    latent of several); other rows follow its features of their own aligned latent. Without pairs
    the latents are aligned by matching means and covariances. Without laboratory rows the student
    learns from labels alone. Without satellite labels the teacher's estimates take their place.

    Parameters
    ----------
    lab_x, lab_y
        Spectra (s, d) after SNV on the common bands and log(EC + 0.03) (s,); s may be 0.
    sat_x, sat_y
        Spectra (p, d) and labels (p,), NaN where there is none.
    pairs
        Rows (satellite, laboratory) of one soil (q, 2); q may be 0.
    config
        Sizes and budgets.

    Raises
    ------
    UsageError
        Shapes disagree, a value is not finite, there is nothing to learn from, or the loss
        diverged.
    """
    _refuse(lab_x, lab_y, sat_x, sat_y, pairs)
    # One thread: sums split over threads round differently, and a seed is to give equal weights.
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        sat = _tensor(sat_x)
        sat_labels = _tensor(sat_y)
        if not len(lab_x):
            satellite = train_codec(sat, config, None, "satellite autoencoder")
            student = train_student(_latents(satellite, sat), sat_labels, config, None)
            return Published(satellite, student, None, None)
        lab = _tensor(lab_x)
        laboratory = train_codec(lab, config, None, "laboratory autoencoder")
        known = _latents(laboratory, lab)
        teacher = train_teacher(known, _tensor(lab_y), config)
        anchor = Anchor(laboratory.latents, known, torch.from_numpy(pairs.astype(np.int64)))
        satellite = train_codec(sat, config, anchor, "satellite autoencoder")
        latents = _latents(satellite, sat)
        student = train_student(latents, sat_labels, config, (teacher, anchor.guides(latents)))
    return Published(satellite, student, laboratory, teacher)


def _latents(codec: Codec, spectra: Tensor) -> Tensor:
    with torch.no_grad():
        return codec.encode(spectra)


def _tensor(values: Rows) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _predict(codec: Codec, estimator: Estimator, spectra: Rows) -> NDArray[np.float64]:
    bands = codec.bands.mean.numel()
    if spectra.ndim != 2 or spectra.shape[1] != bands:
        raise UsageError(
            f"spectra have shape {spectra.shape}, but the model was trained on {bands} bands; "
            f"resample them to the training's bands"
        )
    _refuse_rows(~np.isfinite(spectra), "spectra")
    out = np.empty(len(spectra))
    with one_torch_thread(), torch.inference_mode():
        for start in range(0, len(spectra), _PREDICT_ROWS):
            part = slice(start, start + _PREDICT_ROWS)
            out[part] = estimator.estimate(codec.encode(_tensor(spectra[part]))).numpy()
    return out


def _refuse(lab_x: Rows, lab_y: Rows, sat_x: Rows, sat_y: Rows, pairs: Pairs) -> None:
    shapes = [np.shape(a) for a in (lab_x, lab_y, sat_x, sat_y, pairs)]
    if not (
        lab_x.ndim == sat_x.ndim == pairs.ndim == 2
        and lab_y.shape == lab_x.shape[:1]
        and sat_y.shape == sat_x.shape[:1]
        and pairs.shape[1] == 2
        and (not len(lab_x) or lab_x.shape[1] == sat_x.shape[1])
    ):
        raise UsageError(
            f"lab_x, lab_y, sat_x, sat_y, pairs have the shapes {shapes}; "
            "give (s, d), (s,), (p, d), (p,), (q, 2)"
        )
    if not len(sat_x) or not (len(lab_x) or np.isfinite(sat_y).any()):
        raise UsageError(
            f"{len(sat_x)} satellite rows, {int(np.isfinite(sat_y).sum())} of them labelled, and "
            f"{len(lab_x)} laboratory rows give the student nothing to learn from; "
            "add satellite spectra, and labels or laboratory samples"
        )
    _refuse_rows(~np.isfinite(lab_x), "lab_x")
    _refuse_rows(~np.isfinite(lab_y), "lab_y")
    _refuse_rows(~np.isfinite(sat_x), "sat_x")
    _refuse_rows(np.isinf(sat_y), "sat_y")
    outside = (pairs < 0) | (pairs >= np.array([len(sat_x), len(lab_x)]))
    if outside.any():
        raise UsageError(
            f"pair {pairs[outside.any(axis=1)][0].tolist()} names a row outside the {len(sat_x)} "
            f"satellite and {len(lab_x)} laboratory rows; number rows from 0"
        )


def _refuse_rows(wrong: NDArray[np.bool_], name: str) -> None:
    if wrong.any():
        rows = np.unique(np.nonzero(wrong)[0])
        raise UsageError(
            f"{name} has values that are not finite in {rows.size} rows, the first "
            f"{rows[:_NAMED_ROWS].tolist()}; leave out these rows or empty bands"
        )
