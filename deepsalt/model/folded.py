"""A student folded for one sensor: from digital numbers to estimates, batch by batch.

Gain, offset, band responses, derivative, adaptation and standardisation are linear: they fold into
one matrix per band table. Gain and offset are applied while the numbers are copied to float32,
together with the root of a band's weight in the mean: so the sum of squares is the second moment.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepsalt.errors import FormatError
from deepsalt.model.student import Estimates, Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.spectral.transform import (
    LEVEL_FEATURES,
    MIN_MEAN,
    MIN_VARIANCE,
    fill_missing,
    front_end,
)
from deepsalt.types import BandTable

BATCH_PX = 2048
"""Pixels per forward pass; the last batch is padded.

Fixed, because the rounding of a float32 matrix product depends on its shape: so a pixel's bits do
not depend on how a scene was cut into chunks.
"""

Floats = NDArray[np.float32]


def fold(
    student: Student,
    bands: BandTable,
    gain: tuple[float, ...] | None = None,
    offset: tuple[float, ...] | None = None,
) -> "FoldedStudent":
    """Fold everything linear for a band table; cached.

    Parameters
    ----------
    student
        The weights.
    bands
        The sensor's bands (n).
    gain, offset
        Reflectance = digital number x gain + offset, per band; None: the numbers are reflectance.

    Raises
    ------
    FormatError
        The usable bands leave a range of the common set uncovered.
    """
    n = len(bands)
    return _fold(student, bands, gain or (1.0,) * n, offset or (0.0,) * n)


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Rows of components on a sensor's bands.

    Parameters
    ----------
    bands
        On reflectance times the root of a band's weight (c, u).
    levels
        On log mean, log of deviation over mean, and 1 (c, 3).
    """

    bands: Tensor
    levels: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class FoldedStudent:
    """A student folded for one band table and scaling; `estimate` takes digital numbers.

    Parameters
    ----------
    student
        The weights.
    used
        Bands with any weight (u,), indices into the band axis, ascending.
    centers_nm
        Their centres, nm (u,).
    factor, shift
        Reflectance times the root of a band's weight = number x factor + shift (u, 1) float32.
    components, quiet
        Of the machine, with the mean reflectance as last row (k + t + 1, u), and of the one for
        quiet spectra (q, u).
    """

    student: Student
    used: NDArray[np.intp]
    centers_nm: NDArray[np.float64]
    factor: Floats
    shift: Floats
    components: Projection
    quiet: Projection

    def estimate(self, numbers: NDArray[np.generic], nodata: float | None = None) -> Estimates:
        """Return the estimates for spectra by column.

        Parameters
        ----------
        numbers
            Digital numbers in any dtype (band, s); NaN and `nodata` mean "missing" and are filled
            from the spectrum's own neighbouring bands (`fill_missing`).
        nodata
            Number that means "missing"; None when there is none.

        Raises
        ------
        FormatError
            The number of bands is not the one folded for.
        """
        if numbers.shape[0] <= int(self.used.max()):
            raise FormatError(
                f"spectra of {numbers.shape[0]} bands given to a model folded for more; "
                "give the band table of these spectra"
            )
        values = np.empty((4, numbers.shape[1]), np.float32)
        remarks = np.empty(numbers.shape[1], np.uint16)
        # Taken once: fresh memory for every batch costs as much as the products.
        work = torch.empty(2, self.used.size, BATCH_PX)
        with one_torch_thread(), torch.inference_mode():
            for start in range(0, numbers.shape[1], BATCH_PX):
                part = slice(start, start + BATCH_PX)
                self._batch(numbers[:, part], nodata, values[:, part], remarks[part], work)
        return Estimates(values[0], values[1], values[2], remarks, values[3])

    def _batch(
        self,
        numbers: NDArray[np.generic],
        nodata: float | None,
        values: Floats,
        remarks: NDArray[np.uint16],
        work: Tensor,
    ) -> None:
        size = numbers.shape[1]
        spectra, squares = work
        filled = spectra.numpy()
        filled[:, size:] = 1.0
        whole = self._copy(numbers, nodata, filled[:, :size])
        moment = torch.mul(spectra, spectra, out=squares).sum(0)
        lost = None
        # The sum of a batch is finite where all its values are: most batches pass in one look.
        if not (whole and bool(torch.isfinite(moment.sum()))):
            self._complete(numbers, nodata, filled[:, :size])
            moment = torch.mul(spectra, spectra, out=squares).sum(0)
            lost = ~torch.isfinite(moment)
            filled[:, lost.numpy()], moment[lost] = 1.0, float(len(filled))
        *estimates, bits = self._answer(spectra, moment)
        values[:], remarks[:] = torch.stack(estimates).numpy()[:, :size], bits.numpy()[:size]
        if lost is not None:
            gone = lost.numpy()[:size]
            values[:, gone], remarks[gone] = np.nan, 0

    def _copy(self, numbers: NDArray[np.generic], nodata: float | None, target: Floats) -> bool:
        """Write scaled reflectance to the target (u, s); return whether no number is `nodata`."""
        mark = _as_stored(nodata, numbers.dtype)
        whole = True
        start = 0
        # Neighbouring bands at once, without gathering the numbers first.
        for run in np.split(self.used, np.flatnonzero(np.diff(self.used) > 1) + 1):
            source, rows = numbers[run[0] : run[-1] + 1], slice(start, start + run.size)
            factor = self.factor[rows]
            np.multiply(source, factor, out=target[rows], dtype=np.float32, casting="unsafe")
            whole = whole and (mark is None or not (source == mark).any())
            start += run.size
        if self.shift.any():
            target += self.shift
        return whole

    def _complete(self, numbers: NDArray[np.generic], nodata: float | None, target: Floats) -> None:
        """Write scaled reflectance with missing bands filled; NaN where they cannot be."""
        raw = numbers[self.used].astype(np.float32)
        missing = ~np.isfinite(raw)
        mark = _as_stored(nodata, numbers.dtype)
        if mark is not None:
            missing |= numbers[self.used] == mark
        fill_missing(raw, missing, self.centers_nm)
        target[:] = raw * self.factor + self.shift

    def _answer(self, spectra: Tensor, moment: Tensor) -> tuple[Tensor, ...]:
        """Return salinity, lower, upper, score, remarks of spectra (u, s) and their moment (s,)."""
        projected = self.components.bands @ spectra
        mean = projected[-1]
        variance = torch.addcmul(moment, mean, mean, value=-1.0).clamp_(min=MIN_VARIANCE)
        scatter = variance.rsqrt()
        level = mean.clamp(min=MIN_MEAN).log_()
        levels = torch.stack([level, variance.log_().mul_(0.5) - level, torch.ones_like(level)])

        def components(rows: Projection, on_bands: Tensor) -> Tensor:
            return (rows.levels @ levels).addcmul_(on_bands, scatter)

        return self.student.answer(
            components(self.components, projected[:-1]),
            scatter,
            levels[1].mul(-2.0).exp_(),
            lambda: components(self.quiet, self.quiet.bands @ spectra),
        )


def _as_stored(nodata: float | None, dtype: np.dtype[np.generic]) -> np.generic | None:
    """Return the number for "missing" as an array of this dtype holds it; None: it cannot."""
    if nodata is None or not np.isfinite(nodata):
        return None
    if not np.issubdtype(dtype, np.integer):
        return dtype.type(nodata)
    limits = np.iinfo(str(dtype))
    held = nodata == int(nodata) and limits.min <= nodata <= limits.max
    return dtype.type(int(nodata)) if held else None


@lru_cache(maxsize=32)
def _fold(
    student: Student, bands: BandTable, gain: tuple[float, ...], offset: tuple[float, ...]
) -> FoldedStudent:
    front = front_end(bands)
    used = np.flatnonzero(front.weights > 0)
    derivative = front.derivative[:, used]
    root = np.sqrt(front.weights[used])

    def projection(rows: Tensor, constant: Tensor, *more: NDArray[np.float64]) -> Projection:
        bands = rows[:, :-LEVEL_FEATURES].double().numpy() @ derivative / root
        levels = torch.column_stack([rows[:, -LEVEL_FEATURES:], constant])
        return Projection(_float32(np.vstack([bands, *more])), levels)

    def column(values: tuple[float, ...]) -> Floats:
        scaled: Floats = (root * np.array(values)[used]).astype(np.float32)[:, None]
        return scaled

    return FoldedStudent(
        student,
        used,
        np.array(bands.centers_nm)[used],
        column(gain),
        column(offset),
        projection(student.components, student.component_offset, root),
        projection(student.quiet_components, student.quiet_offset),
    )


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
