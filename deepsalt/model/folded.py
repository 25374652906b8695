"""A student folded for one sensor: from digital numbers to estimates, batch by batch.

Gain, offset, band responses, derivatives, adaptation and standardisation are linear: they fold into
one matrix per band table. Gain and offset are applied while the numbers are copied to float32,
together with the root of a band's weight in the mean: so the sum of squares is the second moment.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepsalt.errors import FormatError
from deepsalt.model.kernel import COLUMNS
from deepsalt.model.memory import Memory
from deepsalt.model.scaling import as_stored, scale
from deepsalt.model.student import ROWS, Estimates, Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.spectral.transform import (
    LEVEL_FEATURES,
    MIN_MEAN,
    MIN_VARIANCE,
    fill_missing,
    front_end,
)
from deepsalt.types import BandTable, Floats32

BATCH_PX = 8192
"""Pixels per forward pass; the last batch is padded.

Fixed, because the rounding of a float32 matrix product depends on its shape: so a pixel's bits do
not depend on how a scene was cut into chunks.
"""

_BLOCK_PX = 1024  # pixels whose bands are scaled and projected at a time, in a core's own cache

Pixels = slice | NDArray[np.intp]


class ReflectanceReader(Protocol):
    """Writes scaled reflectance of some pixels to (u, s), missing bands filled.

    Not `whole`: some number is not finite, so each band is looked at.
    """

    def __call__(self, pixels: Pixels, target: Floats32, *, whole: bool = True) -> None:
        """Write them."""


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
        Reflectance = digital number x gain + offset, per band. Default: the numbers are
        reflectance.

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
    runs
        Neighbouring bands among the used and their rows among them: slices of both.
    components, low_noise
        Of the machine, with the mean reflectance as last row (k + t + 1, u), and of the one for
        low-noise spectra (q, u).
    """

    student: Student
    used: NDArray[np.intp]
    centers_nm: NDArray[np.float64]
    factor: Floats32
    shift: Floats32
    runs: tuple[tuple[slice, slice], ...]
    components: Projection
    low_noise: Projection

    def estimate(self, numbers: NDArray[np.generic], nodata: float | None = None) -> Estimates:
        """Return the estimates for spectra by column.

        Parameters
        ----------
        numbers
            Digital numbers in any dtype (band, s); NaN and `nodata` mean "missing" and are filled
            from the spectrum's own neighbouring bands (`fill_missing`).
        nodata
            Number that means "missing"; None if there is none.

        Raises
        ------
        FormatError
            The number of bands is not the one folded for.
        """
        self._refuse_too_few_bands(numbers)
        values = np.empty((ROWS, numbers.shape[1]), np.float32)
        flags = np.empty(numbers.shape[1], np.uint16)
        work = _work(self.used.size, self.components.bands.shape[0])
        with one_torch_thread(), torch.inference_mode():
            for start in range(0, numbers.shape[1], BATCH_PX):
                part = slice(start, start + BATCH_PX)
                self._batch(numbers[:, part], nodata, values[:, part], flags[part], work)
        return Estimates.of(values, flags)

    def _batch(
        self,
        numbers: NDArray[np.generic],
        nodata: float | None,
        values: Floats32,
        flags: NDArray[np.uint16],
        work: "_Work",
    ) -> None:
        size = numbers.shape[1]
        mark = as_stored(nodata, numbers.dtype)
        lost = np.zeros(size, np.bool_)

        def read(pixels: Pixels, target: Floats32, *, whole: bool = True) -> None:
            some = numbers[:, pixels] if isinstance(pixels, slice) else numbers.take(pixels, axis=1)
            if not (whole and self._copy(some, mark, target)):
                target[:], lost[pixels] = self._complete(some, mark)

        self._project(read, size, work)

        def low_noise_bands(chosen: Tensor) -> Tensor:
            # The unfilled part of this batch is nobody's answer.
            pixels = chosen.clamp(max=size - 1).numpy()
            part = work.spectra[:, :COLUMNS]
            found = []
            for start in range(0, pixels.size, COLUMNS):
                some = pixels[start : start + COLUMNS]
                read(some, part.numpy())
                if not _finite(part.square().sum()):
                    read(some, part.numpy(), whole=False)
                found.append(torch.mm(self.low_noise.bands, part))
            return torch.cat(found, dim=1)

        # Else an earlier batch's low-noise spectra were answered again.
        work.projected[:, size:], work.moment[size:] = 1.0, 1.0
        *estimates, bits = self._answer(work.projected, work.moment, low_noise_bands, work.memory)
        values[:], flags[:] = torch.stack(estimates).numpy()[:, :size], bits.numpy()[:size]
        values[:, lost], flags[lost] = np.nan, 0

    def prepare(
        self, numbers: NDArray[np.generic], nodata: float | None
    ) -> tuple[Floats32, NDArray[np.bool_]]:
        """Return scaled reflectance (u, s) for `answer`, and what cannot be estimated (s,).

        Raises
        ------
        FormatError
            The number of bands is not the one folded for.
        """
        self._refuse_too_few_bands(numbers)
        mark = as_stored(nodata, numbers.dtype)
        scaled = np.empty((self.used.size, numbers.shape[1]), np.float32)
        whole = self._copy(numbers, mark, scaled)
        if whole and _finite(torch.from_numpy(scaled).square().sum()):
            return scaled, np.zeros(numbers.shape[1], np.bool_)
        return self._complete(numbers, mark)

    def answer(self, spectra: Tensor) -> Tensor:
        """Return `ROWS` values and then the flags (v + 1, s) of prepared spectra (u, s)."""
        moment = spectra.square().sum(0)
        projected = self.components.bands @ spectra
        *estimates, bits = self._answer(
            projected,
            moment,
            lambda chosen: _by_columns(self.low_noise.bands, spectra[:, chosen]),
            Memory(),
        )
        return torch.stack([*estimates, bits.to(spectra.dtype)])

    def _refuse_too_few_bands(self, numbers: NDArray[np.generic]) -> None:
        if numbers.shape[0] <= int(self.used.max()):
            raise FormatError(
                f"the spectra have {numbers.shape[0]} bands, but the model is folded for more; "
                f"give the band table of these spectra"
            )

    def moved(self, move: Callable[[Tensor], Tensor]) -> "FoldedStudent":
        """Return the same student with its tensors moved to where `answer` runs."""

        def projection(rows: Projection) -> Projection:
            return Projection(move(rows.bands), move(rows.levels))

        return replace(
            self,
            student=self.student.moved(move),
            components=projection(self.components),
            low_noise=projection(self.low_noise),
        )

    def _copy(
        self, numbers: NDArray[np.generic], mark: np.generic | None, target: Floats32
    ) -> bool:
        """Write scaled reflectance to the target (u, s); return whether no number is the mark."""
        whole = True
        for bands, rows in self.runs:
            source = numbers[bands]
            scale(source, self.factor[rows], target[rows])
            whole = whole and (mark is None or not (source == mark).any())
        if self.shift.any():
            target += self.shift
        return whole

    def _complete(
        self, numbers: NDArray[np.generic], mark: np.generic | None
    ) -> tuple[Floats32, NDArray[np.bool_]]:
        """Return scaled reflectance (u, s) with missing bands filled, and where that fails."""
        raw = numbers[self.used].astype(np.float32)
        missing = ~np.isfinite(raw)
        if mark is not None:
            missing |= numbers[self.used] == mark
        fill_missing(raw, missing, self.centers_nm)
        raw *= self.factor
        raw += self.shift
        lost = ~torch.isfinite(torch.from_numpy(raw).square().sum(0)).numpy()
        raw[:, lost] = 1.0
        return raw, lost

    def _project(self, read: ReflectanceReader, size: int, work: "_Work") -> None:
        """Fill projection and moment of the first pixels."""
        for start in range(0, size, _BLOCK_PX):
            block = slice(start, start + _BLOCK_PX)
            length = min(_BLOCK_PX, size - start)
            work.spectra[:, length:] = 1.0
            pixels = slice(start, start + length)
            target = work.spectra.numpy()[:, :length]
            read(pixels, target)
            self._squares(work, block)
            # The sum is finite where all values are: most blocks pass this one test.
            if not _finite(work.moment[block].sum()):
                read(pixels, target, whole=False)
                self._squares(work, block)
            torch.mm(self.components.bands, work.spectra, out=work.projected[:, block])

    def _squares(self, work: "_Work", block: slice) -> None:
        torch.mul(work.spectra, work.spectra, out=work.squares)
        torch.sum(work.squares, 0, out=work.moment[block])

    def _answer(
        self,
        projected: Tensor,
        moment: Tensor,
        low_noise_bands: Callable[[Tensor], Tensor],
        memory: Memory,
    ) -> tuple[Tensor, ...]:
        """Return what `Student.answer` does of projected spectra.

        `low_noise_bands` gives the low-noise machine's rows on the bands of the spectra of some
        indices.
        """
        mean = projected[-1]
        variance = torch.addcmul(moment, mean, mean, value=-1.0).clamp_(min=MIN_VARIANCE)
        scatter = variance.rsqrt()
        levels = memory.matrix("levels", 3, moment)  # the last row stays 1
        level = torch.clamp(mean, min=MIN_MEAN, out=levels[0]).log_()
        torch.log(variance, out=levels[1]).mul_(0.5).sub_(level)

        def low_noise_components(chosen: Tensor) -> Tensor:
            on_levels = _by_columns(self.low_noise.levels, levels[:, chosen])
            return on_levels.addcmul_(low_noise_bands(chosen), scatter[chosen])

        components = memory.matrix("components", projected.shape[0] - 1, moment)
        torch.mul(projected[:-1], scatter, out=components).addmm_(self.components.levels, levels)
        return self.student.answer(
            components, scatter, levels[1].mul(-2.0).exp_(), low_noise_components, memory
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """Working memory of one call.

    Parameters
    ----------
    spectra, squares
        Of a block (u, _BLOCK_PX).
    projected, moment
        Of a batch (c + 1, BATCH_PX), (BATCH_PX,); 1 beyond its pixels.
    memory
        Whatever else a batch needs.
    """

    spectra: Tensor
    squares: Tensor
    projected: Tensor
    moment: Tensor
    memory: Memory


def _by_columns(rows: Tensor, values: Tensor) -> Tensor:
    """Return rows @ values for a multiple of `COLUMNS` columns, in products of one shape."""
    return torch.cat([rows @ part for part in torch.split(values, COLUMNS, dim=1)], dim=1)


def _work(bands: int, rows: int) -> _Work:
    memory = Memory()
    block = torch.empty(_BLOCK_PX)
    batch = torch.ones(BATCH_PX)
    spectra, squares = (memory.matrix(name, bands, block) for name in ("spectra", "squared"))
    return _Work(spectra, squares, memory.matrix("projected", rows, batch), batch, memory)


@lru_cache(maxsize=32)
def _fold(
    student: Student, bands: BandTable, gain: tuple[float, ...], offset: tuple[float, ...]
) -> FoldedStudent:
    front = front_end(bands)
    used = np.flatnonzero(front.weights > 0)
    linear = front.linear[:, used]
    root = np.sqrt(front.weights[used])

    def projection(rows: Tensor, constant: Tensor, *more: NDArray[np.float64]) -> Projection:
        bands = rows[:, :-LEVEL_FEATURES].double().numpy() @ linear / root
        levels = torch.column_stack([rows[:, -LEVEL_FEATURES:], constant])
        return Projection(_float32(np.vstack([bands, *more])), levels)

    def column(values: tuple[float, ...]) -> Floats32:
        scaled: Floats32 = (root * np.array(values)[used]).astype(np.float32)[:, None]
        return scaled

    return FoldedStudent(
        student,
        used,
        np.array(bands.centers_nm)[used],
        column(gain),
        column(offset),
        _runs(used),
        projection(student.components, student.component_offset, root),
        projection(student.low_noise_components, student.low_noise_offset),
    )


def _runs(used: NDArray[np.intp]) -> tuple[tuple[slice, slice], ...]:
    """Return slices of neighbouring bands and of their rows: read without gathering them."""
    parts = np.split(used, np.flatnonzero(np.diff(used) > 1) + 1)
    starts = np.cumsum([0, *(part.size for part in parts)])
    return tuple(
        (slice(int(part[0]), int(part[-1]) + 1), slice(int(start), int(start) + part.size))
        for part, start in zip(parts, starts, strict=False)
    )


def _finite(total: Tensor) -> bool:
    return bool(torch.isfinite(total))


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
