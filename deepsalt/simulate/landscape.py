"""Ground of known salinity: what grows and lies at any geographic position.

Every property is an analytic function of position (sums of waves, and parcels told apart by a
hash), so that scenes on different grids, in different UTM zones and on different dates see the
same ground. Fields, playas with salt crusts, a lake, a river, shrubs: enough to look like an
irrigated dry land, and nothing that a model could know beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from deepsalt.grid.sphere import EARTH_M
from deepsalt.simulate.geodesy import lonlat_of_pixels
from deepsalt.simulate.optics import GYPSUM_LIKE, MixingConfig, ec_from_salt, is_salt
from deepsalt.simulate.specimens import Mineral, Use, soil_basis, specimens
from deepsalt.types import PixelGrid

Field = NDArray[np.float64]

GREEN_KINDS = 6
"""Kinds of crop and shrub that differ in spectrum."""

_PARCEL_M = (640.0, 330.0)  # a field of irrigated land
# of the basin field, whose standard deviation is 1
_LAKE = 1.95
_SHORE = 1.5
# mass fractions of the crust
_SALT_LIMIT = 0.16
_GYPSUM_LIMIT = 0.3
_MEAN_SALT = 0.0022
_MEAN_GYPSUM = 0.0008


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Ground at n positions.

    Parameters
    ----------
    salinity
        Conductivity of a water extract (`MixingConfig.extract_water_l_kg`), dS/m; NaN in open
        water (n,).
    mass
        Mass fractions in the crust of `Landscape.minerals` (n, k).
    soil_scores
        Scores of the soil basis (n, 10).
    green, dry, water
        Areal shares of green plants, dry plants and open water (n,); they sum to at most 1.
    green_kind
        Kind of plant, 0 to `GREEN_KINDS` - 1 (n,).
    film_mm
        Thickness of the water film on the ground, mm (n,).
    light
        Factor on the illumination, from micro-relief and tillage (n,).
    """

    salinity: Field
    mass: Field
    soil_scores: Field
    green: Field
    dry: Field
    water: Field
    green_kind: NDArray[np.int64]
    film_mm: Field
    light: Field


class Waves:
    """A random field: a sum of plane waves, mean 0, standard deviation 1.

    Parameters
    ----------
    rng
        Draws directions, lengths and phases.
    shortest_m, longest_m
        Range of wavelengths, m; longer ones weigh more.
    count
        Number of waves.
    """

    def __init__(
        self, rng: np.random.Generator, shortest_m: float, longest_m: float, count: int
    ) -> None:
        length = np.exp(rng.uniform(np.log(shortest_m), np.log(longest_m), count))
        angle, self._phase = rng.uniform(0, 2 * np.pi, (2, count))
        self._kx, self._ky = 2 * np.pi / length * np.array([np.cos(angle), np.sin(angle)])
        weight = np.sqrt(length)
        self._weight = weight * np.sqrt(2.0 / np.sum(weight**2))

    def __call__(self, x: Field, y: Field) -> Field:
        """Return the field at local positions in m (n,)."""
        total = np.zeros(x.shape)
        for kx, ky, phase, weight in zip(
            self._kx, self._ky, self._phase, self._weight, strict=True
        ):
            total += weight * np.cos((kx * x + ky * y + phase).astype(np.float32))
        return total


class Landscape:
    """A dry land of known salinity around a place.

    Parameters
    ----------
    seed
        The same seed is the same land.
    longitude, latitude
        Origin of the local metres, degrees WGS84. Scenes should lie within some 200 km: further
        away shapes are stretched, but still the same for everyone.
    use
        Which specimens and soils: ``demo`` keeps away from what training saw.
    config
        Constants of the salt balance; the defaults when None.
    """

    def __init__(
        self,
        seed: int,
        longitude: float,
        latitude: float,
        use: Use = "demo",
        *,
        config: MixingConfig | None = None,
    ) -> None:
        rng = np.random.default_rng([seed, 1])
        self.use: Use = use
        self.config = config or MixingConfig()
        self.minerals = _one_record_each(specimens(use))
        self._origin = (longitude, latitude)
        self.seed = seed
        self._salt = seed & 0xFFFFFFFF
        self._angle = rng.uniform(0.1, 0.5)
        self._warp = (Waves(rng, 1500.0, 9e3, 10), Waves(rng, 1500.0, 9e3, 10))
        self._basin = Waves(rng, 5e3, 15e3, 18)
        self._plain = Waves(rng, 5e3, 18e3, 12)
        self._river = Waves(rng, 9e3, 40e3, 8)
        self._patch = Waves(rng, 240.0, 2200.0, 40)
        self._gypsum = Waves(rng, 900.0, 9e3, 20)
        self._moist = Waves(rng, 400.0, 6e3, 16)
        self._shrub = Waves(rng, 150.0, 2500.0, 24)
        self._relief = Waves(rng, 120.0, 900.0, 24)
        self._kinds = [Waves(rng, 3e3, 20e3, 6) for _ in self.minerals]
        self._soils = [Waves(rng, 700.0, 18e3, 12) for _ in soil_basis(use).sd]

    def at(self, longitude: Field, latitude: Field, when: datetime | None = None) -> GroundTruth:
        """Return what lies at geographic positions, degrees (n,).

        Parameters
        ----------
        longitude, latitude
            Positions, degrees WGS84 (n,).
        when
            Date that moisture and crops depend on; salinity does not. None: first day of 2024.
        """
        flat_x, flat_y = self._local(longitude, latitude)
        # Straight waves make an egg carton; bent ones make a land.
        x = flat_x + 260.0 * self._warp[0](flat_x, flat_y)
        y = flat_y + 260.0 * self._warp[1](flat_x, flat_y)
        day = (when or datetime(2024, 1, 1)).timetuple().tm_yday
        basin = self._basin(x, y)
        patch = self._patch(x, y)
        river = np.abs(self._river(x, y))
        lake = _step(basin, _LAKE - 0.02, _LAKE + 0.02)
        water = np.maximum(lake, 1.0 - _step(river, 0.006, 0.010))
        farmed = _step(self._plain(x, y), 0.0, 0.05) * (basin < 1.1) * (river > 0.02)
        parcel = _Parcels(self, flat_x, flat_y, day)
        mass = self._mass(x, y, basin=basin, patch=patch, farmed=farmed * parcel.leached)
        green, dry = self._plants(x, y, parcel, farmed=farmed, basin=basin, river=river)
        background = self.config.background_ds_m * np.exp(0.4 * patch)
        names = [mineral.mineral for mineral in self.minerals]
        ec = background + ec_from_salt(mass, names, self.config)
        return GroundTruth(
            salinity=np.where(water > 0.5, np.nan, ec),
            mass=mass,
            soil_scores=self._scores(x, y, parcel.number, farmed),
            green=green * (1.0 - water),
            dry=dry * (1.0 - water),
            water=water,
            green_kind=parcel.kind,
            film_mm=self._film(x, y, parcel, farmed=farmed, basin=basin, day=day),
            light=np.exp(0.03 * self._relief(x, y) + 0.06 * farmed * (parcel.tilled - 0.5)),
        )

    def truth_on(self, grid: PixelGrid) -> NDArray[np.float32]:
        """Return the true conductivity at the pixel centres of any grid, dS/m.

        Parameters
        ----------
        grid
            A scene's or a mosaic's grid.

        Returns
        -------
        NDArray[np.float32]
            (height, width); NaN in open water, where ground has no conductivity.
        """
        longitude, latitude = lonlat_of_pixels(grid)
        truth = np.empty((grid.height, grid.width), dtype=np.float32)
        for row in range(0, grid.height, 256):
            rows = slice(row, row + 256)
            ground = self.at(longitude[rows].ravel(), latitude[rows].ravel())
            truth[rows] = ground.salinity.reshape(-1, grid.width)
        return truth

    def _local(self, longitude: Field, latitude: Field) -> tuple[Field, Field]:
        """Return metres east and north of the origin; plate carree is enough for a fiction."""
        east = (np.asarray(longitude) - self._origin[0] + 180.0) % 360.0 - 180.0
        to_m = np.radians(1.0) * EARTH_M
        x = east * to_m * np.cos(np.radians(self._origin[1]))
        return x, (np.asarray(latitude) - self._origin[1]) * to_m

    def _mass(self, x: Field, y: Field, *, basin: Field, patch: Field, farmed: Field) -> Field:
        """Return mass fractions (n, k): salt gathers in basins and in patches within fields."""
        playa = _step(basin, 0.0, 1.2)
        driver = 0.5 * basin + 2.7 * playa + patch - 0.7 * farmed
        salt = _saturate(_MEAN_SALT * np.exp(driver), _SALT_LIMIT)
        gypsum = _saturate(
            _MEAN_GYPSUM * np.exp(0.9 * basin + 0.9 * self._gypsum(x, y)), _GYPSUM_LIMIT
        )
        other = _saturate(0.04 * np.exp(1.2 * self._plain(x, y) + 0.4 * patch), 0.25)
        mass = np.zeros((x.size, len(self.minerals)))
        names = [mineral.mineral for mineral in self.minerals]
        salts = [is_salt(name) and name not in GYPSUM_LIKE for name in names]
        gypsums = [name in GYPSUM_LIKE for name in names]
        others = [not is_salt(name) for name in names]
        for amount, members in ((salt, salts), (gypsum, gypsums), (other, others)):
            chosen = np.flatnonzero(members)
            weight = np.exp(2.0 * np.stack([self._kinds[i](x, y) for i in chosen], axis=1))
            mass[:, chosen] = amount[:, None] * weight / weight.sum(axis=1, keepdims=True)
        return mass

    def _plants(
        self, x: Field, y: Field, parcel: "_Parcels", *, farmed: Field, basin: Field, river: Field
    ) -> tuple[Field, Field]:
        """Return areal shares of green and dry plants; salt and drought keep them out."""
        shrub = self._shrub(x, y)
        wild = np.clip(0.05 + 0.07 * shrub, 0.0, 0.35) * (1.0 - _step(basin, 0.7, _SHORE))
        riparian = 0.75 * (1.0 - _step(river, 0.015, 0.035)) * _step(shrub, -1.2, 0.3)
        grass = np.clip(0.12 - 0.09 * shrub, 0.0, 0.5) * (1.0 - _step(basin, 0.6, 1.4))
        green = np.maximum(wild + farmed * (parcel.green - wild), riparian)
        dry = grass + farmed * (parcel.straw - grass)
        return green, np.minimum(dry, 0.95 - green)

    def _film(
        self, x: Field, y: Field, parcel: "_Parcels", *, farmed: Field, basin: Field, day: int
    ) -> Field:
        """Return the water film, mm: lake shores, irrigated parcels, and showers that drift."""
        shower = self._moist(x + 900.0 * day, y + 400.0 * day)
        film = 0.05 * np.clip(shower - 1.0, 0.0, 2.0) + 0.10 * farmed * parcel.irrigated
        return film + 0.5 * _step(basin, _LAKE - 0.25, _LAKE)

    def _scores(self, x: Field, y: Field, parcel: NDArray[np.uint64], farmed: Field) -> Field:
        """Return scores of the soil basis (n, 10), within the library's range."""
        basis = soil_basis(self.use)
        scores = np.stack([wave(x, y) for wave in self._soils], axis=1) * basis.sd
        tilled = _uniform(parcel, 17)[:, None] - 0.5
        scores[:, :1] += farmed[:, None] * tilled * basis.sd[0]
        return np.clip(0.7 * scores, basis.low, basis.high)


class _Parcels:
    """Fields of a farmed plain and their cover on a day; arrays (n,)."""

    def __init__(self, land: Landscape, x: Field, y: Field, day: int) -> None:
        cos = np.cos(land._angle)
        sin = np.sin(land._angle)
        u = cos * x + sin * y
        v = cos * y - sin * x
        row = np.floor(v / _PARCEL_M[1]).astype(np.int64)
        # Neighbouring rows of fields are shifted, as along a road.
        shift = _uniform(_hash(row, np.zeros_like(row), land._salt), 3) * _PARCEL_M[0]
        column = np.floor((u + shift) / _PARCEL_M[0]).astype(np.int64)
        self.number = _hash(row, column, land._salt)
        sown = 60.0 + 90.0 * _uniform(self.number, 5)  # day of the year
        crop = _uniform(self.number, 7)
        self.tilled = _uniform(self.number, 11)
        growing = np.sin(np.pi * np.clip((day - sown) / 130.0, 0.0, 1.0)) ** 0.6
        cropped = crop < 0.55
        self.green = np.where(cropped, 0.9 * growing, 0.02)
        fallow = np.where(cropped, 1.0 - growing, 1.0)
        self.straw = np.where((crop > 0.45) & (crop < 0.62), 0.6 * fallow, 0.04) * (1 - self.green)
        self.irrigated = np.where(_uniform(self.number, 13) < 0.2, 1.0, 0.0)
        self.leached = 0.4 + 1.2 * _uniform(self.number, 19)
        self.kind = (_uniform(self.number, 23) * GREEN_KINDS).astype(np.int64)


def _one_record_each(known: Sequence[Mineral]) -> tuple[Mineral, ...]:
    """Return the first preparation of each specimen."""
    first = {(mineral.mineral, mineral.specimen): mineral for mineral in reversed(known)}
    return tuple(reversed(first.values()))


def _saturate(amount: Field, limit: float) -> Field:
    """Return an amount that approaches a limit."""
    return limit * (1.0 - np.exp(-amount / limit))


def _step(value: Field, low: float, high: float) -> Field:
    """Return 0 below low, 1 above high, smooth between."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _hash(row: NDArray[np.int64], column: NDArray[np.int64], salt: int) -> NDArray[np.uint64]:
    """Return a well-mixed number per cell (splitmix64), the same on every machine."""
    mixed = row.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= column.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(salt)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _uniform(number: NDArray[np.uint64], stream: int) -> Field:
    """Return one uniform number in 0 to 1 per hash and stream."""
    zero = np.zeros(number.shape, dtype=np.int64)
    mixed = _hash(number.view(np.int64), zero + stream, stream)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(2**53)
