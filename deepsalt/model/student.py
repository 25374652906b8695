"""The student: two kernel machines on the components of a spectrum.

    spectrum (band)
      -> components  linear, divided by the spectrum's standard deviation (`folded`)
      -> noise       energy of components that no soil has: how noisy this spectrum is
      -> shrinkage   each component times signal / (signal + noise): the Wiener filter
      -> machine     distances to a few hundred inducing points, inverse multiquadric, two heads
      -> location and width of log(EC + 0.03 dS/m)
      -> salinity (the mean of log(1 + EC) over the residuals' quantiles), interval, advice,
         probability of an EC above each of four thresholds

    components -> domain score: how unlike the training's soils and salt crusts a spectrum is, or
                  how much more like a built surface

Spectra as low in noise as a laboratory's go to a second machine that is too large for scenes: the
teacher itself. In a batch without any it is not computed.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import THRESHOLDS_DS_M
from deepsalt.model.kernel import COLUMNS, machine
from deepsalt.model.memory import Memory
from deepsalt.spectral.transform import MIN_VARIANCE
from deepsalt.types import QualityFlag

HEADS = ("location", "log width")
"""Heads of a machine, on log(EC + 0.03)."""

_FLAT = (1.0 - 1e-4) * MIN_VARIANCE**-0.5
_SAME = 1e5  # square of mean over deviation: above it, rounding decides how a spectrum varies
LOG_WIDTHS = (-3.0, 2.5)
"""Bounds of the logarithm of a width."""

CHANCE_KNOTS = (-16.0, 16.0, 1025)
"""First, last and number of the knots, of equal steps, at which probabilities are tabulated.

Of how far an answer lies above a threshold, in units of its width; between knots they are linear,
which is off by at most 6e-5 where the tabulated function has the kernel's curvature.
"""

STEEPNESS = 2.0
"""How fast an excluded class of EC lets go of an interval's end: log units per log unit.

On SIMULATED pixels intervals are 6 % wider than those whose ends jump; 10 costs 1 %, but makes
more of rounding than `TOLERANCE_DS_M` allows between instruction sets.
"""

ROWS = 4 + len(THRESHOLDS_DS_M)
"""Values of an estimate: salinity, lower, upper, probabilities, domain score."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimates of the student for s spectra.

    Parameters
    ----------
    salinity, lower, upper
        Surface electrical conductivity and its interval, dS/m, float32 (s,); lower <= salinity <=
        upper; NaN if a spectrum could not be completed.
    flags
        `QualityFlag` bits OUT_OF_DOMAIN and EXTRAPOLATED, uint16 (s,).
    domain_score
        How far a spectrum is from the training's domain, float32 (s,): OUT_OF_DOMAIN above 1.
    chances
        Probability of an EC above each of `THRESHOLDS_DS_M`, float32 (t, s), not rising along t;
        NaN as above.
    """

    salinity: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    flags: NDArray[np.uint16]
    domain_score: NDArray[np.float32]
    chances: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32], flags: NDArray[np.uint16]) -> Self:
        """Return estimates of `ROWS` values (v, s) and flags (s,), as `Student.answer` orders."""
        salinity, lower, upper = values[:3]
        return cls(salinity, lower, upper, flags, values[-1], values[3:-1])


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """Weights of the student; all float32.

    Parameters
    ----------
    components, component_offset
        Rows on the features (k + t, n_features), (k + t,): first the k that enter the machine,
        the `BROAD_FEATURES` last among them, in units of the soils' spread; then t in which soils
        hardly differ, in units of a satellite's noise.
    domain, domain_offset, domain_shrinkage
        Directions on the components, of unit variance among the training's unadapted soils and salt
        crusts, and the variance that a satellite's noise adds to each (r, k + t), (r,), (r,).
    contrast, contrast_offset, contrast_weights
        Squares whose weighted sum is above 1 for what is rather a built surface than a soil, on the
        shrunk and scaled components (f, k), (f,), (f,); f = 0: there is no such test.
    shrinkage
        Noise over signal variance of the components at unit noise (k,).
    scale
        Factor on the shrunk components: units of the kernel's length (k,).
    inducing_points, heads, heads_bias
        The machine for satellites (m, k), (2, m), (2, 1); heads in the order of `HEADS`.
    low_noise_components, low_noise_offset
        Scaled components of the machine for low-noise spectra (q, n_features), (q,).
    low_noise_inducing_points, low_noise_heads, low_noise_bias
        That machine (n, q), (2, n), (2, 1); n = 0: there is none.
    nodes, low_noise_nodes
        Quantiles of the residuals in units of the width, of equal probability (j,).
    intervals, low_noise_intervals
        Classes of EC, from calibration (c, 4): where one begins and ends on log(EC + 0.03), and
        the factors on the width that an EC of it may lie below and above the location.
    chances, low_noise_chances
        Probability of a higher EC at `CHANCE_KNOTS` (1025,).
    limits
        EC_MAX and the EXTRAPOLATED threshold, dS/m; thresholds of T² and of Q; noise level below
        which a spectrum is low-noise; noise that counts per flatness in T² (6,).
    """

    components: Tensor
    component_offset: Tensor
    domain: Tensor
    domain_offset: Tensor
    domain_shrinkage: Tensor
    contrast: Tensor
    contrast_offset: Tensor
    contrast_weights: Tensor
    shrinkage: Tensor
    scale: Tensor
    inducing_points: Tensor
    heads: Tensor
    heads_bias: Tensor
    low_noise_components: Tensor
    low_noise_offset: Tensor
    low_noise_inducing_points: Tensor
    low_noise_heads: Tensor
    low_noise_bias: Tensor
    nodes: Tensor
    low_noise_nodes: Tensor
    intervals: Tensor
    low_noise_intervals: Tensor
    chances: Tensor
    low_noise_chances: Tensor
    limits: Tensor

    @property
    def kept(self) -> int:
        """Components that enter the machine (k)."""
        return int(self.inducing_points.shape[1])

    def macs_per_pixel(self, bands: int) -> int:
        """Return the multiply-accumulates per pixel of a sensor with this many bands.

        For satellite spectra; low-noise ones cost `low_noise_macs_per_pixel` more.
        """
        machine = self.inducing_points.numel() + self.heads.numel()
        domain = self.domain.numel() + 2 * self.domain_shrinkage.numel()
        domain += self.contrast.numel() + 2 * self.contrast_weights.numel()
        return (self.components.shape[0] + 2) * bands + machine + domain

    def low_noise_macs_per_pixel(self, bands: int) -> int:
        """Return the further multiply-accumulates of a low-noise spectrum."""
        rows = self.low_noise_components.shape[0] * bands
        return rows + self.low_noise_inducing_points.numel() + self.low_noise_heads.numel()

    def moved(self, move: Callable[[Tensor], Tensor]) -> Self:
        """Return the same student with its weights moved; scalars are not moved."""
        stay = ("limits", "intervals", "low_noise_intervals")
        weights = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: move(v) for k, v in weights.items() if k not in stay})

    def noise(self, components: Tensor, memory: Memory) -> Tensor:
        """Return the noise variance of spectra over a satellite's (s,), of (k + t, s)."""
        tail = components[self.kept :]
        squares = torch.mul(tail, tail, out=memory.matrix("tail", tail.shape[0], tail))
        return squares.sum(0).div_(max(tail.shape[0], 1))

    def answer(
        self,
        components: Tensor,
        scatter: Tensor,
        flatness: Tensor,
        low_noise_inputs: Callable[[Tensor], Tensor],
        memory: Memory | None = None,
    ) -> tuple[Tensor, ...]:
        """Return `ROWS` values of spectra and then their flags, (s,) each.

        Values are salinity, lower, upper, a probability for each threshold, and the domain score.

        Parameters
        ----------
        components
            (k + t, s)
        scatter, flatness
            1 / deviation, 1 / reflectance, and the square of mean over deviation (s,).
        low_noise_inputs
            Gives the low-noise machine's components (q, n) of the spectra of n indices; called
            where a spectrum is low-noise, with n a multiple of the kernel's `COLUMNS`.
        memory
            What batches of this many spectra reuse.
        """
        memory = memory or Memory()
        noise = self.noise(components, memory)
        inputs = self.inputs(components, noise, memory)
        # Before the machine's answers: the inputs are still in the cache.
        built = self.built(inputs, memory)
        answers = machine(inputs, self.inducing_points, self.heads, self.heads_bias, memory)
        found = self.respond(answers, self.nodes, self.intervals, self.chances, memory)
        low_noise = self.low_noise(noise, scatter, flatness)
        if self.low_noise_inducing_points.shape[0] and bool(low_noise.any()):
            answers = self.forward_low_noise(low_noise_inputs, low_noise)
            better = self.respond(
                answers,
                self.low_noise_nodes,
                self.low_noise_intervals,
                self.low_noise_chances,
                memory,
            )
            pairs = zip(better, found, strict=True)
            found = tuple(torch.where(low_noise, new, old) for new, old in pairs)
        score = self.domain_score(components, noise, flatness, memory)
        torch.maximum(score, built, out=score)
        return *found, score, self.flags(found[0], score)

    def low_noise(self, noise: Tensor, scatter: Tensor, flatness: Tensor) -> Tensor:
        """Return which spectra go to the low-noise machine (s,), as `answer` takes them."""
        # A constant spectrum, such as a filled or saturated pixel, is not a laboratory spectrum.
        varies = torch.logical_and(scatter < _FLAT, flatness < _SAME)
        return torch.logical_and(varies, noise < self.limits[4])

    def inputs(self, components: Tensor, noise: Tensor, memory: Memory) -> Tensor:
        """Return shrunk and scaled components (k, s) of components (k + t, s)."""
        # scale / (1 + shrinkage * noise), in as few passes as there are; `addcmul` with a column
        # is not vectorised.
        length = self.scale.reciprocal()[:, None]
        divisor = memory.matrix("divisor", self.kept, components)
        torch.mul(self.shrinkage[:, None] * length, noise, out=divisor).add_(length)
        return torch.div(components[: self.kept], divisor, out=divisor)

    def built(self, inputs: Tensor, memory: Memory) -> Tensor:
        """Return how much a spectrum rather is a built surface than a soil (s,), of inputs (k, s).

        Log odds over their limit: out of domain above 1.
        """
        forms = self.contrast.shape[0]
        if not forms:
            return inputs.new_zeros(inputs.shape[1])
        squares = memory.matrix("forms", forms, inputs)
        torch.addmm(self.contrast_offset[:, None], self.contrast, inputs, out=squares)
        return torch.mv(squares.square_().T, self.contrast_weights)

    def forward_low_noise(self, inputs: Callable[[Tensor], Tensor], low_noise: Tensor) -> Tensor:
        """Return the low-noise machine's answers (2, s) where `low_noise` (s,), 0 elsewhere."""
        # It is ten times as large as the other machine, and often few spectra of a batch need it.
        chosen = low_noise.nonzero()[:, 0]
        # Filled up to whole parts of the kernel, whose bits depend on the shape of its products.
        padded = chosen.new_zeros(-(-chosen.numel() // COLUMNS) * COLUMNS)
        padded[: chosen.numel()] = chosen
        found = machine(
            inputs(padded),
            self.low_noise_inducing_points,
            self.low_noise_heads,
            self.low_noise_bias,
        )
        answers = found.new_zeros(found.shape[0], low_noise.shape[0])
        answers[:, chosen] = found[:, : chosen.numel()]
        return answers

    def respond(
        self, answers: Tensor, nodes: Tensor, intervals: Tensor, chances: Tensor, memory: Memory
    ) -> tuple[Tensor, ...]:
        """Return salinity, lower, upper and probabilities (s,) each, for answers (2, s).

        Salinity, dS/m, is exp(E[log(1 + EC)]) - 1: the smearing estimate (Duan 1983) on the scale
        on which maps are scored, since the mean of a logarithm says too little about the tail.
        """
        ec_max = float(self.limits[0])
        location = answers[0]
        width = answers[1].clamp(*LOG_WIDTHS).exp_()
        likely = memory.matrix("likely", nodes.shape[0], answers)
        torch.mul(nodes[:, None], width, out=likely).add_(location)
        salinity = _conductivity(likely, ec_max).log1p_().mean(0).expm1_().clamp_(0.0, ec_max)
        lower, upper = (_conductivity(end, ec_max) for end in hull(location, width, intervals))
        above = _chances(location, width, chances)
        return salinity, torch.minimum(lower, salinity), torch.maximum(upper, salinity), *above

    def flags(self, salinity: Tensor, score: Tensor) -> Tensor:
        """Return the advising bits (s,) int32 of salinity (s,), dS/m, and domain score (s,)."""
        bits = (score > 1.0).int() * int(QualityFlag.OUT_OF_DOMAIN)
        return bits | ((salinity > self.limits[1]).int() * int(QualityFlag.EXTRAPOLATED))

    def domain_score(
        self, components: Tensor, noise: Tensor, flatness: Tensor, memory: Memory
    ) -> Tensor:
        """Return the larger of T² and Q over their thresholds (s,), of components (k + t, s).

        Q is the noise (s,); flatness, the square of mean over standard deviation (s,).
        """
        distance = self.distance(components, noise, flatness, memory) / self.limits[2]
        return torch.maximum(distance, noise / self.limits[3])

    def distance(
        self, components: Tensor, noise: Tensor, flatness: Tensor, memory: Memory
    ) -> Tensor:
        """Return Hotelling's T² (s,), each direction's variance with what noise adds to it."""
        rows = self.domain.shape[0]
        scores = memory.matrix("scores", rows, components)
        torch.addmm(self.domain_offset[:, None], self.domain, components, out=scores)
        variance = memory.matrix("variance", rows, components)
        torch.mul(self.domain_shrinkage[:, None], noise + self.limits[5] * flatness, out=variance)
        return scores.square_().div_(variance.add_(1.0)).sum(0)


def _conductivity(log_ec: Tensor, ec_max: float) -> Tensor:
    """Return exp(x) - 0.03 within [0, ec_max], dS/m, in the memory of x."""
    # Bounded before the exponential, so that no input can overflow it.
    ceiling = float(np.log(ec_max + EC_SHIFT))
    return log_ec.clamp_(max=ceiling).exp_().sub_(EC_SHIFT).clamp_(0.0, ec_max)


def hull(location: Tensor, width: Tensor, intervals: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the largest log(EC + 0.03) (s,) that no class excludes.

    A class that is just excluded still draws the nearer end towards its border, less by `STEEPNESS`
    times what it lacks: no end jumps where rounding takes a class in or out. Where all are
    excluded, nothing can be told: the interval is open.
    """
    lower = torch.full_like(location, torch.inf)
    upper = torch.full_like(location, -torch.inf)
    for lowest, highest, below, above in intervals.tolist():
        first = (location - below * width).clamp_(min=lowest)
        last = (location + above * width).clamp_(max=highest)
        lacks = (first - last).clamp_(min=0.0).mul_(STEEPNESS)
        lower = torch.minimum(lower, first + lacks)
        upper = torch.maximum(upper, last - lacks)
    none = lower > upper
    return lower.masked_fill_(none, -torch.inf), upper.masked_fill_(none, torch.inf)


def _chances(location: Tensor, width: Tensor, table: Tensor) -> list[Tensor]:
    """Return the probability (s,) of an EC above each threshold, from a table at `CHANCE_KNOTS`."""
    first, last, count = CHANCE_KNOTS
    per_width = (count - 1) / (last - first) / width
    rises = torch.diff(table, append=table[-1:])
    found = []
    for threshold in THRESHOLDS_DS_M:
        place = (location - float(np.log(threshold + EC_SHIFT))).mul_(per_width)
        place = place.add_(-first * (count - 1) / (last - first)).clamp_(0.0, count - 1.0)
        knot = place.int().clamp_(0, count - 1)  # of no number as well
        rise = rises.index_select(0, knot)
        found.append(table.index_select(0, knot).addcmul_(rise, place.sub_(knot)))
    return found
