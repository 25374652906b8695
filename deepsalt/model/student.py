"""The student: a few small networks on the components of a spectrum, folded per sensor.

    digital numbers (band)
      -> components  one matrix per band table, divided by the spectrum's standard deviation
      -> members     networks of two hidden layers, averaged
      -> location of log(EC + 0.03 dS/m), and its distance to either end of the interval
      -> salinity, interval, advice

Gain, offset, band responses, derivative and standardisation are linear and fold into the first
matrix, so that most of a pixel's cost is components x bands multiplications.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deepsalt.errors import FormatError
from deepsalt.model.threads import one_torch_thread
from deepsalt.spectral.transform import (
    LEVEL_FEATURES,
    MIN_MEAN,
    MIN_VARIANCE,
    fill_missing,
    front_end,
)
from deepsalt.types import BandTable, Basis

BATCH_PX = 8192
"""Pixels per forward pass; the last batch is padded.

Fixed, because the rounding of a float32 matrix product depends on its shape: so a pixel's bits do
not depend on how a scene was cut into chunks. At this size all intermediates stay in cache.
"""

EC_SHIFT = 0.03
"""Added to the conductivity before the logarithm, dS/m: near the detection limit of the labels."""

MAX_COMPONENT = 6.0
"""Standardised components are cut here before the networks: beyond it they never saw anything."""

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
    """

    salinity: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    remarks: NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """Weights of the student; all float32.

    Parameters
    ----------
    components
        Standardised components of the features (k + t, n_features): the first k enter the
        networks, all k + t the test for spectra unlike the training's.
    component_offset
        (k + t,)
    first, first_bias
        First layers of the m members (m, h1, k), (m, h1, 1).
    second, second_bias
        Second layers (m, h2, h1), (m, h2, 1).
    heads, heads_bias
        Location, log width below it, log width above it (m, 3, h2), (m, 3, 1).
    interval
        Factors on the widths below and above, from calibration (2,).
    salt_directions
        Orthonormal directions that pure salts span among the components (r, k + t); what lies
        along them is the target and no reason to doubt.
    limits
        EC_MAX and the EXTRAPOLATED threshold, dS/m; the threshold of T² (3,).
    """

    components: Tensor
    component_offset: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    heads: Tensor
    heads_bias: Tensor
    interval: Tensor
    salt_directions: Tensor
    limits: Tensor

    @property
    def network_components(self) -> int:
        """Components that enter the networks (k)."""
        return int(self.first.shape[2])

    def macs_per_pixel(self, bands: int) -> int:
        """Return the multiply-accumulates per pixel of a sensor with this many bands."""
        networks = self.first.numel() + self.second.numel() + self.heads.numel()
        return (self.components.shape[0] + 2) * bands + networks + self.salt_directions.numel()

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

    def respond(self, components: Tensor) -> Estimates:
        """Return the estimates for standardised components (k + t, s)."""
        location, below, above = self.forward(components[: self.network_components])
        ec_max, ec_extrapolated, max_t2 = self.limits.tolist()
        down, up = self.interval.tolist()
        salinity = _conductivity(location, ec_max)
        lower = _conductivity(location - down * below, ec_max)
        upper = _conductivity(location + up * above, ec_max)
        remarks = (self.distance(components) > max_t2).int() * int(Basis.OUT_OF_DOMAIN)
        remarks |= (salinity > ec_extrapolated).int() * int(Basis.EXTRAPOLATED)
        return Estimates(
            salinity.numpy(), lower.numpy(), upper.numpy(), remarks.numpy().astype(np.uint16)
        )

    def distance(self, components: Tensor) -> Tensor:
        """Return Hotelling's T² across the salt directions (s,) of components (k + t, s)."""
        along = self.salt_directions @ components
        return components.square().sum(0) - along.square().sum(0)

    def forward(self, components: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return location and widths below and above it, each (s,), for components (k, s)."""
        z = components.clamp(-MAX_COMPONENT, MAX_COMPONENT)
        members, width, k = self.first.shape
        # One product for the first layers of all members: wide products are the fast ones.
        hidden = torch.addmm(self.first_bias.view(-1, 1), self.first.reshape(-1, k), z)
        hidden = functional.silu(hidden, inplace=True).view(members, width, -1)
        hidden = torch.baddbmm(self.second_bias, self.second, hidden)
        hidden = functional.silu(hidden, inplace=True)
        out = torch.baddbmm(self.heads_bias, self.heads, hidden).mean(0)
        widths = out[1:].clamp(_MIN_LOG_WIDTH, _MAX_LOG_WIDTH).exp()
        return out[0], widths[0], widths[1]


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
    projection
        Components as a matrix on reflectance (k + t, u).
    levels
        Components as a matrix on the level features (k + t, 2).
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
        size = numbers.shape[1]
        salinity, lower, upper = np.full((3, size), np.nan, dtype=np.float32)
        out = Estimates(salinity, lower, upper, np.zeros(size, dtype=np.uint16))
        if numbers.shape[0] <= int(self.used.max()):
            raise FormatError(
                f"spectra of {numbers.shape[0]} bands given to a model folded for more; "
                "give the band table of these spectra"
            )
        with one_torch_thread(), torch.inference_mode():
            for start in range(0, size, BATCH_PX):
                part = slice(start, min(start + BATCH_PX, size))
                self._estimate_batch(numbers[:, part], nodata, out, part)
        return out

    def _estimate_batch(
        self, numbers: NDArray[np.generic], nodata: float | None, out: Estimates, part: slice
    ) -> None:
        size = numbers.shape[1]
        batch = np.ones((self.used.size, BATCH_PX), dtype=np.float32)
        batch[:, :size] = numbers[self.used]
        hopeless = self._fill(batch, nodata)
        estimates = self.student.respond(self._components(torch.from_numpy(batch)))
        for name in ("salinity", "lower", "upper", "remarks"):
            getattr(out, name)[part] = getattr(estimates, name)[:size]
        lost = hopeless[:size]
        for name in ("salinity", "lower", "upper"):
            getattr(out, name)[part][lost] = np.nan
        out.remarks[part][lost] = 0

    def _fill(self, batch: NDArray[np.float32], nodata: float | None) -> NDArray[np.bool_]:
        """Complete spectra in place; return which could not be (s,), set to a harmless number."""
        missing = ~np.isfinite(batch)
        if nodata is not None and np.isfinite(nodata):
            missing |= batch == np.float32(nodata)
        if not missing.any():
            return np.zeros(batch.shape[1], dtype=np.bool_)
        fill_missing(batch, missing, self.centers_nm)
        hopeless = np.asarray(~np.isfinite(batch).all(axis=0))
        batch[:, hopeless] = 1.0
        return hopeless

    def _components(self, numbers: Tensor) -> Tensor:
        """Return standardised components (k + t, s) of digital numbers (u, s), overwritten."""
        reflectance = numbers.mul_(self.gain).add_(self.offset)
        mean = self.weights @ reflectance
        # Centred first: the difference of two large moments would lose digits.
        centred = reflectance.sub_(mean)
        projected = self.projection @ centred
        variance = (self.weights @ centred.square_()).clamp_(min=MIN_VARIANCE)
        level = mean.clamp_(min=MIN_MEAN).log_()
        levels = torch.cat([level, variance.log().mul_(0.5) - level])
        projected.mul_(variance.rsqrt_()).addmm_(self.levels, levels)
        return projected.add_(self.student.component_offset[:, None])


@lru_cache(maxsize=32)
def _fold(
    student: Student, bands: BandTable, gain: tuple[float, ...], offset: tuple[float, ...]
) -> FoldedStudent:
    front = front_end(bands)
    used = np.flatnonzero(front.weights > 0)
    derivative_part = student.components[:, :-LEVEL_FEATURES].double().numpy()
    projection = derivative_part @ front.derivative[:, used]
    return FoldedStudent(
        student,
        used,
        np.array(bands.centers_nm)[used],
        gain=_column(gain, used),
        offset=_column(offset, used),
        projection=torch.from_numpy(projection.astype(np.float32)),
        levels=student.components[:, -LEVEL_FEATURES:].contiguous(),
        weights=torch.from_numpy(front.weights[used].astype(np.float32)[None]),
    )


def _column(values: tuple[float, ...], used: NDArray[np.intp]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32)[used][:, None])
