"""Mid-infrared tables: what is read, what the features keep, what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepsalt.errors import FormatError
from deepsalt.spectral.infrared import infrared_features, read_infrared, wavenumber_columns
from tests.shared import shared_data
from tests.train.tables import infrared_frame, write

IDS = np.array([f"{row:03d}" for row in range(6)])


def frame() -> pd.DataFrame:
    return infrared_frame(IDS, np.linspace(-3.0, 1.0, 6))


@pytest.mark.parametrize(
    ("folder", "file", "rows"),
    [
        ("kssl-mir-toy", "toy_kssl_mir.csv.gz", 500),
        ("ossl-sample-spectra", "sample_mir_data.csv.gz", 20),  # from 4001.656 downwards
    ],
    ids=["kssl", "ossl"],
)
def test_real_tables_read_as_they_come(folder: str, file: str, rows: int) -> None:
    table = read_infrared(shared_data(folder, file))
    assert table.features.shape[0] == np.unique(table.sample).size == rows
    assert np.isfinite(table.features).all()


def test_spectra_of_the_kellogg_laboratory_are_told_apart_by_their_clay() -> None:
    path = shared_data("kssl-mir-toy", "toy_kssl_mir.csv.gz")
    clay = pd.read_csv(path, usecols=["clay.tot_usda.a334_w.pct"]).to_numpy()[:, 0]
    features = read_infrared(path).features[np.isfinite(clay)]
    best = np.corrcoef(features.T, clay[np.isfinite(clay)])[-1, :-1]
    assert np.abs(best).max() > 0.6


def test_only_bare_wavenumbers_are_spectral_columns() -> None:
    names = ["600", "600.5", "r600", "id", "oc_usda.c729_w.pct", "-600", "6e2", 700]
    assert wavenumber_columns(names) == {"600": 600.0, "600.5": 600.5, "700": 700.0}


def test_names_of_samples_stay_as_they_are_written(tmp_path: Path) -> None:
    assert read_infrared(write(tmp_path, frame())).sample.tolist() == IDS.tolist()


def test_csv_and_parquet_in_any_order_give_the_same_features(tmp_path: Path) -> None:
    straight = write(tmp_path, frame())
    mixed = tmp_path / "mixed.parquet"
    frame()[frame().columns[::-1]].to_parquet(mixed)
    one, two = read_infrared(straight), read_infrared(mixed)
    assert np.array_equal(one.features, two.features)


def test_gain_and_offset_of_a_spectrum_change_levels_alone() -> None:
    cm1 = np.arange(600.0, 4001.0, 4.0)
    spectrum = np.sin(cm1 / 150.0)[None, :] + 1.0
    one, two = (infrared_features(f * spectrum + a, cm1, "") for f, a in ((1, 0), (1.4, 0.2)))
    np.testing.assert_allclose(one[:, :-2], two[:, :-2], atol=1e-9)
    assert (np.abs(one[:, -2:] - two[:, -2:]) > 0.1).all()


def test_the_spacing_of_an_instrument_hardly_matters() -> None:
    fine, coarse = np.arange(600.0, 4001.0, 2.0), np.arange(640.0, 3970.0, 7.7)
    one, two = (
        infrared_features(np.sin(cm1 / 150.0)[None, :] + 1.0, cm1, "") for cm1 in (fine, coarse)
    )
    np.testing.assert_allclose(one, two, atol=0.03)


def test_carbon_dioxide_in_the_path_is_not_seen() -> None:
    cm1 = np.arange(600.0, 4001.0, 2.0)
    clear = np.sin(cm1 / 150.0)[None, :] + 1.0
    gas = np.exp(-0.5 * ((cm1 - 2349.0) / 12.0) ** 2)
    one, two = (infrared_features(clear + amount * gas, cm1, "") for amount in (0.0, 0.5))
    np.testing.assert_allclose(one, two, atol=5e-3)


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


def _percent(table: pd.DataFrame) -> pd.DataFrame:
    names = list(wavenumber_columns(table.columns))
    return table.assign(**(table[names] * 100))


BAD: dict[str, tuple[Spoil, str]] = {
    "no-spectra": (lambda t: t[["sample_id"]], "has no spectral columns; name those"),
    "no-names": (lambda t: t.drop(columns="sample_id"), "no column sample_id"),
    "empty-name": (lambda t: t.assign(sample_id=t.sample_id[:4]), "empty in 2 rows"),
    "repeated": (lambda t: t.assign(sample_id="x"), r"sample x more than once \(5 repeated"),
    "hole": (lambda t: t.assign(**{"1000": None}), r"column 1000 has no value.*6 such values in 1"),
    "percent": (_percent, "absorbance lies between"),
    "nodata": (lambda t: t.assign(**{"1000": -9999.0}), "column 1000 holds -9999 in sample 000"),
    "text": (lambda t: t.assign(**{"1000": "high"}), "column 1000: .*give numbers"),
    "same": (lambda t: t.assign(**{"600.0": t["600"]}), "two columns at 600 cm-1"),
    "short": (lambda t: t.drop(columns=[f"{n}" for n in range(3000, 3100, 10)]), "around 2992 cm"),
}


@pytest.mark.parametrize(("spoil", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_table_is_refused_in_one_sentence(tmp_path: Path, spoil: Spoil, said: str) -> None:
    with pytest.raises(FormatError, match=said) as refusal:
        read_infrared(write(tmp_path, spoil(frame())))
    assert "\n" not in str(refusal.value)


def test_a_column_that_the_grid_does_not_need_may_be_empty(tmp_path: Path) -> None:
    path = write(tmp_path, frame().assign(**{"2340": None}))
    assert np.isfinite(read_infrared(path).features).all()
