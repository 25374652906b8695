"""Prediction over tables."""

import numpy as np
import pandas as pd
import pytest

from deepsalt.errors import FormatError, UsageError
from deepsalt.layers import CHANCE_COLUMNS
from deepsalt.model.load import model_ref
from deepsalt.predict.table import COVER_SCORE, predict_table
from deepsalt.spectral.bands import sensor_bands
from deepsalt.spectral.table import match_columns, read_table, spectral_columns
from deepsalt.types import QualityFlag
from tests.model.students import soils, write_tiny
from tests.shared import shared_data

LAB = sensor_bands("lab")
ADDED = [
    "salinity",
    "salinity_lower",
    "salinity_upper",
    *CHANCE_COLUMNS,
    "quality_flags",
    "domain_score",
]


@pytest.fixture(scope="module")
def ref(tmp_path_factory):
    return model_ref(write_tiny(tmp_path_factory.mktemp("model")))


def spectra(sensor: str = "lab", rows: int = 5, digits: int = 2) -> pd.DataFrame:
    bands = sensor_bands(sensor)
    names = [f"r{round(center, digits):g}" for center in bands.centers_nm]
    table = pd.DataFrame(soils(rows, bands.centers_nm), columns=names)
    table.insert(0, "sample_id", [f"{i:03d}" for i in range(rows)])
    table["note"] = [("", "a,b", "NA", "1.50", '"quoted"')[row % 5] for row in range(rows)]
    return table


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("sensor", ["lab", "enmap", "prisma"])
def test_every_row_is_estimated_for_every_sensor_and_kind(tmp_path, ref, sensor, kind):
    source, out = tmp_path / f"in{kind}", tmp_path / f"out{kind}"
    table = spectra(sensor, digits=6)
    table.to_parquet(source) if kind == ".parquet" else table.to_csv(source, index=False)
    report = predict_table(source, out, sensor=sensor, ref=ref)
    result = read_table(out)
    assert report.pixels == report.estimated == len(table)
    assert list(result.columns[: len(ADDED)]) == ADDED
    assert (result.salinity_lower <= result.salinity).all()
    assert (result.salinity <= result.salinity_upper).all()


def test_probabilities_follow_the_share_of_saline_soils(tmp_path, ref):
    spectra("lab", digits=6).to_csv(tmp_path / "in.csv", index=False)
    found = []
    for share in (None, (1.0, 0.01), (1.0, 0.6)):
        predict_table(
            tmp_path / "in.csv", tmp_path / "out.csv", sensor="lab", ref=ref, prevalence=share
        )
        found.append(read_table(tmp_path / "out.csv")["p_above_2"])
    as_trained, rarer, commoner = found  # a tenth of the training is above 1 dS/m
    assert (rarer < as_trained).all()
    assert (as_trained < commoner).all()


def test_other_columns_and_the_row_order_stay_to_the_letter(tmp_path, ref):
    table = spectra()[::-1]
    table.to_csv(tmp_path / "in.csv", index=False)
    predict_table(tmp_path / "in.csv", tmp_path / "out.csv", sensor="lab", ref=ref)
    before, after = (
        pd.read_csv(tmp_path / name, dtype=str, keep_default_na=False)
        for name in ("in.csv", "out.csv")
    )
    pd.testing.assert_frame_equal(after[["sample_id", "note"]], before[["sample_id", "note"]])


def test_the_same_spectrum_gives_the_same_salinity_in_any_table(tmp_path, ref):
    table = spectra()
    table.to_csv(tmp_path / "all.csv", index=False)
    table[3:4].to_csv(tmp_path / "one.csv", index=False)
    for name in ("all", "one"):
        predict_table(tmp_path / f"{name}.csv", tmp_path / f"{name}-out.csv", sensor="lab", ref=ref)
    every, one = (pd.read_csv(tmp_path / f"{name}-out.csv") for name in ("all", "one"))
    assert every.salinity[3] == one.salinity[0]


def test_rows_that_cannot_be_estimated_say_why_and_keep_their_place(tmp_path, ref):
    table = spectra()
    table.iloc[1, 1:181] = np.nan
    table.iloc[2, 1:60] = np.nan
    table.iloc[3, 1:181] = 0.0
    table.to_csv(tmp_path / "in.csv", index=False)
    report = predict_table(tmp_path / "in.csv", tmp_path / "out.csv", sensor="lab", ref=ref)
    result = pd.read_csv(tmp_path / "out.csv")
    assert result.salinity.isna().tolist() == [False, True, True, True, False]
    assert result.quality_flags[1:4].tolist() == [
        QualityFlag.OUTSIDE,
        QualityFlag.DEFECTIVE,
        QualityFlag.DEFECTIVE,
    ]
    assert report.estimated == 2
    assert dict(report.by_flag)["defective"] == 2


def test_salt_crusts_of_a_lake_seen_by_emit_are_estimated_and_not_flagged(tmp_path):
    pixels = pd.read_csv(shared_data("emit-sevier-marmit", "emit_sevier_lake_pixels.csv"))
    measured = [name for name in pixels.columns if name.startswith("meas_")]
    table = pixels[measured].rename(columns=lambda name: f"r{name[5:].removesuffix('nm')}")
    table.insert(0, "sample_id", [f"pixel {row}" for row in range(len(table))])
    table.to_csv(tmp_path / "in.csv", index=False)
    predict_table(tmp_path / "in.csv", tmp_path / "out.csv", sensor="emit", ref=model_ref())
    result = pd.read_csv(tmp_path / "out.csv")
    assert result.salinity.notna().all()
    assert result.salinity.median() > 0.5
    assert not (result.quality_flags & int(QualityFlag.OUT_OF_DOMAIN)).any()


def test_one_model_reads_a_sensor_of_5_nm_as_it_reads_enmap(tmp_path):
    # Tanager-1: 426 bands from 376 to 2499 nm.
    centers = np.linspace(376.0, 2499.0, 426)
    names = [f"b{band}" for band in range(426)]
    bands = tmp_path / "tanager.csv"
    pd.DataFrame({"column": names, "center_nm": centers, "fwhm_nm": 5.5}).to_csv(bands, index=False)
    fine = pd.DataFrame(soils(20, tuple(centers)), columns=names)
    tables = {"enmap": spectra("enmap", rows=20), str(bands): fine}
    found = []
    for sensor, table in tables.items():
        table["sample_id"] = [str(row) for row in range(20)]
        table.to_csv(tmp_path / "in.csv", index=False)
        predict_table(tmp_path / "in.csv", tmp_path / "out.csv", sensor=sensor, ref=model_ref())
        found.append(pd.read_csv(tmp_path / "out.csv"))
    enmap, tanager = found
    apart = np.log1p(tanager.salinity) - np.log1p(enmap.salinity)
    width = np.log1p(enmap.salinity_upper) - np.log1p(enmap.salinity_lower)
    assert (apart.abs() < 0.25 * width).all()


def test_the_domain_score_is_above_one_just_where_a_row_is_out_of_domain(tmp_path, ref):
    table = spectra(rows=5)
    nm = np.array(LAB.centers_nm)
    table.iloc[0, 1:181] = np.where(nm < 700.0, 0.05, 0.45)  # green plants
    table.iloc[1, 1:181] = np.where(nm < 900.0, 0.06, 0.005)  # water
    table.iloc[2, 1:181] = 0.3 + 0.25 * np.random.default_rng(0).normal(size=180)
    table.iloc[3, 1:181] = np.nan
    table.to_csv(tmp_path / "in.csv", index=False)
    predict_table(tmp_path / "in.csv", tmp_path / "out.csv", sensor="lab", ref=ref)
    result = pd.read_csv(tmp_path / "out.csv")
    flagged = (result.quality_flags & int(QualityFlag.OUT_OF_DOMAIN)) > 0
    assert ((result.domain_score > 1.0) == flagged).all()
    assert (result.domain_score[:2] >= COVER_SCORE).all()
    assert result.domain_score.isna().tolist() == result.salinity.isna().tolist()


def test_a_table_without_a_single_value_says_so_row_by_row(tmp_path, ref):
    table = spectra()
    table.iloc[:, 1:181] = np.nan
    table.to_csv(tmp_path / "in.csv", index=False)
    report = predict_table(tmp_path / "in.csv", tmp_path / "out.csv", sensor="lab", ref=ref)
    assert dict(report.by_flag) == {"outside": 5}


@pytest.mark.parametrize("value", [np.nan, -9999.0, 1e9, np.inf], ids=str)
def test_a_single_bad_value_is_filled(tmp_path, ref, value):
    # Enough rows that one wrong number is no sign of another unit.
    table = spectra(rows=5)
    table = pd.concat([table] * 4, ignore_index=True)
    expected = _predict(tmp_path, table, ref)
    table.loc[0, "r700"] = value
    assert _predict(tmp_path, table, ref)[0] == pytest.approx(expected[0], rel=0.1)


def _predict(tmp_path, table, ref, sensor="lab"):
    table.to_parquet(tmp_path / "in.parquet")
    predict_table(tmp_path / "in.parquet", tmp_path / "out.parquet", sensor=sensor, ref=ref)
    return pd.read_parquet(tmp_path / "out.parquet").salinity


def test_bands_the_table_lacks_are_closed_when_the_hole_is_small(tmp_path, ref):
    table = spectra()
    expected = _predict(tmp_path, table, ref)
    without = _predict(tmp_path, table.drop(columns=["r700", "r710"]), ref)
    np.testing.assert_allclose(without, expected, rtol=0.1)


def test_columns_beside_the_bands_of_the_sensor_are_ignored(tmp_path, ref):
    table = spectra()
    expected = _predict(tmp_path, table, ref)
    extra = table.assign(r350=9e9, r705=0.9, radiance=1.0, r=2.0)
    assert (_predict(tmp_path, extra, ref) == expected).all()


def test_bright_snow_is_no_percent(tmp_path, ref):
    table = spectra()
    table.iloc[0, 1:60] = 1.2
    assert _predict(tmp_path, table, ref).notna().all()


def _percent(table):
    table.iloc[:, 1:181] *= 100


def _integers(table):
    table.iloc[:, 1:181] *= 10000


def _text(table):
    table["r700"] = "bright"


def _twice(table):
    table["r700.0"] = table["r700"]


def _none(table):
    table.drop(columns=list(spectral_columns(table.columns)), inplace=True)


def _micrometres(table):
    table.rename(
        columns={c: f"r{nm / 1000:g}" for c, nm in spectral_columns(table).items()}, inplace=True
    )


def _no_swir(table):
    table.drop(columns=[c for c, nm in spectral_columns(table).items() if nm > 1000], inplace=True)


def _predicted_before(table):
    table["salinity"] = 1.0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_percent, "looks like percent"),
        (_integers, "reflectance x 10000"),
        (_text, "column r700"),
        (_twice, "two columns at 700 nm"),
        (_none, "no spectral columns"),
        (_micrometres, "in nm"),
        (_no_swir, "do not cover"),
        (_predicted_before, "already has"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_table_that_does_not_fit_is_refused_in_one_sentence(tmp_path, ref, spoil, message):
    table = spectra()
    spoil(table)
    table.to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(FormatError, match=message) as caught:
        predict_table(tmp_path / "in.csv", tmp_path / "out.csv", sensor="lab", ref=ref)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.csv", None),
        ("empty.csv", b""),
        ("header.csv", b"sample_id,r400\n"),
        ("binary.csv", bytes(range(256))),
        ("binary.parquet", b"PAR1 not really"),
        ("table.xlsx", b"PK"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_table_is_refused_in_one_sentence(tmp_path, ref, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=name) as caught:
        predict_table(tmp_path / name, tmp_path / "out.csv", sensor="lab", ref=ref)
    assert "\n" not in str(caught.value)


def test_the_table_itself_is_never_overwritten(tmp_path, ref):
    path = tmp_path / "in.csv"
    spectra().to_csv(path, index=False)
    (tmp_path / "link.csv").symlink_to(path)
    with pytest.raises(UsageError, match="another file"):
        predict_table(path, tmp_path / "link.csv", sensor="lab", ref=ref)


def test_nothing_is_left_behind_where_the_table_cannot_be_written(tmp_path, ref):
    spectra().to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(FormatError, match="cannot be written"):
        predict_table(tmp_path / "in.csv", tmp_path / "no" / "out.csv", sensor="lab", ref=ref)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_an_unknown_kind_of_output_is_refused_before_reading(tmp_path, ref):
    with pytest.raises(FormatError, match="one of these extensions"):
        predict_table(tmp_path / "absent.csv", tmp_path / "out.txt", sensor="lab", ref=ref)


def test_bands_from_a_file_say_centre_and_width(tmp_path, ref):
    table = spectra()
    lines = ["center_nm,fwhm_nm", *(f"{nm + 1.0},10" for nm in LAB.centers_nm)]
    (tmp_path / "bands.csv").write_text("\n".join(lines))
    own = _predict(tmp_path, table, ref, str(tmp_path / "bands.csv"))
    assert own.notna().all()
    assert (own != _predict(tmp_path, table, ref)).any()


def test_each_column_belongs_to_one_band_and_each_band_to_one_column():
    columns = {f"r{nm}": float(nm) for nm in range(420, 1400, 10)}
    columns |= {"r400": 400.0, "r404": 404.0, "r410.2": 410.2}
    matched = match_columns(columns, LAB, "a table")
    assert matched[0] == "r400"
    assert matched[1] == "r410.2"
    assert "r404" not in matched.values()


def test_the_shipped_model_beats_the_mean_on_the_real_library(tmp_path):
    # Rows the model was trained on: shows that table, bands and units are read right, no skill.
    source = shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz")
    report = predict_table(source, tmp_path / "out.parquet", sensor="lab", ref=model_ref())
    result = pd.read_parquet(tmp_path / "out.parquet")
    assert report.estimated == report.pixels == 3249
    known = pd.to_numeric(result.ec_ds_m).notna() & (result.ec_suspect != "True")
    observed = np.log(pd.to_numeric(result.ec_ds_m[known]) + 0.03)
    predicted = np.log(result.salinity[known] + 0.03)
    assert ((observed - predicted) ** 2).mean() < 0.7 * observed.var()


def test_the_shipped_model_flags_no_real_salt_crust(tmp_path):
    source = shared_data("usgs-splib07-av95", "selected_salts_minerals_cover.csv.gz")
    table = pd.read_csv(source)
    table = table[table.group.isin(["halite", "gypsum", "thenardite", "playa"])]
    assert _scored(tmp_path, table, _usgs_bands(tmp_path)).max() <= 1.0


@pytest.mark.parametrize("cover", ["built", "vegetation"])
def test_the_shipped_model_tells_other_surfaces_from_soils(tmp_path, cover):
    # Soils are rows the model was trained on; those of other regions score alike (99 % below 0.8).
    other = pd.read_csv(shared_data("earthlib-cover", "earthlib_non_icraf.csv.gz"))
    soil = pd.read_csv(shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz"))
    strange = _scored(tmp_path, other[cover == other.LEVEL_2][:400], "lab").to_numpy()
    usual = _scored(tmp_path, soil[:400], "lab").to_numpy()
    assert (strange[:, None] > usual[None, :]).mean() >= 0.9


def _usgs_bands(folder):
    bands = pd.read_csv(shared_data("usgs-splib07-av95", "bands.csv"))
    bands[["center_nm", "fwhm_nm"]].sort_values("center_nm").to_csv(folder / "b.csv", index=False)
    return str(folder / "b.csv")


def _scored(tmp_path, table, sensor):
    table.to_parquet(tmp_path / "in.parquet")
    predict_table(tmp_path / "in.parquet", tmp_path / "out.parquet", sensor=sensor, ref=model_ref())
    return pd.read_parquet(tmp_path / "out.parquet").domain_score
