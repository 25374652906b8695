"""Absorption features of salts and their confusers, on the bands of any sensor.

Positions are minima after continuum removal that were measured in USGS library spectra (Kokaly et
al. 2017, splib07) at 10 nm; shoulders were set beside them on the same spectra. Satellites deliver
nothing from about 1391 to 1461 nm and from 1760 to 1939 nm, so the deepest bands of hydrated salts
(1440-1450 and 1926-1977 nm) show only by their outer edges.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.types import BandTable

REACH_NM = 20.0
"""Reflectance at a wavelength is interpolated between usable bands at most this far away, nm."""

MIN_REFLECTANCE = 0.005
"""Reflectance below it counts as this much in ratios: correction gives negative values over dark
surfaces, which turn a ratio over."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One absorption feature: how far reflectance falls below its shoulders.

    Parameters
    ----------
    name
        Substance and position, nm.
    left_nm, right_nm
        Shoulders, nm. None where the shoulder lies in a water-vapour window: the depth of such an
        edge is taken against the other shoulder alone.
    centers_nm
        Positions whose mean reflectance is compared with the continuum, nm.
    kind
        What absorbs there.
    """

    name: str
    left_nm: float | None
    centers_nm: tuple[float, ...]
    right_nm: float | None
    kind: Literal["gypsum", "hydrate", "carbonate salt", "clay", "carbonate", "dry plant"]


FEATURES = (
    # The part of the triplet 1443, 1492, 1532 nm that lies outside the water vapour.
    Feature("gypsum_1492", 1472.0, (1492.0,), 1516.0, "gypsum"),
    Feature("gypsum_1532", 1516.0, (1532.0, 1540.0), 1580.0, "gypsum"),
    # Left edge; hydrated chlorides (carnallite) fall there as well.
    Feature("gypsum_1751", 1690.0, (1751.0,), None, "gypsum"),
    # Inside the clays' 2207 nm: read beside clay_2207.
    Feature("gypsum_2217", 2186.0, (2217.0,), 2248.0, "gypsum"),
    Feature("gypsum_2267", 2248.0, (2267.0,), 2295.0, "gypsum"),
    # Right edge of the water band at 1936-1977 nm; a film of moisture gives the same.
    Feature("hydrate_1980", None, (1980.0, 1990.0), 2100.0, "hydrate"),
    Feature("bloedite_1681", 1640.0, (1681.0,), 1715.0, "hydrate"),
    Feature("kieserite_2127", 2050.0, (2087.0, 2127.0), 2170.0, "hydrate"),
    Feature("polyhalite_2376", 2330.0, (2376.0,), 2416.0, "hydrate"),
    # Left edge; gypsum, bloedite and the hydroxyl fall towards 2500 nm.
    Feature("hydrate_2416", 2290.0, (2416.0,), None, "hydrate"),
    Feature("trona_2037", 2000.0, (2037.0,), 2090.0, "carbonate salt"),
    Feature("kaolinite_2167", 2120.0, (2167.0,), 2190.0, "clay"),
    Feature("clay_2207", 2120.0, (2207.0,), 2250.0, "clay"),
    Feature("illite_2346", 2295.0, (2346.0,), 2385.0, "clay"),
    Feature("dolomite_2316", 2270.0, (2316.0,), 2366.0, "carbonate"),
    Feature("calcite_2336", 2300.0, (2336.0,), 2376.0, "carbonate"),
    Feature("cellulose_2100", 2000.0, (2100.0,), 2200.0, "dry plant"),
)
"""Features in the order of the columns of `feature_depths`.

All positions are those of the sources above. Bloedite and kieserite have no open specimen beside
this code: their shoulders stand at the distance of the others and are untested.
"""


def feature_depths(reflectance: NDArray[np.floating], bands: BandTable) -> NDArray[np.float64]:
    """Return the depth of each of `FEATURES` below the straight line between its shoulders.

    Parameters
    ----------
    reflectance
        (s, n); NaN where missing.
    bands
        The n bands; unusable ones are ignored.

    Returns
    -------
    NDArray[np.float64]
        1 - reflectance / continuum (s, n features): 0 without absorption, negative where the
        spectrum bulges. NaN where the sensor does not cover the feature or a band is missing.
    """
    at = Sampler(reflectance, bands)
    return np.column_stack([_depth(at, feature) for feature in FEATURES])


def _depth(at: "Sampler", feature: Feature) -> NDArray[np.float64]:
    middle = float(np.mean(feature.centers_nm))
    center = np.mean([at(nm) for nm in feature.centers_nm], axis=0)
    # An edge is held against its one shoulder: the line is level.
    left_nm = feature.right_nm if feature.left_nm is None else feature.left_nm
    right_nm = feature.left_nm if feature.right_nm is None else feature.right_nm
    if left_nm is None or right_nm is None:
        raise FormatError(f"feature {feature.name} has no shoulder; give at least one shoulder")
    share = 0.0 if left_nm == right_nm else (middle - left_nm) / (right_nm - left_nm)
    continuum = (1.0 - share) * at(left_nm) + share * at(right_nm)
    depth: NDArray[np.float64] = 1.0 - center / continuum
    return depth


class Sampler:
    """Reflectance of spectra at any wavelength, at least `MIN_REFLECTANCE`: (s,)."""

    def __init__(self, reflectance: NDArray[np.floating], bands: BandTable) -> None:
        if reflectance.ndim != 2 or reflectance.shape[1] != len(bands):
            raise FormatError(
                f"spectra of shape {reflectance.shape} do not match {len(bands)} bands; give one "
                f"row per spectrum and one column per band"
            )
        centers = np.array(bands.centers_nm)
        order = np.argsort(centers, kind="stable")
        self._columns = order[np.array(bands.usable)[order]]
        self._nm = centers[self._columns]
        self._half = np.array(bands.fwhm_nm)[self._columns] / 2
        self._reflectance = reflectance

    def __call__(self, nm: float) -> NDArray[np.float64]:
        """Return the reflectance at a wavelength, NaN where no usable band reaches it (s,)."""
        right = int(np.searchsorted(self._nm, nm))
        left = right - 1
        after = right < self._nm.size and self._nm[right] - nm <= REACH_NM
        before = left >= 0 and nm - self._nm[left] <= REACH_NM
        if after and (not before or self._nm[right] == nm):
            return self._value(right, nm)
        if before and not after:
            return self._value(left, nm)
        if not before:
            return np.full(self._reflectance.shape[0], np.nan)
        share = (nm - self._nm[left]) / (self._nm[right] - self._nm[left])
        low, high = (self._column(position) for position in (left, right))
        return _floored((1.0 - share) * low + share * high)

    def _value(self, position: int, nm: float) -> NDArray[np.float64]:
        """Return one band's reflectance where the wavelength lies in the band, else NaN."""
        if abs(self._nm[position] - nm) > self._half[position]:
            return np.full(self._reflectance.shape[0], np.nan)
        return _floored(self._column(position))

    def _column(self, position: int) -> NDArray[np.float64]:
        return np.asarray(self._reflectance[:, self._columns[position]], dtype=np.float64)


def _floored(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(values, MIN_REFLECTANCE), dtype=np.float64)
