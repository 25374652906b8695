"""What the probabilities of a map say of limits of ECe, the EC of the saturation extract.

They are for a few thresholds of EC by the method of the labels. Between two thresholds the log-odds
follow a line over log(EC + 0.03), because a probability is nearly a logistic function of that
(`train/uncertainty/chance.py`). Where the method is another than ECe, who knows a factor for their
soils gives it with its error:

    P(ECe > limit) = mean over the factor f of P(EC > limit / f),

with log f normal, by Gauss-Hermite quadrature. The mean of a probability that is near 0 or 1 lies
nearer to one half than it does at the middle of f: an uncertain factor makes an uncertain class.
"""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import CHANCE_STEP
from deepsalt.types import Floats

MAX_BEYOND = 0.11
"""How far limits may reach beyond the calibrated thresholds, on the logarithm, on average over the
factor's error.

There the log-odds follow the outermost line. 0.11 is what an error of 0.3 reaches beyond a
threshold if the limit falls on it. Decision 57 has what it costs.
"""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_NORMAL_90 = 1.645
_ROUNDING = 1e-9  # of logarithms and their mean


@dataclass(frozen=True, slots=True)
class Known:
    """What probabilities of a map say of ECe.

    Parameters
    ----------
    thresholds
        EC with a calibrated probability, rising, dS/m by the map's method.
    factor
        ECe over EC by the map's method.
    sd_log
        Standard deviation of the logarithm of the factor's error; 0: the map is of ECe.
    """

    thresholds: tuple[float, ...]
    factor: float = 1.0
    sd_log: float = 0.0

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest threshold, dS/m ECe."""
        return self.thresholds[0] * self.factor, self.thresholds[-1] * self.factor

    def tells(self, limit: float) -> bool:
        """Whether the calibrated thresholds speak for a limit, dS/m ECe."""
        ends = np.log(self.span)
        at = math.log(limit)
        if not ends[0] - _ROUNDING <= at <= ends[1] + _ROUNDING:
            return False
        nodes, weights = self._factors()
        beyond = np.maximum(np.maximum(ends[0] - at + nodes, at - nodes - ends[1]), 0.0)
        lines = len(self.thresholds) > 1
        return float(weights @ beyond) <= MAX_BEYOND * lines + _ROUNDING

    def exceedance(self, chances: Floats, limit: float) -> Floats:
        """Return P(ECe > limit) (...,), which never rises with the limit.

        Parameters
        ----------
        chances
            P(EC > threshold) of each of the thresholds (..., t).
        limit
            dS/m ECe.
        """
        # Nothing is certain: a stored 0 or 1 is anything up to half a step away.
        sure = np.clip(chances, CHANCE_STEP / 2, 1 - CHANCE_STEP / 2)
        odds = np.log(sure) - np.log1p(-sure)
        found = np.zeros(odds.shape[:-1])
        for node, weight in zip(*self._factors(), strict=True):
            line = odds @ self._line(limit / self.factor * math.exp(-node))
            found += weight / (1.0 + np.exp(-line))
        return found

    def upper(self, salinity: xr.DataArray, upper: xr.DataArray) -> xr.DataArray:
        """Return the upper end of intervals, dS/m ECe.

        Its distance d from the estimate, on log(EC + `EC_SHIFT`), becomes the root of
        d² + (1.645 sd_log)², as where `validate` compares intervals with converted labels.
        """
        if not self.sd_log:
            return upper
        centre = np.log(salinity + EC_SHIFT)
        reach = np.hypot(np.log(upper + EC_SHIFT) - centre, _NORMAL_90 * self.sd_log)
        found: xr.DataArray = self.factor * (np.exp(centre + reach) - EC_SHIFT)
        return found

    def _factors(self) -> tuple[Floats, Floats]:
        """Return nodes of the logarithm of the factor's error, and their weights."""
        if not self.sd_log:
            return np.zeros(1), np.ones(1)
        return self.sd_log * _NODES, _WEIGHTS / _WEIGHTS.sum()

    def _line(self, ec: float) -> Floats:
        """Return the share of each threshold's log-odds in those of an EC (t,)."""
        shares = np.zeros(len(self.thresholds))
        if shares.size == 1:
            return np.ones(1)
        at = math.log(ec + EC_SHIFT)
        places = np.log(np.array(self.thresholds) + EC_SHIFT)
        left = int(np.clip(np.searchsorted(places, at) - 1, 0, shares.size - 2))
        part = (at - places[left]) / (places[left + 1] - places[left])
        shares[left : left + 2] = 1.0 - part, part
        return shares
