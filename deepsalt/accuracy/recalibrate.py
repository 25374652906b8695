"""From a validation to a model recalibrated on its samples; needs what training needs."""

import hashlib
from pathlib import Path

import numpy as np

from deepsalt.accuracy.assess import Accuracy
from deepsalt.conductivity import EC_SHIFT
from deepsalt.errors import UsageError
from deepsalt.layers import CHANCE_COLUMNS
from deepsalt.model.card import ModelCard, TrainingData
from deepsalt.model.marks import Marks
from deepsalt.sites.samples import SampleRules
from deepsalt.train.data.places import blocks
from deepsalt.train.evaluation.report import CELLS
from deepsalt.train.recalibrate import Recalibration, recalibrate
from deepsalt.train.student.base import Base, left_by_line
from deepsalt.train.student.from_map import LabelledCells, answers_of
from deepsalt.types import ModelRef

UNKNOWN_METHOD = "mixed or unknown"
"""Method of labels that state none."""


def recalibrated_model(
    found: Accuracy, table: Path, rules: SampleRules, ref: ModelRef, out: Path
) -> ModelCard:
    """Recalibrate a map's model on the cells of a validation, and write it with its card.

    Cells are held out by blocks of neighbours, as sites are in training; what the validation draws
    together is never split.

    Parameters
    ----------
    found
        The validation; its labels are as the samples state them, not converted.
    table, rules
        The samples, and what their columns mean.
    ref
        The model that made the map.
    out
        Folder to write.

    Raises
    ------
    UsageError
        Too few cells or blocks, labels that are all alike, or a map without probabilities.
    ModelError
        The model cannot be read, or the folder not be written.
    """
    cells = found.matched.cells
    if not cells.chances:
        raise UsageError(
            "the map has no layer p_above, of which a model's answers follow; build it anew with "
            "this version, or leave out --recalibrate"
        )
    base = Base.of(ref)
    chances = np.stack([cells.chances[name] for name in CHANCE_COLUMNS])
    known, _ = answers_of(base.student, cells.estimate, chances)
    left = left_by_line(known, np.log(cells.ec + EC_SHIFT))
    block = blocks(cells.lon, cells.lat, found.block.name, left).name
    labelled = LabelledCells(
        cells.estimate,
        cells.lower,
        cells.upper,
        chances,
        cells.ec,
        cells.label_sd,
        # Cells are alone in having their place, while two may have samples of one name.
        np.char.add("cell ", np.arange(len(cells)).astype(str)),
        block,
    )
    source = TrainingData(
        name=table.name,
        kind=CELLS,
        rows=len(cells),
        groups=int(np.unique(block).size),
        sha256=hashlib.sha256(table.read_bytes()).hexdigest(),
        licence="not stated",
        attribution="",
    )
    about = Recalibration(
        name=f"{base.card.name}-recalibrated",
        ec_method=found.matched.harmonised.method or UNKNOWN_METHOD,
        depth=f"layers that begin by {rules.begins_cm:g} cm and end by {rules.ends_cm:g} cm below "
        f"the surface, where the samples state them",
        source=source,
        marks=Marks.of(cells.names.tolist(), cells.lon, cells.lat),
        simulated=found.simulated,
    )
    return recalibrate(base, labelled, about, out)
