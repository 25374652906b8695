"""SIMULATED ground and maps of it, whose true scores are known, and campaigns of samples."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from deepsalt.accuracy.match import Cells
from deepsalt.layers import CHANCE_COLUMNS, THRESHOLDS_DS_M

SIDE_PX = 400
CELL_DEG = 30.0 / 111_195.0
"""Edge of a cell at the equator, degrees."""

_HALF_WIDTH = 1.25  # of the map's intervals, on log(EC)
_SD = 0.7  # of the map's probabilities, on log(EC)


@dataclass(frozen=True, eq=False)
class Field:
    """Labels that samples would give, and the map's estimates, dS/m (side, side)."""

    label: np.ndarray
    estimate: np.ndarray

    @classmethod
    def draw(cls, seed: int) -> "Field":
        """Ground alike over 40 cells, a map that is wrong alike over 20, samples with noise."""
        rng = np.random.default_rng(seed)
        log_ec = 0.2 + 1.1 * smooth(rng, 40)
        noise = rng.normal(size=(2, SIDE_PX, SIDE_PX))
        estimate = 0.65 * log_ec + 0.5 * smooth(rng, 20) + 0.1 * noise[0]
        return cls(np.exp(log_ec + 0.25 * noise[1]), np.exp(estimate))

    def cells(self, row: np.ndarray, column: np.ndarray) -> Cells:
        """Cells at these places, each with one sample."""
        log_estimate = np.log(self.estimate[row, column])
        size = row.size
        chances = {
            name: norm.cdf((log_estimate - np.log(threshold)) / _SD)
            for name, threshold in zip(CHANCE_COLUMNS, THRESHOLDS_DS_M, strict=True)
        }
        return Cells(
            period=np.zeros(size, np.intp),
            row=row,
            column=column,
            lon=column * CELL_DEG,
            lat=row * CELL_DEG,
            ec=self.label[row, column],
            samples=np.ones(size, np.intp),
            names=np.arange(size).astype(str),
            squares=np.zeros(size),
            stated_sd=np.full(size, np.nan),
            conversion_sd=np.zeros(size),
            estimate=np.exp(log_estimate),
            lower=np.exp(log_estimate - _HALF_WIDTH),
            upper=np.exp(log_estimate + _HALF_WIDTH),
            chances=chances,
            flags=np.zeros(size, np.uint16),
        )

    def all_cells(self) -> Cells:
        """Every second row and column, 40,000 cells: their scores are the true ones."""
        row, column = np.meshgrid(*[np.arange(0, SIDE_PX, 2)] * 2, indexing="ij")
        return self.cells(row.ravel(), column.ravel())


CHANCE_ATTRS = {
    name: {"threshold": threshold, "base_rate": 0.3}
    for name, threshold in zip(CHANCE_COLUMNS, THRESHOLDS_DS_M, strict=True)
}


def smooth(rng: np.random.Generator, range_px: float) -> np.ndarray:
    """Gaussian field with a mean of 0 and a standard deviation of 1."""
    frequency = np.fft.fftfreq(SIDE_PX)
    square = frequency[:, None] ** 2 + frequency**2
    spectrum = np.fft.fft2(rng.normal(size=(SIDE_PX, SIDE_PX)))
    field = np.fft.ifft2(spectrum * np.exp(-square * (np.pi * range_px) ** 2)).real
    return (field - field.mean()) / field.std()


def at_random(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of cells, each as likely as any other."""
    return np.divmod(rng.choice(SIDE_PX**2, count, replace=False), SIDE_PX)


def in_clusters(
    rng: np.random.Generator, clusters: int, each: int, spread_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of distinct cells around places that are drawn at random."""
    centre = rng.uniform(0, SIDE_PX, (clusters, 1, 2))
    place = np.rint(centre + rng.normal(0, spread_px, (clusters, each, 2))).astype(int)
    place = place.reshape(-1, 2)
    inside = ((place >= 0) & (place < SIDE_PX)).all(axis=1)
    row, column = np.unique(place[inside], axis=0).T
    return row, column
