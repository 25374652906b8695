"""From labelled cells of a map to the model that made it, moved by a line and calibrated anew.

A map keeps no spectra, but what its model said of them: of the estimate and the probabilities
follow the location and the width of log(EC + 0.03) that they were computed from. A line through
the locations, and a factor on the widths, are all that is fitted before the calibration.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import CHANCE_STEP, THRESHOLDS_DS_M
from deepsalt.model.memory import Memory
from deepsalt.model.student import CHANCE_KNOTS, LOG_WIDTHS, Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.train.student.base import Base, as_it_is_and_moved, choose
from deepsalt.train.student.distil import Fitted, HeldOutRows, with_widths
from deepsalt.train.teacher.teacher import label_weights
from deepsalt.train.uncertainty.spread import expected_log1p, log_width
from deepsalt.types import Floats

_LOCATIONS = (-12.0, 12.0)  # log(EC + 0.03) beyond any answer
_HALVINGS = 50


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCells:
    """Cells of a map with a label (c).

    Parameters
    ----------
    salinity, lower, upper
        The map's estimate and interval, dS/m (c,).
    chances
        Its probabilities of an EC above each of `THRESHOLDS_DS_M` (t, c).
    ec
        Labels, dS/m (c,).
    label_sd
        Standard deviation of their logarithm, 0 where not known (c,).
    name
        What counts as one soil (c,).
    block
        What is held out together (c,).
    """

    salinity: Floats
    lower: Floats
    upper: Floats
    chances: Floats
    ec: Floats
    label_sd: Floats
    name: NDArray[np.str_]
    block: NDArray[np.str_]

    def __len__(self) -> int:
        return int(self.ec.size)

    def take(self, chosen: NDArray[np.intp]) -> Self:
        """Return the chosen cells."""
        return replace(self, **{f.name: getattr(self, f.name)[..., chosen] for f in fields(self)})

    @property
    def folds(self) -> list[NDArray[np.intp]]:
        """Cells of each block."""
        return [np.flatnonzero(self.block == name) for name in np.unique(self.block)]


def answers_of(student: Student, salinity: Floats, chances: Floats) -> tuple[Floats, Floats]:
    """Return location and logarithm of the width (c,) that a student's estimates came from.

    A probability is a function of (location - log(threshold + 0.03)) / width, so its inverse is a
    line over the thresholds, fitted by least squares with the precision that `CHANCE_STEP` leaves.
    Its slope gives the width, and the estimate then the location. Of a mean over looks they are
    those of one look that would have said the same.

    Parameters
    ----------
    student
        The student; its machine for low-noise spectra is taken for unused.
    salinity
        Estimates, dS/m (c,).
    chances
        Probabilities (t, c); where fewer than two are neither 0 nor 1, the median width stands in.
    """
    ends = np.log(np.array(THRESHOLDS_DS_M) + EC_SHIFT)[:, None]
    distance, weight = _distances(student.chances.double().numpy(), chances)
    around = weight * (ends - _ratio((weight * ends).sum(axis=0), weight.sum(axis=0)))
    rise = -_ratio((around * distance).sum(axis=0), (around * ends).sum(axis=0))
    known = ((weight > 0).sum(axis=0) > 1) & (rise > 0)
    found = -np.log(np.where(known, rise, 1.0))
    log_widths = np.where(known, found, np.median(found[known]) if known.any() else 0.0)
    log_widths = np.clip(log_widths, *LOG_WIDTHS)
    return _locations(student, salinity, np.exp(log_widths)), log_widths


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return a quotient, 0 where nothing is to divide by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _distances(table: Floats, chances: Floats) -> tuple[Floats, Floats]:
    """Return (location - threshold) / width and its precision (t, c), of probabilities (t, c)."""
    knots = np.linspace(*CHANCE_KNOTS)
    rising, first = np.unique(table, return_index=True)
    distance = np.interp(chances, rising, knots[first])
    steepness = np.interp(distance, knots, np.gradient(table, knots))
    tells = (chances >= CHANCE_STEP) & (chances <= 1.0 - CHANCE_STEP)
    return distance, np.where(tells, steepness**2, 0.0)


def _locations(student: Student, salinity: Floats, width: Floats) -> Floats:
    """Return the locations (c,) whose estimates these are, by halving."""
    nodes = student.nodes.double().numpy()
    ec_max = float(student.limits[0])
    low, high = (np.full(salinity.size, end) for end in _LOCATIONS)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        below = expected_log1p(middle, width, nodes, ec_max) < np.log1p(salinity)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2.0)


def fit_on_cells(base: Base, cells: LabelledCells) -> Fitted:
    """Return a model with its location as it is or moved by a line, calibrated on cells.

    Which of both is chosen on held-out blocks, by the one-standard-error rule towards the model as
    it is. Its widths are those of the model times one factor.

    Parameters
    ----------
    base
        The model that made the map.
    cells
        Cells of at least two blocks.
    """
    known, log_widths = answers_of(base.student, cells.salinity, cells.chances)
    target = np.log(cells.ec + EC_SHIFT)
    weights = label_weights(target, cells.label_sd)
    answers = as_it_is_and_moved(known, target, weights, cells.folds)
    found = choose(answers, known, target, weights, cells.folds)
    wider = np.average(log_width(target - found.held_out) - log_widths, weights=weights)
    rows = HeldOutRows(np.zeros((len(cells), 0)), found.held_out, cells.ec, cells.name, weights)
    machine = base.moved(*found.line, factor=float(np.exp(wider)))
    reader = with_widths(base.encoder, machine, rows, log_widths + wider)
    told: dict[str, Any] = {"picked": found.name, "compared": found.errors}
    told |= {"level": found.line[0], "slope": found.line[1], "width_factor": float(np.exp(wider))}
    return Fitted(base.assembled(reader, cells.ec), told, reader.known)


def said_of_cells(base: Base, fitted: Fitted, cells: LabelledCells) -> Floats:
    """Return what a model of `fit_on_cells` says of a map's cells.

    Salinity, lower and upper end, dS/m, and the probabilities (3 + t, c).
    """
    known, log_widths = answers_of(base.student, cells.salinity, cells.chances)
    own, told = fitted.student, fitted.report
    location = told["level"] + told["slope"] * known
    answers = np.stack([location, log_widths + np.log(told["width_factor"])])
    with one_torch_thread(), torch.inference_mode():
        values = own.respond(
            torch.from_numpy(answers.astype(np.float32)),
            own.nodes,
            own.intervals,
            own.chances,
            Memory(),
        )
    said: Floats = torch.stack(values).double().numpy()
    return said
