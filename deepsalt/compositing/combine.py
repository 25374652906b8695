"""Sums over the scenes of one block, pixel by pixel, and what becomes of them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepsalt.layers import CHANCE, CHANCE_FILL, DATE_FILL, MOSAIC_LAYERS, THRESHOLDS_DS_M
from deepsalt.types import REJECTING, Floats, QualityFlag

MIN_WIDTH = 0.02
"""Shortest interval, in log1p(dS/m), that weights believe: about 2 %, finer than any salinity
measurement, so that a degenerate interval cannot silence all other scenes."""

ORDINARY = 0.1
"""Difference between scenes, in log1p(dS/m), that is always ordinary: about 10 %, what noise and
moisture leave between two good looks at the same soil."""

TOLERANCE = 2.0
"""Distance from the other scenes, in units of their spread, at which a scene's weight halves."""

ROBUST_FROM = 3
"""Contributors from which on a scene can be told apart from the others: of two scenes that differ
nobody knows which is wrong."""

CONTRIBUTION_BYTES = 32 + 2 * len(THRESHOLDS_DS_M)
"""Memory of one `Contribution` per pixel."""

_REJECTING = np.uint16(REJECTING)
_OUTSIDE = np.uint16(QualityFlag.OUTSIDE)


class Contribution(NamedTuple):
    """Contribution of a scene to the sums of a block (n pixels).

    Parameters
    ----------
    logs
        Salinity, lower and upper end of its interval, log1p(dS/m); 0 where it has no estimate.
    weight
        Inverse square of the interval's width in log1p times the feather's weight; 0 where it has
        no estimate.
    chances
        Probabilities, steps (t, n); anything where it has no estimate.
    """

    logs: tuple[Floats, Floats, Floats]
    weight: Floats
    chances: NDArray[np.uint16]


class Accumulators:
    """Accumulators over the scenes of one block, flat over its n pixels.

    All sums run over all pixels, with 0 where a scene does not count: faster than picking those
    where it does.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        n = shape[0] * shape[1]
        self.shape = shape
        self.weight, self.value, self.lower, self.upper = np.zeros((4, n))
        # Spread is summed relative to the first contributor: equal values then differ by exactly 0.
        self.first, self.plain, self.shift, self.shift2 = np.zeros((4, n))
        self.chances = np.zeros((len(THRESHOLDS_DS_M), n))
        self.count, self.advice, self.reasons = np.zeros((3, n), np.uint16)
        self.last = np.full(n, DATE_FILL, np.int32)
        self.measured = np.zeros(n, np.bool_)
        self.contributions: list[Contribution] = []

    def add(self, inside: NDArray[np.bool_], values: dict[str, NDArray[Any]], day: int) -> None:
        """Add one scene.

        Parameters
        ----------
        inside
            Pixels that the scene covers (n).
        values
            Layers of the scene product (..., n), and `feather`, the weight of its edge; anything
            outside.
        day
            Day since 1970-01-01; DATE_FILL when unknown.
        """
        quality_flags = values["quality_flags"]
        ends = [values[name] for name in ("salinity", "salinity_lower", "salinity_upper")]
        rejecting = quality_flags & _REJECTING
        measured = inside & (quality_flags & _OUTSIDE == 0)
        counts = inside & (rejecting == 0) & (ends[1] > -1)
        for end in ends:
            counts &= np.isfinite(end)
        counts &= (values[CHANCE] != CHANCE_FILL).all(axis=0)
        self.measured |= measured
        # A pixel without an estimate and without a reason can only be a defect.
        reason = np.where(rejecting == 0, np.uint16(QualityFlag.DEFECTIVE), rejecting)
        self.reasons |= reason * (measured & ~counts)
        self.advice |= (quality_flags & ~_REJECTING) * counts
        np.maximum(self.last, np.int32(day), out=self.last, where=counts)
        self._add_estimates(counts, ends, values[CHANCE], values["feather"])

    def _add_estimates(
        self,
        counts: NDArray[np.bool_],
        ends: list[NDArray[np.float32]],
        chances: NDArray[np.uint16],
        edge: Floats,
    ) -> None:
        salinity, *_ = estimates = [np.where(counts, end, np.float64(0)) for end in ends]
        value, lower, upper = (np.log1p(end) for end in estimates)
        plain = counts / np.maximum(upper - lower, MIN_WIDTH) ** 2
        contribution = Contribution((value, lower, upper), plain * edge, chances)
        self._sum(contribution.weight, contribution)
        np.copyto(self.first, salinity, where=counts & (self.count == 0))
        shift = salinity - self.first
        self.plain += plain
        self.shift += plain * shift
        self.shift2 += plain * shift**2
        self.count += counts
        self.contributions.append(contribution)

    def _sum(self, weight: Floats, contribution: Contribution) -> None:
        value, lower, upper = contribution.logs
        self.chances += weight * contribution.chances
        self.weight += weight
        self.value += weight * value
        self.lower += weight * lower
        self.upper += weight * upper

    def _doubt_outliers(self) -> None:
        """Sum anew where three or more contribute, each weighed by how far it is from the others.

        A scene is judged by mean and spread of all others, itself left out: a bad scene cannot
        widen the spread that it is judged by. The factor is smooth in all weights and equal for
        both of two scenes, so where a third one's weight fades to 0 nothing jumps.
        """
        many = self.count >= ROBUST_FROM
        if not many.any():
            return
        center = np.divide(self.value, self.weight, out=np.zeros_like(self.value), where=many)
        moments = np.zeros((3, many.size))
        for (value, _, _), weight, _ in self.contributions:
            shift = value - center
            moment = weight * shift
            for total, power in zip(moments, (weight, moment, moment * shift), strict=True):
                total += power
        for sums in (self.weight, self.value, self.lower, self.upper):
            sums[many] = 0.0
        self.chances[:, many] = 0.0
        for each in self.contributions:
            trust = _trust(each.logs[0] - center, each.weight, moments)
            self._sum(np.where(many, each.weight * trust, 0.0), each)

    def layers(self) -> dict[str, NDArray[Any]]:
        """Return `MOSAIC_LAYERS` (..., h, w)."""
        self._doubt_outliers()
        found = self._measured()
        measured = self.measured.reshape(self.shape)
        return {
            layer.name: np.where(
                measured,
                found[layer.name].reshape(layer.shape(*self.shape)),
                np.asarray(layer.fill),
            ).astype(layer.dtype)
            for layer in MOSAIC_LAYERS
        }

    def _measured(self) -> dict[str, NDArray[Any]]:
        """Return the layers (..., n) as they are where a scene measured; others get the fill."""
        count = self.count
        estimated = count > 0
        weight = np.where(estimated, self.weight, np.nan)
        plain = np.where(estimated, self.plain, np.nan)
        salinity = np.expm1(self.value / weight)
        variance = self.shift2 / plain - (self.shift / plain) ** 2
        spread = np.sqrt(np.maximum(variance, 0.0))
        chances = np.where(estimated, np.rint(self.chances / weight), CHANCE_FILL)
        return {
            CHANCE: chances,
            "salinity": salinity,
            # Rounding must not put an end of the interval on the wrong side.
            "salinity_lower": np.minimum(np.expm1(self.lower / weight), salinity),
            "salinity_upper": np.maximum(np.expm1(self.upper / weight), salinity),
            "quality_flags": np.where(estimated, self.advice, self.reasons),
            "observations": count,
            "last_observed": self.last,
            "disagreement": np.where(count > 1, spread, np.nan),
        }


def _trust(shift: Floats, weight: Floats, moments: Floats) -> Floats:
    """Return the factor (m,) by which a scene's weight falls, 1 where it agrees with the others.

    Parameters
    ----------
    shift, weight
        Of the scene (m,).
    moments
        Sums of weight, weight x shift and weight x shift² of all scenes, itself included (3, m).
    """
    moment = weight * shift
    # No weight at all is left where nobody else contributes; what comes out there is not used.
    others = np.maximum(moments[0] - weight, np.finfo(np.float64).tiny)
    first = moments[1] - moment
    second = moments[2] - moment * shift
    mean = first / others
    variance = np.maximum(second / others - mean**2, 0.0) + ORDINARY**2
    return np.asarray(1.0 / (1.0 + (shift - mean) ** 2 / (variance * TOLERANCE**2)))
