"""How fast the students answer, one thread each, on the machine that runs the benchmark."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from deepsalt.benchmark.published.method import PublishedConfig, fit_published
from deepsalt.model.folded import fold
from deepsalt.model.kernel import COLUMNS
from deepsalt.model.student import Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import Samples
from deepsalt.train.student.fit import fit_model

PIXELS = 65_536
_REPEATS = 10
_ROWS = 300  # to train on: neither rate depends on what was learned

SpeedReport = dict[str, dict[str, float]]


def measure_speed(samples: Samples, settings: Settings) -> SpeedReport:
    """Return pixels per second of a student of full size and of the published one.

    Parameters
    ----------
    samples
        Anything to train on.
    settings
        Whose sizes the student takes.
    """
    sites = np.unique(samples.site)[:_ROWS]
    few = samples.take(np.isin(samples.site, sites))
    small = Settings(
        inducing_points=settings.inducing_points,
        sensors=settings.sensors,
        networks=0,
        inner_folds=2,
    )
    student = fit_model(few, small).student
    found = {"ours, float32": _ours(student)}
    steps = PublishedConfig(encoder_steps=1, teacher_steps=1, student_steps=1)
    none = np.zeros((0, 2), dtype=np.intp)
    model = fit_published(few.snv, few.target, few.snv, few.target, none, config=steps)
    spectra = np.resize(few.snv, (PIXELS // 8, few.snv.shape[1]))
    found["published, float32"] = {
        "pixels_per_s": _rate(lambda: model.predict(spectra), len(spectra))
    }
    return found


def _ours(student: Student) -> dict[str, float]:
    bands = sensor_bands("enmap")
    numbers = _pixels(len(bands))
    folded = fold(student, bands)
    return {
        "pixels_per_s": _rate(lambda: folded.estimate(numbers), PIXELS),
        "bands": float(len(bands)),
        "macs_per_pixel": float(student.macs_per_pixel(len(bands))),
        "gain_of_bfloat16_products": _half_gain(student),
    }


def _half_gain(student: Student) -> float:
    """Return how much faster the machine's largest product is in bfloat16; below 1 it loses."""
    inputs = torch.ones(student.kept, COLUMNS)
    rates = []
    for kind in (torch.float32, torch.bfloat16):
        left = student.inducing_points.to(kind)
        right = inputs.to(kind)
        rates.append(_rate(lambda left=left, right=right: left @ right, 1))  # type: ignore[misc]
    return rates[1] / rates[0]


def _pixels(bands: int) -> NDArray[np.float32]:
    """Return smooth spectra with a satellite's noise (band, s)."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0.1, 0.4, bands)[:, None]
    noise = rng.normal(0.0, 0.01, (bands, PIXELS))
    return np.asarray(slope * rng.uniform(0.5, 1.5, PIXELS) + noise, dtype=np.float32)


def _rate(run: Callable[[], object], pixels: int) -> float:
    with one_torch_thread():
        run()
        taken = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    return pixels / min(taken)
