"""Conflicts between tables: too few rows, duplicate tables, shared sample names."""

import logging
from collections.abc import Sequence

import numpy as np

from deepsalt.errors import FormatError
from deepsalt.train.data.sufficiency import MIN_SAMPLES
from deepsalt.train.data.tables import MIN_LABELS, Table, TableSpec

logger = logging.getLogger(__name__)


def check_compatible(specs: Sequence[TableSpec], tables: Sequence[Table]) -> None:
    """Check the tables of one training.

    Raises
    ------
    FormatError
        Too few labels in all; the same table twice; laboratory samples of one name in several
        tables; or no table has the column of groups that was named.
    """
    check_labels([table for table in tables if table.kind != "unlabelled"])
    check_apart(tables)
    asked = {spec.group for spec in specs} - {None}
    missing = asked - {table.group_column for table in tables}
    if missing:
        raise FormatError(
            f"none of the tables has a column {missing.pop()}; name another by --group COLUMN"
        )
    for doubt in doubts(tables):
        logger.warning(doubt)


def doubts(tables: Sequence[Table]) -> list[str]:
    """Return what will be taken otherwise than it was probably meant."""
    samples = {name for t in tables if t.kind == "laboratory" for name in t.sample.tolist()}
    seen = [table for table in tables if table.kind != "laboratory"]
    partners = {name for table in seen for name in table.lab_sample.tolist()} - {""}
    found = []
    if samples and partners and not partners & samples:
        found.append(
            f"no lab_sample_id, such as {min(partners)}, is in the laboratory tables; there are "
            f"no pairs, and pixels that share one count as one site"
        )
    sites = sum(_sites(table.take(table.labelled)) for table in seen if table.kind == "satellite")
    if samples and 0 < sites < MIN_SAMPLES:
        found.append(
            f"{sites} labelled sites are too few to learn from and are used as spectra without "
            f"labels; give at least {MIN_SAMPLES}"
        )
    return found


def _sites(table: Table) -> int:
    """Return how many sites a table has; rows without any name are sites of their own."""
    names = np.where(table.lab_sample == "", table.sample, table.lab_sample)
    return int(np.unique(names[names != ""]).size + (names == "").sum())


def check_labels(tables: Sequence[Table]) -> None:
    """Refuse tables that have fewer than `MIN_LABELS` labels in all.

    Raises
    ------
    FormatError
        Too few; the message counts them by table.
    """
    counts = [int(table.labelled.sum()) for table in tables]
    if sum(counts) < MIN_LABELS:
        listed = ", ".join(
            f"{table.name} has {count}" for table, count in zip(tables, counts, strict=True)
        )
        raise FormatError(
            f"{sum(counts)} spectra have a label ({listed or 'no table was given'}); "
            f"training needs at least {MIN_LABELS}, add labelled samples"
        )


def check_apart(tables: Sequence[Table]) -> None:
    """Refuse a table given twice, and laboratory samples of one name in several tables.

    Raises
    ------
    FormatError
        Which, and where.
    """
    seen: dict[str, str] = {}
    for table in tables:
        kept = table.sha256 + table.kind + table.sensor
        if kept in seen:
            raise FormatError(f"{table.name} and {seen[kept]} are the same table; give it once")
        seen[kept] = table.name
    owner: dict[str, str] = {}
    for table in tables:
        if table.kind != "laboratory":
            continue
        names = [name for name in table.sample.tolist() if name]
        shared = [name for name in names if name in owner]
        if shared:
            raise FormatError(
                f"sample {shared[0]} is in both {owner[shared[0]]} and {table.name} "
                f"({len(shared)} such names); give each sample its own name"
            )
        owner |= dict.fromkeys(names, table.name)
