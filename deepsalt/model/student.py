"""The student: two kernel machines on the components of a spectrum, folded per sensor.

    digital numbers (band)
      -> components  one matrix per band table, divided by the spectrum's standard deviation
      -> noise       energy of components that no soil has: how noisy this spectrum is
      -> shrinkage   each component times signal / (signal + noise): the Wiener filter
      -> machine     distances to a few hundred anchors, inverse multiquadric, two heads
      -> location and width of log(EC + 0.03 dS/m)
      -> salinity (the mean of log(1 + EC) over the residuals' quantiles), interval, advice

    components -> domain score: how unlike the training's soils and salt crusts a spectrum is

Gain, offset, band responses, derivative, adaptation and standardisation are linear and fold into
the first matrix. Spectra as quiet as a laboratory's go to a second machine that is too large for
scenes: the teacher itself. In a batch without any it is not computed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepsalt.errors import FormatError
from deepsalt.model.kernel import machine
from deepsalt.model.threads import one_torch_thread
from deepsalt.spectral.transform import (
    LEVEL_FEATURES,
    MIN_MEAN,
    MIN_VARIANCE,
    fill_missing,
    front_end,
)
from deepsalt.types import BandTable, Basis

BATCH_PX = 2048
"""Pixels per forward pass; the last batch is padded.

Fixed, because the rounding of a float32 matrix product depends on its shape: so a pixel's bits do
not depend on how a scene was cut into chunks. At this size the kernel matrix stays in cache.
"""

EC_SHIFT = 0.03
"""Added to the conductivity before the logarithm, dS/m: near the detection limit of the labels."""

HEADS = ("location", "log width")
"""What a machine answers, of log(EC + 0.03)."""

_FLAT = (1.0 - 1e-4) * MIN_VARIANCE**-0.5
_MIN_LOG_WIDTH, _MAX_LOG_WIDTH = -3.0, 2.5


@dataclass(frozen=True, slots=True)
class Estimates:
    """What the student says about s spectra.

    Parameters
    ----------
    salinity, lower, upper
        Surface electrical conductivity and its interval, dS/m, float32 (s,); lower <= salinity <=
        upper; NaN where a spectrum could not be completed.
    remarks
        `Basis` bits OUT_OF_DOMAIN and EXTRAPOLATED, uint16 (s,).
    domain_score
        How far a spectrum is out of the training's domain, float32 (s,): OUT_OF_DOMAIN above 1.
    """

    salinity: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    remarks: NDArray[np.uint16]
    domain_score: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """Weights of the student; all float32.

    Parameters
    ----------
    components, component_offset
        Rows on the features (k + t, n_features), (k + t,): first the k that enter the machine,
        the `LEVEL_FEATURES` last among them, in units of the soils' spread; then t in which soils
        hardly differ, in units of a satellite's noise.
    domain, domain_offset, domain_shrinkage
        Directions on the components, of unit variance among the training's unadapted soils and salt
        crusts, and the variance that a satellite's noise adds to each (r, k + t), (r,), (r,).
    shrinkage
        Noise over signal variance of the components at unit noise (k,).
    scale
        Factor on the shrunk components: units of the kernel's length (k,).
    anchors, heads, heads_bias
        The machine for satellites (m, k), (2, m), (2, 1); heads in the order of `HEADS`.
    quiet_components, quiet_offset
        Scaled components of the machine for quiet spectra (q, n_features), (q,).
    quiet_anchors, quiet_heads, quiet_bias
        That machine (n, q), (2, n), (2, 1); n = 0: there is none.
    nodes, quiet_nodes
        Quantiles of the residuals in units of the width, of equal probability (j,).
    interval, quiet_interval
        Factors on the width below and above, from calibration (2,).
    limits
        EC_MAX and the EXTRAPOLATED threshold, dS/m; thresholds of T² and of Q; noise level below
        which a spectrum is quiet; noise that counts per flatness in T² (6,).
    """

    components: Tensor
    component_offset: Tensor
    domain: Tensor
    domain_offset: Tensor
    domain_shrinkage: Tensor
    shrinkage: Tensor
    scale: Tensor
    anchors: Tensor
    heads: Tensor
    heads_bias: Tensor
    quiet_components: Tensor
    quiet_offset: Tensor
    quiet_anchors: Tensor
    quiet_heads: Tensor
    quiet_bias: Tensor
    nodes: Tensor
    quiet_nodes: Tensor
    interval: Tensor
    quiet_interval: Tensor
    limits: Tensor

    @property
    def kept(self) -> int:
        """Components that enter the machine (k)."""
        return int(self.anchors.shape[1])

    def macs_per_pixel(self, bands: int) -> int:
        """Return the multiply-accumulates per pixel of a sensor with this many bands.

        Of satellite spectra; quiet ones cost `quiet_macs_per_pixel` more.
        """
        machine = self.anchors.numel() + self.heads.numel()
        domain = self.domain.numel() + 2 * self.domain_shrinkage.numel()
        return (self.components.shape[0] + 2) * bands + machine + domain

    def quiet_macs_per_pixel(self, bands: int) -> int:
        """Return the further multiply-accumulates of a batch with quiet spectra."""
        rows = self.quiet_components.shape[0] * bands
        return rows + self.quiet_anchors.numel() + self.quiet_heads.numel()

    def fold(
        self,
        bands: BandTable,
        gain: tuple[float, ...] | None = None,
        offset: tuple[float, ...] | None = None,
    ) -> "FoldedStudent":
        """Fold everything linear for a band table; cached.

        Parameters
        ----------
        bands
            The sensor's bands (n).
        gain, offset
            Reflectance = digital number x gain + offset, per band; None: the numbers are
            reflectance.

        Raises
        ------
        FormatError
            The usable bands leave a range of the common set uncovered.
        """
        n = len(bands)
        return _fold(self, bands, gain or (1.0,) * n, offset or (0.0,) * n)

    def noise(self, components: Tensor) -> Tensor:
        """Return the noise variance of spectra over a satellite's (s,), of (k + t, s)."""
        tail = components[self.kept :]
        return tail.square().sum(0) / max(tail.shape[0], 1)

    def quiet(self, noise: Tensor, scatter: Tensor) -> Tensor:
        """Return which spectra go to the quiet machine (s,), of noise and 1 / deviation (s,)."""
        # What does not vary at all, as a filled or a saturated pixel, is no laboratory spectrum.
        return torch.logical_and(noise < self.limits[4], scatter < _FLAT)

    def forward(self, components: Tensor, noise: Tensor) -> Tensor:
        """Return the machine's answers (2, s) for components (k + t, s)."""
        inputs = components[: self.kept] / (1.0 + self.shrinkage[:, None] * noise)
        return machine(inputs.mul_(self.scale[:, None]), self.anchors, self.heads, self.heads_bias)

    def forward_quiet(self, components: Tensor) -> Tensor:
        """Return the quiet machine's answers (2, s) for its components (q, s)."""
        return machine(components, self.quiet_anchors, self.quiet_heads, self.quiet_bias)

    def respond(
        self, answers: Tensor, nodes: Tensor, interval: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return salinity and its interval, dS/m (s,) each, for a machine's answers (2, s).

        Salinity is exp(E[log(1 + EC)]) - 1: the smearing estimate (Duan 1983) on the scale on
        which maps are scored, since the mean of a logarithm says too little about the tail.
        """
        ec_max = float(self.limits[0])
        location, width = answers[0], answers[1].clamp(_MIN_LOG_WIDTH, _MAX_LOG_WIDTH).exp_()
        likely = torch.addcmul(location, nodes[:, None], width)
        salinity = _conductivity(likely, ec_max).log1p_().mean(0).expm1_().clamp_(0.0, ec_max)
        lower = _conductivity(location - interval[0] * width, ec_max)
        upper = _conductivity(location + interval[1] * width, ec_max)
        return salinity, torch.minimum(lower, salinity), torch.maximum(upper, salinity)

    def remarks(self, salinity: Tensor, score: Tensor) -> Tensor:
        """Return the advising bits (s,) int32 of salinity (s,), dS/m, and domain score (s,)."""
        bits = (score > 1.0).int() * int(Basis.OUT_OF_DOMAIN)
        return bits | ((salinity > self.limits[1]).int() * int(Basis.EXTRAPOLATED))

    def domain_score(self, components: Tensor, noise: Tensor, flatness: Tensor) -> Tensor:
        """Return the larger of T² and Q over their thresholds (s,), of components (k + t, s).

        Q is the noise (s,); flatness, the square of mean over standard deviation (s,).
        """
        distance = self.distance(components, noise, flatness) / self.limits[2]
        return torch.maximum(distance, noise / self.limits[3])

    def distance(self, components: Tensor, noise: Tensor, flatness: Tensor) -> Tensor:
        """Return Hotelling's T² (s,), each direction's variance with what noise adds to it."""
        scores = torch.addmm(self.domain_offset[:, None], self.domain, components)
        allowed = noise + self.limits[5] * flatness
        variance = (self.domain_shrinkage[:, None] * allowed).add_(1.0)
        return scores.square_().div_(variance).sum(0)


def _conductivity(log_ec: Tensor, ec_max: float) -> Tensor:
    """Return exp(x) - 0.03 within [0, ec_max], dS/m."""
    # Bounded before the exponential, so that no input can overflow it.
    ceiling = float(np.log(ec_max + EC_SHIFT))
    return log_ec.clamp(max=ceiling).exp().sub_(EC_SHIFT).clamp_(0.0, ec_max)


@dataclass(frozen=True, slots=True, eq=False)
class FoldedStudent:
    """A student folded for one band table and scaling; `estimate` takes digital numbers.

    Parameters
    ----------
    student
        The weights.
    used
        Bands with any weight (u,), indices into the band axis.
    centers_nm
        Their centres, nm (u,).
    gain, offset
        Their scaling (u, 1) float32.
    projection, levels, shift
        The components as a matrix on reflectance (k + t, u), on the level features (k + t, 2), and
        their offset (k + t, 1).
    quiet_projection, quiet_levels, quiet_shift
        The same of the quiet machine (q, u), (q, 2), (q, 1).
    weights
        Quadrature weights of mean and variance (1, u).
    """

    student: Student
    used: NDArray[np.intp]
    centers_nm: NDArray[np.float64]
    gain: Tensor
    offset: Tensor
    projection: Tensor
    levels: Tensor
    shift: Tensor
    quiet_projection: Tensor
    quiet_levels: Tensor
    quiet_shift: Tensor
    weights: Tensor

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
        work = np.empty((2, self.used.size, BATCH_PX), np.float32)
        with one_torch_thread(), torch.inference_mode():
            for start in range(0, numbers.shape[1], BATCH_PX):
                part = slice(start, start + BATCH_PX)
                self._batch(numbers[:, part], nodata, values[:, part], remarks[part], work)
        return Estimates(values[0], values[1], values[2], remarks, values[3])

    def _batch(
        self,
        numbers: NDArray[np.generic],
        nodata: float | None,
        values: NDArray[np.float32],
        remarks: NDArray[np.uint16],
        work: NDArray[np.float32],
    ) -> None:
        size = numbers.shape[1]
        work[0, :, :size], work[0, :, size:] = numbers[self.used], 1.0
        lost = self._fill(work[0], nodata)[:size]
        *estimates, bits = self._answer(*torch.from_numpy(work))
        values[:] = np.where(lost, np.nan, torch.stack(estimates).numpy()[:, :size])
        remarks[:] = np.where(lost, 0, bits.numpy()[:size])

    def _fill(self, batch: NDArray[np.float32], nodata: float | None) -> NDArray[np.bool_]:
        """Complete spectra in place; return which could not be (s,), set to a harmless number."""
        given = nodata is not None and np.isfinite(nodata)
        # The sum of a batch is finite where all its values are: most batches pass in one look.
        if np.isfinite(batch.sum()) and not (given and (batch == np.float32(nodata)).any()):
            return np.zeros(batch.shape[1], dtype=np.bool_)
        missing = ~np.isfinite(batch)
        if given:
            missing |= batch == np.float32(nodata)
        fill_missing(batch, missing, self.centers_nm)
        hopeless = np.asarray(~np.isfinite(batch).all(axis=0))
        batch[:, hopeless] = 1.0
        return hopeless

    def _answer(self, numbers: Tensor, squares: Tensor) -> tuple[Tensor, ...]:
        """Return salinity, lower, upper, score, remarks of numbers (u, s); both are overwritten."""
        student = self.student
        centred, levels, deviation = self._centre(numbers, squares)
        components = (self.projection @ centred).mul_(deviation)
        components.addmm_(self.levels, levels).add_(self.shift)
        noise = student.noise(components)
        salinity, lower, upper = student.respond(
            student.forward(components, noise), student.nodes, student.interval
        )
        quiet = student.quiet(noise, deviation[0])
        if student.quiet_anchors.shape[0] and bool(quiet.any()):
            inputs = (self.quiet_projection @ centred).mul_(deviation)
            inputs.addmm_(self.quiet_levels, levels).add_(self.quiet_shift)
            better = student.respond(
                student.forward_quiet(inputs), student.quiet_nodes, student.quiet_interval
            )
            salinity, lower, upper = (
                torch.where(quiet, new, old)
                for new, old in zip(better, (salinity, lower, upper), strict=True)
            )
        # The second level is the logarithm of the standard deviation over the mean.
        score = student.domain_score(components, noise, levels[1].mul(-2.0).exp_())
        return salinity, lower, upper, score, student.remarks(salinity, score)

    def _centre(self, numbers: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return centred reflectance (u, s), levels (2, s) and 1 / deviation (1, s)."""
        reflectance = numbers.mul_(self.gain).add_(self.offset)
        mean = self.weights @ reflectance
        # Centred first: the difference of two large moments would lose digits.
        centred = reflectance.sub_(mean)
        variance = (self.weights @ torch.mul(centred, centred, out=squares)).clamp_(
            min=MIN_VARIANCE
        )
        level = mean.clamp_(min=MIN_MEAN).log_()
        levels = torch.cat([level, variance.log().mul_(0.5) - level])
        return centred, levels, variance.rsqrt_()


@lru_cache(maxsize=32)
def _fold(
    student: Student, bands: BandTable, gain: tuple[float, ...], offset: tuple[float, ...]
) -> FoldedStudent:
    front = front_end(bands)
    used = np.flatnonzero(front.weights > 0)
    derivative = front.derivative[:, used]

    def onto_bands(rows: Tensor) -> Tensor:
        folded = rows[:, :-LEVEL_FEATURES].double().numpy() @ derivative
        return torch.from_numpy(folded.astype(np.float32))

    return FoldedStudent(
        student,
        used,
        np.array(bands.centers_nm)[used],
        gain=_column(gain, used),
        offset=_column(offset, used),
        projection=onto_bands(student.components),
        levels=student.components[:, -LEVEL_FEATURES:].contiguous(),
        shift=student.component_offset[:, None],
        quiet_projection=onto_bands(student.quiet_components),
        quiet_levels=student.quiet_components[:, -LEVEL_FEATURES:].contiguous(),
        quiet_shift=student.quiet_offset[:, None],
        weights=torch.from_numpy(front.weights[used].astype(np.float32)[None]),
    )


def _column(values: tuple[float, ...], used: NDArray[np.intp]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32)[used][:, None])
