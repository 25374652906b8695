"""A sensor's measurement of a landscape: reflectance, clouds and flags, by strips of rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepsalt.errors import UsageError
from deepsalt.simulate.cover import cloud, dry_vegetation, green_vegetation, haze_slope, open_water
from deepsalt.simulate.geodesy import GSD_M, lonlat_of_pixels
from deepsalt.simulate.landscape import GREEN_KINDS, GroundTruth, Landscape, Waves
from deepsalt.simulate.optics import (
    cosines,
    cross_sections,
    densities,
    grain_sizes,
    hapke_gamma,
    hapke_reflectance,
    noise_sd,
    snr,
    water_absorption,
    wet,
)
from deepsalt.simulate.specimens import GRID_NM, mineral_reflectance, soil_basis
from deepsalt.spectral.srf import response_matrix
from deepsalt.types import BandTable, PixelGrid

Float32 = NDArray[np.float32]

_CLOUDY = 0.05  # opacity from which the classification says cloud
_BATCH_PX = 16384  # pixels rendered at a time: (16384, 224) float32 is 15 MB


@dataclass(frozen=True, slots=True)
class Weather:
    """Clouds and sun of one scene.

    Parameters
    ----------
    cloud, cirrus, haze
        Shares of the scene under opaque cloud, cirrus and haze, 0 to 1.
    cloud_height_m
        Height of the clouds, which sets how far off their shadows fall, m.
    cloud_length_m
        Longest wave of the field of clouds, m: some kilometres are fair-weather cumulus, tens of
        them the decks of a front.
    sun_elevation_deg, sun_azimuth_deg
        Position of the sun; an elevation of 0 or less is a night pass.
    """

    cloud: float = 0.08
    cirrus: float = 0.03
    haze: float = 0.03
    cloud_height_m: float = 1400.0
    cloud_length_m: float = 5200.0
    sun_elevation_deg: float = 52.0
    sun_azimuth_deg: float = 148.0

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1 and angles that do not exist."""
        if not all(0.0 <= share <= 1.0 for share in (self.cloud, self.cirrus, self.haze)):
            raise UsageError("shares of cloud, cirrus and haze lie between 0 and 1")
        if not -90.0 <= self.sun_elevation_deg <= 90.0:
            raise UsageError(
                f"a sun elevation of {self.sun_elevation_deg} degrees is impossible; give -90 to 90"
            )

    @property
    def night(self) -> bool:
        """Whether the sun is below the horizon."""
        return self.sun_elevation_deg <= 0.0


@dataclass(frozen=True, slots=True)
class Strip:
    """Some rows of a scene (h rows, w columns, nb bands).

    Parameters
    ----------
    rows
        Which rows.
    reflectance
        As measured, with noise; NaN outside the swath, float32 (nb, h, w).
    inside
        Within the swath (h, w).
    water, cloud, shadow, haze, snow
        Result of the provider's classification (h, w), bool.
    cirrus
        0 none, 1 thin, 2 medium, 3 thick (h, w), uint8.
    """

    rows: slice
    reflectance: Float32
    inside: NDArray[np.bool_]
    water: NDArray[np.bool_]
    cloud: NDArray[np.bool_]
    shadow: NDArray[np.bool_]
    haze: NDArray[np.bool_]
    snow: NDArray[np.bool_]
    cirrus: NDArray[np.uint8]


class Clouds:
    """Clouds over a scene, as fields of the distance from its centre in m."""

    def __init__(self, rng: np.random.Generator, weather: Weather, grid: PixelGrid) -> None:
        self._weather = weather
        self._cumulus = Waves(rng, 350.0, weather.cloud_length_m, 36)
        self._cirrus = Waves(rng, 1500.0, 14e3, 16)
        self._haze = Waves(rng, 2500.0, 18e3, 12)
        rows = np.linspace(0, grid.height, 64) * GSD_M
        x, y = np.meshgrid(np.linspace(0, grid.width, 64) * GSD_M, rows)
        # Quantiles of the scene itself, so that the asked shares come true in small scenes too.
        self._levels = [
            float(np.quantile(field(x.ravel(), y.ravel()), 1.0 - share)) if share else np.inf
            for field, share in (
                (self._cumulus, weather.cloud),
                (self._cirrus, weather.cirrus),
                (self._haze, weather.haze),
            )
        ]

    def opacity(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the opacity of clouds, 0 to 1 (n,)."""
        return self._over(self._cumulus, 0, 0.35, x, y)

    def shadow(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how much of the sun clouds take away, 0 to 1 (n,): cast away from the sun."""
        if self._weather.night:
            return np.zeros(x.shape)
        elevation, azimuth = np.radians(
            [max(self._weather.sun_elevation_deg, 5.0), self._weather.sun_azimuth_deg]
        )
        reach = self._weather.cloud_height_m / np.tan(elevation)
        # y grows southwards, as rows do.
        return self.opacity(x + reach * np.sin(azimuth), y - reach * np.cos(azimuth))

    def cirrus(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the thickness of cirrus, 0 to 1 (n,)."""
        return self._over(self._cirrus, 1, 1.2, x, y)

    def haze(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the thickness of haze, 0 to 1 (n,)."""
        return self._over(self._haze, 2, 1.0, x, y)

    def _over(
        self,
        field: Waves,
        layer: int,
        depth: float,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        if np.isinf(self._levels[layer]):
            return np.zeros(x.shape)
        return np.clip((field(x, y) - self._levels[layer]) / depth, 0.0, 1.0)


class _Endmembers:
    """Materials at a scene's bands, float32, in the form that mixing needs."""

    def __init__(self, rng: np.random.Generator, land: Landscape, bands: BandTable) -> None:
        response = response_matrix(GRID_NM, bands).T
        basis = soil_basis(land.use)
        self.mu0, self.mu = cosines(land.config)
        spectra = np.array([mineral_reflectance(m, GRID_NM) for m in land.minerals]) @ response
        names = [mineral.mineral for mineral in land.minerals]
        self.densities = densities(names)
        self.sizes = grain_sizes(names, land.config)
        self.albedo = _float32(1.0 - hapke_gamma(spectra, self.mu0, self.mu) ** 2)
        self.soil_mean = _float32(basis.mean @ response)
        self.soil_components = _float32(basis.components @ response)
        self.green = _float32(green_vegetation(rng, GREEN_KINDS, GRID_NM) @ response)
        self.dry = _float32(dry_vegetation(rng, 1, GRID_NM) @ response)
        self.water = _float32(open_water(rng, 1, GRID_NM) @ response)
        self.absorption = _float32(water_absorption(GRID_NM) @ response)
        self.cloud = _float32(cloud(GRID_NM) @ response)
        self.haze = _float32(haze_slope(GRID_NM) @ response)


class SimulatedScene:
    """One look of a sensor at a landscape.

    Parameters
    ----------
    landscape
        The ground.
    grid
        The scene's grid, 30 m.
    bands
        Bands as this scene has them.
    start
        Time of the look.
    seed
        Noise and clouds; the ground does not depend on it.
    weather
        Clouds and sun.
    tilt_deg
        Angle between the swath and the grid; leaves nodata wedges at the corners.
    snr_at_30
        Signal-to-noise ratio per band at a reflectance of 0.3 (nb,); EnMAP's when None.
    """

    def __init__(
        self,
        landscape: Landscape,
        grid: PixelGrid,
        bands: BandTable,
        *,
        start: datetime,
        seed: int,
        weather: Weather,
        tilt_deg: float = 3.0,
        snr_at_30: ArrayLike | None = None,
    ) -> None:
        rng = np.random.default_rng([seed, 2])
        self.grid = grid
        self.bands = bands
        self.weather = weather
        self._landscape = landscape
        self._start = start
        self._seed = seed
        self._ends = _Endmembers(np.random.default_rng([landscape.seed, 3]), landscape, bands)
        self._snr = _float32(np.asarray(snr(bands.centers_nm) if snr_at_30 is None else snr_at_30))
        self._clouds = Clouds(rng, weather, grid)
        self._tilt = np.radians(tilt_deg)
        self._longitude, self._latitude = lonlat_of_pixels(grid)

    def corners_px(self) -> NDArray[np.float64]:
        """Return the swath's corners (column, row), pixels, (4, 2).

        Upper left, lower left, lower right, upper right.
        """
        half = self._half_px()
        square = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * half
        cos = np.cos(self._tilt)
        sin = np.sin(self._tilt)
        turned = np.stack(
            [cos * square[:, 0] - sin * square[:, 1], sin * square[:, 0] + cos * square[:, 1]],
            axis=1,
        )
        return np.asarray(turned + np.array([self.grid.width / 2, self.grid.height / 2]))

    def _half_px(self) -> NDArray[np.float64]:
        """Return half the swath's width and length, pixels: the largest that the grid holds."""
        cos = np.cos(self._tilt)
        sin = abs(np.sin(self._tilt))
        matrix = np.array([[cos, sin], [sin, cos]])
        half = np.linalg.solve(matrix, np.array([self.grid.width / 2, self.grid.height / 2]))
        if (half <= 0).any():
            raise UsageError("the swath is tilted too far for the shape of the grid")
        return np.asarray(half)

    def strips(self, height: int) -> Iterator[Strip]:
        """Yield the scene from top to bottom in strips of so many rows."""
        for top in range(0, self.grid.height, height):
            yield self._strip(slice(top, min(top + height, self.grid.height)))

    def _strip(self, rows: slice) -> Strip:
        h = rows.stop - rows.start
        w = self.grid.width
        row, column = np.mgrid[rows, 0:w].reshape(2, -1) + 0.5
        x, y = column * GSD_M, row * GSD_M
        ground = self._landscape.at(
            self._longitude[rows].ravel(), self._latitude[rows].ravel(), self._start
        )
        sky = [
            field(x, y)
            for field in (
                self._clouds.opacity,
                self._clouds.shadow,
                self._clouds.cirrus,
                self._clouds.haze,
            )
        ]
        reflectance = np.empty((len(self.bands), h * w), dtype=np.float32)
        rng = np.random.default_rng([self._seed, 4, rows.start])
        for first in range(0, h * w, _BATCH_PX):
            part = slice(first, first + _BATCH_PX)
            clear = (
                self._ground(ground, part) if not self.weather.night else self._dark(part, h * w)
            )
            seen = self._through(clear, [layer[part] for layer in sky])
            noise = rng.standard_normal(seen.shape, dtype=np.float32)
            reflectance[:, part] = (seen + noise * noise_sd(seen, self._snr)).T
        inside = self._inside(column, row)
        reflectance[:, ~inside] = np.nan
        opacity, shadow, cirrus, haze = (layer.reshape(h, w) for layer in sky)
        within = inside.reshape(h, w)
        day = within & (not self.weather.night)
        levels = np.ceil(np.clip(cirrus, 0.0, 1.0) * 3 - 0.15) * day
        return Strip(
            rows=rows,
            reflectance=reflectance.reshape(-1, h, w),
            inside=within,
            water=day & (ground.water.reshape(h, w) > 0.5),
            cloud=day & (opacity > _CLOUDY),
            shadow=day & (shadow > 0.1) & (opacity <= _CLOUDY),
            haze=day & (haze > 0.1),
            snow=np.zeros((h, w), dtype=np.bool_),
            cirrus=levels.astype(np.uint8),
        )

    def _inside(self, column: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.bool_]:
        half = self._half_px()
        dx, dy = column - self.grid.width / 2, row - self.grid.height / 2
        cos = np.cos(self._tilt)
        sin = np.sin(self._tilt)
        along = cos * dy - sin * dx
        across = cos * dx + sin * dy
        return np.asarray((np.abs(across) <= half[0]) & (np.abs(along) <= half[1]))

    def _dark(self, part: slice, count: int) -> Float32:
        size = len(range(count)[part])
        return np.zeros((size, len(self.bands)), dtype=np.float32)

    def _ground(self, truth: GroundTruth, part: slice) -> Float32:
        """Return clear-sky reflectance of some pixels, float32 (n, nb)."""
        ends = self._ends
        mass = truth.mass[part]
        masses = np.column_stack([1.0 - mass.sum(axis=1), mass])
        shares = _float32(cross_sections(masses, ends.densities, ends.sizes))
        soil = np.exp(ends.soil_mean + _float32(truth.soil_scores[part]) @ ends.soil_components)
        gamma = hapke_gamma(np.minimum(soil, np.float32(0.95)), ends.mu0, ends.mu)
        albedo = shares[:, :1] * (1.0 - gamma * gamma) + shares[:, 1:] @ ends.albedo
        bare = hapke_reflectance(np.sqrt(np.maximum(1.0 - albedo, 0.0)), ends.mu0, ends.mu)
        film = _float32(truth.film_mm[part])[:, None]
        moist = film[:, 0] > 0.002
        bare[moist] = wet(bare[moist], film[moist], ends.absorption)
        green, dry, water = (
            _float32(share[part])[:, None] for share in (truth.green, truth.dry, truth.water)
        )
        kinds = np.eye(GREEN_KINDS, dtype=np.float32)[truth.green_kind[part]]
        bare *= (1.0 - green - dry - water) * _float32(truth.light[part])[:, None]
        bare += (green * kinds) @ ends.green + dry * ends.dry + water * ends.water
        return bare.astype(np.float32, copy=False)

    def _through(self, clear: Float32, sky: list[NDArray[np.float64]]) -> Float32:
        """Return what is left of clear-sky reflectance under clouds, shadows, cirrus and haze."""
        opacity, shadow, cirrus, haze = (_float32(layer)[:, None] for layer in sky)
        if not (opacity.any() or shadow.any() or cirrus.any() or haze.any()):
            return clear
        # Shadows keep the blue light of the sky: haze's slope is a fair stand-in.
        seen = clear * (1.0 - shadow * (0.78 - 0.18 * np.minimum(self._ends.haze, 1.5)))
        seen += 0.06 * haze * self._ends.haze * (1.0 - seen) + 0.08 * cirrus * (1.0 - seen)
        return np.asarray(seen + opacity * (self._ends.cloud - seen), dtype=np.float32)


def _float32(values: NDArray[np.floating]) -> Float32:
    return np.asarray(values, dtype=np.float32)
