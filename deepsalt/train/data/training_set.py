"""Everything that a fit may see: tables, read and seen through sensors, and simulated pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepsalt.errors import FormatError
from deepsalt.spectral.infrared import InfraredTable, read_infrared
from deepsalt.train.config import Settings, TrainConfig
from deepsalt.train.data.compatible import check_compatible
from deepsalt.train.data.mixtures import simulated_tables
from deepsalt.train.data.places import Residual, with_blocks
from deepsalt.train.data.samples import (
    Samples,
    as_measured,
    as_mixtures,
    in_the_field,
    stack,
    through_sensor,
)
from deepsalt.train.data.tables import Table, read_training_table


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Everything a fit may see.

    Parameters
    ----------
    tables
        As read.
    samples
        All views of all tables, stacked.
    infrared
        Tables of the mid-infrared, as read.
    blocks
        How blocks of sites came about; "": groups were named.
    """

    tables: tuple[Table, ...]
    samples: Samples
    infrared: tuple[InfraredTable, ...] = ()
    blocks: str = ""


def training_set(config: TrainConfig, residual: Residual | None = None) -> TrainingSet:
    """Read the tables, see laboratory spectra through the sensors, and draw the mixtures.

    Laboratory samples get their mid-infrared features.

    Parameters
    ----------
    config
        Which tables, and settings.
    residual
        A simple model, whose residuals say how large blocks of sites have to be. Default: none;
        then blocks are clusters of coordinates.

    Raises
    ------
    FormatError
        A table that cannot be used for training.
    """
    tables = [read_training_table(spec) for spec in config.tables]
    check_compatible(config.tables, tables)
    tables, blocks = with_blocks(tables, residual)
    infrared = tuple(read_infrared(path) for path in config.infrared)
    samples = draw_views(tables, config.settings)
    if config.settings.mixtures:
        drawn = simulated_tables(config.settings)
        tables += drawn
        samples = stack([samples, *(as_mixtures(table) for table in drawn)])
    return TrainingSet(tuple(tables), with_infrared(samples, infrared), infrared, blocks)


def draw_views(tables: Sequence[Table], settings: Settings) -> Samples:
    """Return the samples of tables: as measured, and laboratory spectra through the sensors.

    Beside satellite sites, laboratory spectra are also seen in the field, by the sites' sensors.
    """
    rng = np.random.default_rng([settings.seed, 0])
    looks = dict.fromkeys(t.sensor for t in tables if t.kind != "laboratory")
    parts = []
    for table in tables:
        parts.append(as_measured(table))
        if table.kind == "laboratory":
            for sensor in looks or settings.sensors:
                parts += [through_sensor(table, sensor), through_sensor(table, sensor, rng)]
                if looks:
                    parts.append(in_the_field(table, sensor, rng))
    return stack(parts)


def with_infrared(samples: Samples, tables: Sequence[InfraredTable]) -> Samples:
    """Return samples with the mid-infrared features of laboratory samples of the same name.

    Raises
    ------
    FormatError
        A table shares no sample with the laboratory's, or one with another table.
    """
    if not tables:
        return samples
    laboratory = ~samples.satellite & ~samples.pixels
    for table in tables:
        if not np.isin(table.sample, samples.site[laboratory]).any():
            raise FormatError(
                f"{table.name} shares no sample with the laboratory tables; its first one is "
                f"{table.sample[0]}, use the same sample_id in both"
            )
    names, counts = np.unique(np.concatenate([t.sample for t in tables]), return_counts=True)
    if (counts > 1).any():
        raise FormatError(
            f"sample {names[counts > 1][0]} is in two mid-infrared tables "
            f"({(counts > 1).sum()} such samples); keep one row of it"
        )
    features = np.concatenate([table.features for table in tables])
    row_of = {name: row for row, name in enumerate(np.concatenate([t.sample for t in tables]))}
    rows = np.array([row_of.get(site, -1) for site in samples.site])
    found = np.full((len(samples), features.shape[1]), np.nan, dtype=np.float32)
    chosen = laboratory & (rows >= 0)
    found[chosen] = features[rows[chosen]]
    return replace(samples, infrared=found)
