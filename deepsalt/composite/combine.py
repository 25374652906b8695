"""Sums over the scenes of one block, pixel by pixel, and what becomes of them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepsalt.layers import DATE_FILL, MOSAIC_LAYERS
from deepsalt.types import REJECTING, Basis

Floats = NDArray[np.float64]

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

LOOK_BYTES = 36
"""Memory of one `Look` per pixel."""

_REJECTING = np.uint16(REJECTING)
_OUTSIDE = np.uint16(Basis.OUTSIDE)


class Look(NamedTuple):
    """Estimates that a scene contributes to a block (m pixels).

    Parameters
    ----------
    at
        Flat indices of the pixels, each once, int32.
    logs
        Salinity, lower and upper end of its interval, log1p(dS/m).
    weight
        Inverse square of the interval's width in log1p times the feather's weight.
    """

    at: NDArray[np.int32]
    logs: tuple[Floats, Floats, Floats]
    weight: Floats


class Block:
    """Accumulators over the scenes of one block, flat over its pixels."""

    def __init__(self, shape: tuple[int, int]) -> None:
        n = shape[0] * shape[1]
        self.shape = shape
        self.weight, self.value, self.lower, self.upper = np.zeros((4, n))
        # Spread is summed relative to the first contributor: equal values then differ by exactly 0.
        self.first, self.plain, self.shift, self.shift2 = np.zeros((4, n))
        self.count, self.advice, self.reasons = np.zeros((3, n), np.uint16)
        self.last = np.full(n, DATE_FILL, np.int32)
        self.measured = np.zeros(n, np.bool_)
        self.looks: list[Look] = []

    def add(self, place: NDArray[np.int32], values: dict[str, NDArray[Any]], day: int) -> None:
        """Add one scene.

        Parameters
        ----------
        place
            Flat pixel indices (m), each once.
        values
            Layers of the scene product there (m), and `feather`, the weight of its edge.
        day
            Day since 1970-01-01; DATE_FILL when unknown.
        """
        basis = values["basis"]
        ends = [values[name] for name in ("salinity", "salinity_lower", "salinity_upper")]
        counts = (basis & _REJECTING == 0) & np.isfinite(ends).all(axis=0) & (ends[1] > -1)
        measured = basis & _OUTSIDE == 0
        # A pixel without an estimate and without a reason can only be a defect.
        reason = np.where(basis & _REJECTING == 0, np.uint16(Basis.DEFECTIVE), basis & _REJECTING)
        seen = measured & ~counts
        self.measured[place[measured]] = True
        self.reasons[place[seen]] |= reason[seen]
        at = place[counts]
        self._add_estimates(at, tuple(end[counts] for end in ends), values["feather"][counts])
        self.advice[at] |= basis[counts] & ~_REJECTING
        self.last[at] = np.maximum(self.last[at], day)

    def _add_estimates(
        self, at: NDArray[np.int32], ends: tuple[NDArray[np.float32], ...], edge: Floats
    ) -> None:
        value, lower, upper = (np.log1p(end.astype(np.float64)) for end in ends)
        plain = np.maximum(upper - lower, MIN_WIDTH) ** -2
        look = Look(at, (value, lower, upper), plain * edge)
        self._sum(at, look.weight, look.logs)
        salinity = ends[0].astype(np.float64)
        self.first[at] = np.where(self.count[at] == 0, salinity, self.first[at])
        shift = salinity - self.first[at]
        self.plain[at] += plain
        self.shift[at] += plain * shift
        self.shift2[at] += plain * shift**2
        self.count[at] += np.uint16(1)
        self.looks.append(look)

    def _sum(
        self, at: NDArray[np.integer], weight: Floats, logs: tuple[Floats, Floats, Floats]
    ) -> None:
        value, lower, upper = logs
        self.weight[at] += weight
        self.value[at] += weight * value
        self.lower[at] += weight * lower
        self.upper[at] += weight * upper

    def _doubt_outliers(self) -> None:
        """Sum anew where three or more contribute, each weighed by how far it is from the others.

        A scene is judged by mean and spread of all others, itself left out: a bad scene cannot
        widen the spread that it is judged by. The factor is smooth in all weights and equal for
        both of two scenes, so where a third one's weight fades to 0 nothing jumps.
        """
        many = np.flatnonzero(self.count >= ROBUST_FROM)
        if not many.size:
            return
        place = np.full(self.count.size, -1, np.int32)
        place[many] = np.arange(many.size, dtype=np.int32)
        for index, look in enumerate(self.looks):  # one by one, so that memory holds them once
            self.looks[index] = _part(look, place)
        moments = np.zeros((3, many.size))
        center = self.value[many] / self.weight[many]
        for at, (value, _, _), weight in self.looks:
            shift = value - center[at]
            moment = weight * shift
            for total, power in zip(moments, (weight, moment, moment * shift), strict=True):
                total[at] += power
        for sums in (self.weight, self.value, self.lower, self.upper):
            sums[many] = 0.0
        for at, logs, weight in self.looks:
            trust = _trust(logs[0] - center[at], weight, moments[:, at])
            self._sum(many[at], weight * trust, logs)

    def layers(self) -> dict[str, NDArray[Any]]:
        """Return `MOSAIC_LAYERS` (h, w)."""
        self._doubt_outliers()
        at = np.flatnonzero(self.measured)
        found = self._measured(at)
        layers = {}
        for layer in MOSAIC_LAYERS:
            values = np.full(self.shape, layer.fill, layer.dtype)
            values.reshape(-1)[at] = found[layer.name]
            layers[layer.name] = values
        return layers

    def _measured(self, at: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
        """Return the layers of pixels that a scene measured (m); of others they are the fill."""
        count = self.count[at]
        estimated = count > 0
        weight = np.where(estimated, self.weight[at], np.nan)
        plain = np.where(estimated, self.plain[at], np.nan)
        salinity = np.expm1(self.value[at] / weight)
        variance = self.shift2[at] / plain - (self.shift[at] / plain) ** 2
        spread = np.sqrt(np.maximum(variance, 0.0))
        return {
            "salinity": salinity,
            # Rounding must not put an end of the interval on the wrong side.
            "salinity_lower": np.minimum(np.expm1(self.lower[at] / weight), salinity),
            "salinity_upper": np.maximum(np.expm1(self.upper[at] / weight), salinity),
            "basis": np.where(estimated, self.advice[at], self.reasons[at]),
            "observations": count,
            "last_observed": self.last[at],
            "disagreement": np.where(count > 1, spread, np.nan),
        }


def _part(look: Look, place: NDArray[np.int32]) -> Look:
    """Return the part of a look that falls on chosen pixels, at their new places."""
    at = place[look.at]
    chosen = at >= 0
    value, lower, upper = (each[chosen] for each in look.logs)
    return Look(at[chosen], (value, lower, upper), look.weight[chosen])


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
    others, first, second = (
        moments[0] - weight,
        moments[1] - moment,
        moments[2] - moment * shift,
    )
    mean = first / others
    variance = np.maximum(second / others - mean**2, 0.0) + ORDINARY**2
    return np.asarray(1.0 / (1.0 + (shift - mean) ** 2 / (variance * TOLERANCE**2)))
