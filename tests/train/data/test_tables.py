"""Training tables: what is read, what is left out, and what is refused."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepsalt.errors import FormatError, UsageError
from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.data.compatible import check_apart, check_labels
from deepsalt.train.data.places import with_blocks
from deepsalt.train.data.samples import as_measured
from deepsalt.train.data.tables import (
    GROUP_COLUMNS,
    MAX_MISSING_SHARE,
    Table,
    TableSpec,
    read_training_table,
)
from tests.model.students import soils
from tests.shared import shared_data

LAB = sensor_bands("lab")
CHANNELS = [f"r{center:.0f}" for center in LAB.centers_nm]


def frame(rows: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(soils(rows, LAB.centers_nm, seed), columns=CHANNELS).assign(
        sample_id=[f"{i:03d}" for i in range(rows)],
        profile_id=[f"P{i % 8}" for i in range(rows)],
        country=[f"C{i % 8 % 4}" for i in range(rows)],
        ec_ds_m=np.exp(rng.normal(-1.0, 1.0, rows)),
        depth_cm=10.0,
    )


def write(folder: Path, table: pd.DataFrame, name: str = "t.csv") -> Path:
    path = folder / name
    table.to_parquet(path) if name.endswith(".parquet") else table.to_csv(path, index=False)
    return path


def read(folder: Path, table: pd.DataFrame, kind="laboratory", **settings) -> Table:  # type: ignore[no-untyped-def]
    return read_training_table(TableSpec(write(folder, table), kind, **settings))


@pytest.mark.parametrize(
    ("text", "kind", "path", "sensor"),
    [
        ("a.csv", "laboratory", "a.csv", "lab"),
        ("a.csv@enmap", "laboratory", "a.csv", "enmap"),
        ("a.csv@enmap", "satellite", "a.csv", "enmap"),
        ("me@home/a.csv@bands.csv", "unlabelled", "me@home/a.csv", "bands.csv"),
    ],
    ids=["plain", "lab-sensor", "satellite", "two-ats"],
)
def test_a_table_is_named_with_its_sensor(text, kind, path, sensor):
    spec = TableSpec.parse(text, kind)
    assert (str(spec.path), spec.kind, spec.sensor) == (path, kind, sensor)


@pytest.mark.parametrize("text", ["a.csv", "a.csv@", "@enmap", ""])
@pytest.mark.parametrize("kind", ["satellite", "unlabelled"])
def test_a_satellite_table_without_a_sensor_is_refused(text, kind):
    with pytest.raises(UsageError, match="TABLE@SENSOR"):
        TableSpec.parse(text, kind)


def test_a_file_whose_name_holds_an_at_is_a_file(tmp_path):
    path = tmp_path / "lab@home.csv"
    path.touch()
    assert TableSpec.parse(str(path), "laboratory").path == path


@pytest.mark.parametrize(
    "wrong", [{"kind": "field"}, {"kind": "laboratory", "ec_unit": "S/m"}], ids=["kind", "unit"]
)
def test_unknown_kinds_and_units_are_refused(wrong):
    with pytest.raises(UsageError, match="is not one of"):
        TableSpec(Path("a.csv"), **wrong)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_every_kind_of_file_gives_the_same_table(tmp_path, name):
    path = write(tmp_path, frame(), name)
    table = read_training_table(TableSpec(path, "laboratory"))
    np.testing.assert_allclose(table.reflectance, frame()[CHANNELS], rtol=1e-6)
    np.testing.assert_array_equal(table.ec, frame()["ec_ds_m"])
    assert table.sample.tolist() == frame()["sample_id"].tolist()
    assert table.group.tolist() == frame()["profile_id"].tolist()
    assert table.region.tolist() == frame()["country"].tolist()
    assert table.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_columns_that_have_no_part_in_training_change_nothing(tmp_path):
    other = frame().assign(depth_cm="deep", lat=99.0, clay_pct=np.inf)
    first, second = read(tmp_path, frame()), read(tmp_path, other)
    np.testing.assert_array_equal(first.reflectance, second.reflectance)
    assert first.region.tolist() == second.region.tolist()


@pytest.mark.parametrize(
    ("present", "group", "region"),
    [
        (("profile_id", "country"), "profile_id", "country"),
        (("site", "region"), "region", "region"),
        (("country", "site"), "site", "country"),
        (("country",), "country", "country"),
        (("profile", "region", "country"), "profile", "region"),
        (("group",), "group", "group"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_groups_and_regions_are_found_by_their_usual_names(tmp_path, present, group, region):
    table = frame().drop(columns=["profile_id", "country"])
    for name in present:
        table[name] = [f"{name} {i % 5}" for i in range(len(table))]
    read_back = read(tmp_path, table)
    assert read_back.group[0] == f"{group} 0"
    assert read_back.region[0] == f"{region} 0"


def test_columns_that_are_named_win_over_usual_ones(tmp_path):
    table = frame().assign(plot="p", zone="z")
    read_back = read(tmp_path, table, group="plot", region="zone")
    assert (read_back.group[0], read_back.region[0]) == ("p", "z")


def test_regions_that_are_partly_unknown_are_not_used(tmp_path):
    table = frame()
    table.loc[3, "country"] = None
    read_back = read(tmp_path, table)
    assert read_back.region.tolist() == read_back.group.tolist()
    assert "country is empty in 1 rows" in read_back.warnings[0]


def test_a_country_code_that_looks_missing_is_a_name(tmp_path):
    assert set(read(tmp_path, frame().assign(country="NA")).region) == {"NA"}


def test_suspect_rows_are_left_out_and_counted(tmp_path):
    table = frame().assign(ec_suspect=[True] * 3 + [False] * 37)
    table.loc[0, "ec_ds_m"] = -5.0  # whoever marks it knows
    read_back = read(tmp_path, table)
    assert read_back.sample[0] == "003"
    assert read_back.dropped == {"suspect label": 3}


def test_small_holes_are_filled_between_the_neighbours(tmp_path):
    table = frame()
    table.loc[0, "r700"] = np.nan
    read_back = read(tmp_path, table)
    expected = (table.loc[0, "r690"] + table.loc[0, "r710"]) / 2
    assert read_back.reflectance[0, CHANNELS.index("r700")] == pytest.approx(expected, rel=1e-6)
    assert read_back.dropped == {}


def test_broken_spectra_are_left_out_and_counted(tmp_path):
    table = frame()
    table.loc[0, CHANNELS[: int(MAX_MISSING_SHARE * 180) + 1]] = np.nan
    table.loc[1, CHANNELS] = 0.0
    read_back = read(tmp_path, table)
    assert read_back.sample[0] == "002"
    assert read_back.dropped == {"too many missing bands": 1, "not above 0 in half the bands": 1}


def test_a_band_without_values_is_not_usable_and_stays_missing(tmp_path):
    read_back = read(tmp_path, frame().assign(r700=np.nan))
    band = CHANNELS.index("r700")
    assert not read_back.bands.usable[band]
    assert np.isnan(read_back.reflectance[:, band]).all()
    assert np.isfinite(np.delete(read_back.reflectance, band, axis=1)).all()


def test_rows_without_a_label_stay_as_unlabelled(tmp_path):
    table = frame()
    table.loc[[1, 4], "ec_ds_m"] = np.nan
    assert np.flatnonzero(~read(tmp_path, table).labelled).tolist() == [1, 4]


def test_an_unlabelled_table_needs_neither_label_nor_group(tmp_path):
    table = frame().drop(columns=["ec_ds_m", "profile_id", "country"])
    read_back = read(tmp_path, table, "unlabelled")
    assert not read_back.labelled.any()
    assert set(read_back.group) == {""}


def test_the_labels_of_an_unlabelled_table_are_ignored(tmp_path):
    table = frame().assign(ec_ds_m="unknown", ec_suspect="perhaps")
    assert not read(tmp_path, table, "unlabelled").labelled.any()


def test_labels_in_a_given_unit_become_ds_m(tmp_path):
    table = frame()
    np.testing.assert_allclose(read(tmp_path, table, ec_unit="mS/m").ec, table["ec_ds_m"] / 100)


@pytest.mark.parametrize(
    ("labels", "warned"),
    [
        (np.geomspace(5, 60, 40), True),  # ordinary soils in mS/m
        (np.geomspace(0.5, 400, 40), True),  # one above saturated brine
        (np.geomspace(0.3, 90, 40), False),  # saline oasis, dS/m
        (np.geomspace(0.02, 5, 40), False),  # ordinary soils, dS/m
    ],
    ids=["median", "brine", "saline", "ordinary"],
)
def test_labels_that_look_like_another_unit_are_warned_of(tmp_path, caplog, labels, warned):
    with caplog.at_level(logging.WARNING):
        table = read(tmp_path, frame().assign(ec_ds_m=labels))
    assert any("looks like mS/m" in warning for warning in table.warnings) == warned
    assert ("--ec-unit" in caplog.text) == warned
    np.testing.assert_array_equal(table.ec, labels)


def test_a_stated_unit_settles_the_doubt(tmp_path):
    table = frame().assign(ec_ds_m=np.geomspace(10, 200, 40))
    assert read(tmp_path, table, ec_unit="dS/m").warnings == ()


def test_the_method_of_a_label_is_kept_with_it(tmp_path):
    table = frame().assign(ec_method=["ECe", None] * 20)
    assert read(tmp_path, table, ec_method="1:5").ec_method[:2].tolist() == ["ECe", "1:5"]


def test_a_sample_may_stand_in_several_scenes(tmp_path):
    table = frame().assign(
        sample_id=[f"{i // 2}" for i in range(40)], scene_id=["a", "b"] * 20, lab_sample_id="L7"
    )
    read_back = read(tmp_path, table, "satellite")
    assert read_back.scene[:2].tolist() == ["a", "b"]
    assert set(read_back.lab_sample) == {"L7"}


def test_samples_without_a_name_are_nobodys_repeat(tmp_path):
    assert read(tmp_path, frame().assign(sample_id="")).sample.size == 40


def test_a_table_says_itself_that_it_is_simulated(tmp_path):
    assert read(tmp_path, frame().assign(simulated=True)).simulated
    assert not read(tmp_path, frame()).simulated


def test_a_csv_names_the_columns_of_its_sensor(tmp_path):
    bands = pd.DataFrame(
        {
            "column": [f"ch {i}" for i in range(180)],
            "center_nm": LAB.centers_nm,
            "fwhm_nm": LAB.fwhm_nm,
        }
    )
    bands.sample(frac=1.0, random_state=0).to_csv(tmp_path / "bands.csv", index=False)
    named = frame().rename(columns=dict(zip(CHANNELS, bands["column"], strict=True)))
    spec = TableSpec.parse(f"{write(tmp_path, named)}@{tmp_path / 'bands.csv'}", "satellite")
    table = read_training_table(spec)
    order = np.argsort(table.bands.centers_nm)
    np.testing.assert_allclose(table.reflectance[:, order], frame()[CHANNELS], rtol=1e-6)


def _set(column, value, row=5):
    def spoil(table):
        table[column] = table[column].astype(object) if column in table else None
        table.loc[row, column] = value

    return spoil


def _drop(*columns):
    return lambda table: table.drop(columns=list(columns), inplace=True)


def _times(factor):
    def spoil(table):
        table[CHANNELS] *= factor

    return spoil


def _micrometres(table):
    table.rename(columns={c: f"r{float(c[1:]) / 1000:g}" for c in CHANNELS}, inplace=True)


def _hole(table):
    table[CHANNELS[30:40]] = np.nan


def _alike(table):
    table[CHANNELS] = table.loc[0, CHANNELS].to_numpy(dtype=float)


def _empty(table):
    table.loc[::2, CHANNELS[:90]] = np.nan
    table.loc[1::2, CHANNELS[90:]] = np.nan


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_set("ec_ds_m", -0.1), "'-0.1' in sample 005 .1 such.*not negative"),
        (_set("ec_ds_m", 501), "'501' in sample 005.*--ec-unit mS/m"),
        (_set("ec_ds_m", "inf"), "'inf' in sample 005.*give numbers"),
        (_set("ec_ds_m", "high"), "'high' in sample 005.*give numbers"),
        (_set("ec_ds_m", "1,5"), "'1,5' in sample 005.*give numbers"),
        (_drop("ec_ds_m"), "no column ec_ds_m; its other columns are sample_id, profile_id"),
        (_drop("profile_id", "country"), "no column of groups.*sample_id, ec_ds_m.*--group"),
        (_set("profile_id", None), "profile_id is empty in 1 rows, such as sample 005"),
        (_set("sample_id", "004"), "sample_id 004 more than once"),
        (_set("ec_suspect", "perhaps"), "ec_suspect holds 'perhaps' in sample 005"),
        (_set("simulated", "true"), "1 simulated rows among 40"),
        (_times(100), "looks like percent"),
        (_times(10000), "reflectance x 10000"),
        (_micrometres, "look like micrometres"),
        (_empty, "no complete spectrum .40 too many missing bands"),
        (_hole, r"t.csv: the usable bands do not cover"),
        (_alike, "all 40 spectra are equal"),
    ],
    ids=[
        "negative",
        "impossible",
        "infinite",
        "text",
        "comma",
        "no-label",
        "no-group",
        "empty-group",
        "repeat",
        "suspect-text",
        "mixed",
        "percent",
        "integers",
        "micrometres",
        "no-spectrum",
        "hole",
        "alike",
    ],
)
@pytest.mark.parametrize("kind", ["laboratory", "satellite"])
def test_a_bad_table_is_refused_in_one_sentence(tmp_path, spoil, message, kind):
    table = frame()
    spoil(table)
    with pytest.raises(FormatError, match=message) as caught:
        read(tmp_path, table, kind)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "t.csv") in str(caught.value)


@pytest.mark.parametrize("setting", ["group", "region", "suspect", "ec"])
def test_a_named_column_that_is_absent_is_refused(tmp_path, setting):
    with pytest.raises(FormatError, match="no column plot; its other columns are sample_id"):
        read(tmp_path, frame(), **{setting: "plot"})


def test_a_repeat_within_one_scene_is_refused(tmp_path):
    table = frame().assign(sample_id="s", scene_id=[f"{i % 39}" for i in range(40)])
    with pytest.raises(FormatError, match="sample_id s, scene_id 0 more than once"):
        read(tmp_path, table, "satellite")


def test_rows_without_a_sample_are_told_by_their_number(tmp_path):
    table = frame().drop(columns="sample_id").assign(ec_suspect=[True] + [False] * 39)
    table.loc[5, "ec_ds_m"] = -1.0
    with pytest.raises(FormatError, match="in row 6 "):
        read(tmp_path, table)


def test_taking_rows_takes_them_everywhere(tmp_path):
    table = read(tmp_path, frame())
    taken = table.take(np.array([7, 2]))
    assert taken.sample.tolist() == ["007", "002"]
    np.testing.assert_array_equal(taken.reflectance, table.reflectance[[7, 2]])
    np.testing.assert_array_equal(taken.ec, table.ec[[7, 2]])
    assert taken.bands == table.bands


def test_labels_are_counted_over_all_tables(tmp_path):
    table = read(tmp_path, frame())
    some = table.take(np.arange(20))
    check_labels([some, some])
    with pytest.raises(FormatError, match=r"20 spectra have a label.*t.csv has 20.*at least 30"):
        check_labels([some])


def test_the_real_library_is_read_whole():
    path = shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz")
    table = read_training_table(TableSpec.parse(str(path), "laboratory"))
    assert table.labelled.sum() == 2688
    assert table.dropped == {"suspect label": 4}
    assert table.warnings == ()
    assert (len(set(table.group)), len(set(table.region))) == (572, 51)


def test_a_table_of_several_sensors_is_a_table_each(tmp_path: Path) -> None:
    parts = []
    for sensor in ("enmap", "prisma"):
        bands = sensor_bands(sensor)
        names = [
            f"r{nm:g}" for nm, used in zip(bands.centers_nm, bands.usable, strict=True) if used
        ]
        spectra = pd.DataFrame(np.random.default_rng(1).uniform(0.1, 0.4, (3, len(names))))
        spectra.columns = pd.Index(names)
        said = {"sensor": sensor, "sample_id": ["a", "b", ""], "ec_ds_m": 1.0}
        parts.append(spectra.assign(**said, site=["x", "y", "z"], ec_method="ECe"))
    path = write(tmp_path, pd.concat(parts))
    specs = TableSpec.each(str(path), "satellite")
    tables = [read_training_table(spec) for spec in specs]
    assert [table.sensor for table in tables] == ["enmap", "prisma"]
    assert [len(table.sample) for table in tables] == [3, 3]
    for table in tables:
        assert sum(table.bands.usable) == sum(sensor_bands(table.sensor).usable)
    check_apart(tables)
    (part,) = TableSpec.each(f"{path}@prisma", "satellite")
    assert len(read_training_table(part).sample) == 3
    enmap, prisma = (set(as_measured(table).site) for table in tables)
    assert len(enmap & prisma) == 2  # looks at one site share its weight


def test_a_satellite_table_whose_rows_name_no_sensor_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, pd.DataFrame({"r450": [0.1]}))
    with pytest.raises(UsageError, match="or a table with a column sensor"):
        TableSpec.each(str(path), "satellite")


def test_how_well_a_label_is_known_is_read(tmp_path: Path) -> None:
    table = frame()
    table["log_ec_sd"] = [0.3, *[""] * (len(table) - 1)]
    found = read(tmp_path, table).label_sd
    assert found is not None
    assert found.tolist() == [0.3] * len(table)  # what is not stated is not exact


def test_a_standard_deviation_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="column log_ec_sd holds"):
        read(tmp_path, frame().assign(log_ec_sd=-0.1))


def test_sites_with_coordinates_are_grouped_by_blocks_of_neighbours(tmp_path: Path) -> None:
    table = frame()
    table = table.drop(columns=[name for name in GROUP_COLUMNS if name in table])
    table = table.assign(lon=np.linspace(84, 85, len(table)), lat=40.0, site=range(len(table)))
    found = read(tmp_path, table, kind="satellite")
    assert found.position is not None
    ((placed,), _) = with_blocks([found])
    assert set(placed.group) == set(placed.region)
    assert all(name.startswith("block ") for name in placed.group)


def test_a_column_of_groups_counts_before_coordinates(tmp_path: Path) -> None:
    table = frame()
    found = read(tmp_path, table.assign(lon=84.0, lat=40.0), kind="satellite")
    assert found.group_column == "profile_id"
    assert found.position is None
