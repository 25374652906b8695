"""Several tables of one training."""

import numpy as np
import pytest

from deepsalt.errors import FormatError
from deepsalt.train.data.compatible import check_compatible, doubts
from deepsalt.train.data.tables import TableSpec, read_training_table
from tests.train.data.test_tables import frame, write


@pytest.mark.parametrize(
    ("rows", "partner", "message"),
    [(40, "elsewhere", "there are no pairs"), (8, "", "8 labelled sites are too few")],
)
def test_what_is_taken_otherwise_than_meant_is_told(tmp_path, rows, partner, message):
    library = _labelled(tmp_path, "a.csv")
    sites = frame(40, 1).assign(sample_id=[f"s{row}" for row in range(40)])
    sites["lab_sample_id"] = sites.sample_id.map(lambda name: partner and f"{partner} {name}")
    sites.loc[rows:, "ec_ds_m"] = np.nan
    specs = [
        TableSpec(library, "laboratory"),
        TableSpec(write(tmp_path, sites, "b.csv"), "satellite"),
    ]
    (doubt,) = doubts([read_training_table(spec) for spec in specs])
    assert message in doubt


def _labelled(folder, name, seed=0, **columns):
    return write(folder, frame(seed=seed).assign(**columns), name)


def test_a_column_of_groups_may_be_in_one_of_several_tables(tmp_path):
    ids = [f"b{row}" for row in range(40)]
    paths = [
        _labelled(tmp_path, "a.csv"),
        _labelled(tmp_path, "b.csv", 1, plot="p", sample_id=ids),
    ]
    specs = [TableSpec(path, "laboratory", group="plot", group_elsewhere=True) for path in paths]
    tables = [read_training_table(spec) for spec in specs]
    check_compatible(specs, tables)
    assert [table.group_column for table in tables] == ["profile_id", "plot"]
    assert "using profile_id instead" in tables[0].warnings[0]


def test_a_column_of_groups_that_no_table_has_is_refused(tmp_path):
    spec = TableSpec(_labelled(tmp_path, "a.csv"), "laboratory", group="plot", group_elsewhere=True)
    with pytest.raises(FormatError, match="none of the tables has a column plot"):
        check_compatible([spec], [read_training_table(spec)])


@pytest.mark.parametrize(
    ("seed", "message"), [(0, "are the same table"), (1, "sample 000 is in both a.csv and b.csv")]
)
def test_samples_are_not_counted_twice_over_tables(tmp_path, seed, message):
    paths = [_labelled(tmp_path, "a.csv"), _labelled(tmp_path, "b.csv", seed)]
    specs = [TableSpec(path, "laboratory") for path in paths]
    with pytest.raises(FormatError, match=message):
        check_compatible(specs, [read_training_table(spec) for spec in specs])
