"""The whole of a validation: samples, cells, blocks, scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepsalt.accuracy.blocks import FEWEST, blocks_of
from deepsalt.accuracy.match import Matched, Pairing, match
from deepsalt.accuracy.scores import (
    ByClass,
    class_scores,
    error_scores,
    interval_scores,
    probability_scores,
    rank_scores,
    recalibrated,
    recalibrated_scores,
)
from deepsalt.accuracy.support import Support, support_of
from deepsalt.conductivity import EC_SHIFT
from deepsalt.layers import CHANCE, chances_known
from deepsalt.model.marks import Marks
from deepsalt.progress import Progress, Silent
from deepsalt.sites.samples import SampleRules, read_samples
from deepsalt.train.data.places import Blocks
from deepsalt.types import Floats, QualityFlag

_FACTS = ("version_id", "model_family", "model_digests", "sensors", "newest")
_STEPS = 5


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How good a map is at some samples.

    Parameters
    ----------
    matched
        Samples and the cells that hold them.
    block
        Blocks of these cells.
    facts
        What the mosaic says about itself.
    simulated
        Whether its scenes are simulated.
    scores
        Flat: ``<score>``, ``<score>_low``, ``<score>_high``.
    classes
        Scores by class of the label; empty if labels are not the map's quantity.
    support
        What samples differ among themselves.
    residual
        Logarithm of estimate over label, both + `EC_SHIFT`, of the recalibrated map if labels are
        not its quantity; None: there is none (c,).
    thresholds
        Thresholds of the probabilities, dS/m, by layer.
    notes
        What a reader has to know, one sentence each.
    """

    matched: Matched
    block: Blocks
    facts: Mapping[str, Any]
    simulated: bool
    scores: Mapping[str, float] = field(default_factory=dict)
    classes: tuple[ByClass, ...] = ()
    support: Support | None = None
    residual: Floats | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether labels and map are one quantity."""
        return self.matched.harmonised.comparable

    def document(self) -> dict[str, Any]:
        """Return the outcome as JSON."""
        cells = self.matched.cells
        return {
            "samples": self.matched.samples,
            "matched": self.matched.matched,
            "cells": len(cells),
            "blocks": {"count": self.block.count, "how": self.block.sentence},
            "unmatched": dict(self.matched.unmatched),
            "comparable": self.comparable,
            "methods": self.matched.harmonised.sentence,
            "scores": dict(self.scores),
            "classes": [
                {"ec_ds_m": each.name, "cells": each.cells, **each.scores} for each in self.classes
            ],
            "support": {
                "cells_with_two_samples": self.support.shared,
                "sentence": self.support.sentence,
                **self.support.scores,
            }
            if self.support
            else None,
            "mosaic": dict(self.facts),
            "simulated": self.simulated,
            "notes": list(self.notes),
        }


def assess(
    mosaic: xr.Dataset,
    table: Path,
    rules: SampleRules,
    pairing: Pairing,
    *,
    progress: Progress | None = None,
) -> Accuracy:
    """Compare a mosaic with a table of field samples.

    Parameters
    ----------
    mosaic
        As `deepsalt.open_mosaic` opens a store or an export.
    table
        The samples; see `read_samples`.
    rules
        What the table's columns mean.
    pairing
        Which periods and labels count.
    progress
        Receives progress.

    Raises
    ------
    FormatError
        The table cannot be used.
    UsageError
        The period or conversion makes no sense.
    StoreError
        No access, or damaged data.
    """
    shown = progress or Silent()
    samples = read_samples(table, rules)
    for note in samples.notes:
        shown.note(f"{table.name}: {note}")
    shown.start("samples", len(samples))
    matched = match(samples, mosaic, pairing)
    shown.advance("samples", len(samples))
    cells = matched.cells
    block = blocks_of(cells.lon, cells.lat)
    facts = {name: mosaic.attrs[name] for name in _FACTS if name in mosaic.attrs}
    facts["ec_method"] = str(mosaic["salinity"].attrs.get("ec_method", ""))
    simulated = bool(mosaic.attrs.get("simulated", False))
    if not len(cells):
        return Accuracy(matched, block, facts, simulated)
    known = chances_known(mosaic[CHANCE].attrs) if CHANCE in mosaic else {}
    attrs = {f"{CHANCE}_{at:g}": {"threshold": at, **stated} for at, stated in known.items()}
    comparable = matched.harmonised.comparable
    shown.start("scores", _STEPS)
    scores = rank_scores(cells, block)
    shown.advance("scores")
    scores |= recalibrated_scores(cells, block)
    shown.advance("scores")
    classes: tuple[ByClass, ...] = ()
    if comparable:
        scores |= error_scores(cells, block) | interval_scores(cells, block)
        classes = class_scores(cells, block)
    shown.advance("scores")
    if comparable:
        scores |= probability_scores(cells, block, attrs)
    shown.advance("scores")
    residual = _residual(matched, block)
    support = support_of(cells, block, residual)
    shown.advance("scores")
    return Accuracy(
        matched,
        block,
        facts,
        simulated,
        # A score that so few cells do not define is missing, not NaN: JSON has none.
        {name: value for name, value in scores.items() if np.isfinite(value)},
        classes,
        support,
        residual,
        {name: float(each["threshold"]) for name, each in attrs.items()},
        (*_notes(matched, block, attrs), *_of_training(pairing.trained)),
    )


def _residual(matched: Matched, block: Blocks) -> Floats | None:
    cells = matched.cells
    label = np.log(cells.ec + EC_SHIFT)
    if matched.harmonised.comparable:
        return np.asarray(np.log(cells.estimate + EC_SHIFT) - label)
    tuned = recalibrated(cells, block)
    return None if tuned is None else tuned - label


def _of_training(trained: Marks | None) -> tuple[str, ...]:
    if trained:
        return ()
    return (
        "the model's card does not say which samples it was trained on: make sure that these are "
        "others",
    )


def _notes(
    matched: Matched, block: Blocks, attrs: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """Return what a reader has to know."""
    cells = matched.cells
    notes = [matched.harmonised.sentence]
    if block.count < FEWEST:
        blocks = "one block" if block.count == 1 else f"{block.count} blocks"
        notes.append(
            f"the cells are {blocks}, and an interval needs at least {FEWEST}: scores have none, "
            f"and hold for this ground alone"
        )
    advised = [
        f"{int(((cells.flags & bit) != 0).sum())} {str(bit.name).lower().replace('_', ' ')}"
        for bit in (QualityFlag.HAZE, QualityFlag.OUT_OF_DOMAIN, QualityFlag.EXTRAPOLATED)
        if (cells.flags & bit).any()
    ]
    if advised:
        notes.append(f"of the cells, the map doubts {', '.join(advised)}; they count")
    rough = [name for name, each in attrs.items() if each.get("calibrated") == "no"]
    if rough and matched.harmonised.comparable:
        notes.append(
            f"{', '.join(rough)} rest on fewer than 20 groups of the training above their threshold"
        )
    if matched.harmonised.comparable and any("base_rate" not in each for each in attrs.values()):
        notes.append(
            "the map states no base rate, so the Brier skill is over the share of these cells"
        )
    if matched.harmonised.comparable and cells.label_sd.any():
        notes.append(
            "labels have an error of their own: scores named 'without label error' and 'with label "
            "error' allow for it, the others do not; the interval of the bias allows for the "
            "conversion"
        )
    return tuple(notes)
