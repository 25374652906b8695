"""The commands `train` and `predict-table`: grammar, outputs, refusals."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import Result

from deepsalt.model.card import WEIGHTS_FILE, ModelCard
from deepsalt.model.load import model_card, model_ref
from deepsalt.train.student.base import FROM_BASE
from tests.flows.conftest import deepsalt
from tests.train.tables import LAB, infrared_frame, lab_frame, site_frame, write

SETTINGS = """
sensors = ["enmap"]
components = 12
inducing_points = 32
networks = 0
folds = 2
region_folds = 2
inner_folds = 2
adaptations = []
weights = [0, 1]
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for name, seed in (("a.csv", 0), ("b.csv", 1)):
        write(folder, lab_frame(40, seed=seed).assign(region=_spread("Q", 40)), name)
    for name, seed in (("c.csv", 2), ("d.csv", 3)):
        write(folder, site_frame(40, seed=seed), name)
    write(folder, site_frame(20, seed=4).drop(columns=["ec_ds_m", "site", "region"]), "e.csv")
    (folder / "own.csv").write_text(
        "column,center_nm,fwhm_nm\n"
        + "".join(
            f"ch{i},{nm},{fwhm}\n"
            for i, (nm, fwhm) in enumerate(zip(LAB.centers_nm, LAB.fwhm_nm, strict=True))
        )
    )
    names = {f"r{nm:.7g}": f"ch{i}" for i, nm in enumerate(LAB.centers_nm)}
    write(folder, site_frame(40, seed=5, bands=LAB).rename(columns=names), "own_sites.csv")
    (folder / "train.toml").write_text(SETTINGS)
    return folder


def _spread(letter: str, rows: int) -> list[str]:
    return [f"{letter}{row % 4}" for row in range(rows)]


def train(tables: Path, out: Path, *args: object) -> ModelCard:
    result = deepsalt("train", *args, "--config", tables / "train.toml", "--out", out)
    assert result.exit_code == 0, (result.output, result.exception)
    return model_card(model_ref(out))


def refused(*args: object) -> str:
    """Return the sentence with which a command ends that cannot be followed."""
    error = deepsalt(*args).exception
    assert getattr(error, "exit_code", None) == 2, repr(error)
    sentence = str(error)
    assert "\n" not in sentence
    return sentence


@pytest.fixture(scope="module")
def everything(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of all kinds of tables, by the whole grammar at once."""
    out = tmp_path_factory.mktemp("everything") / "model"
    # fmt: off
    train(
        tables, out,
        "--lab", tables / "a.csv", tables / "b.csv",
        "--satellite", f"{tables / 'c.csv'}@enmap", f"{tables / 'd.csv'}@enmap",
        "--unlabelled", f"{tables / 'e.csv'}@enmap",
        "--group", "region", "--ec-unit", "dS/m",
    )
    # fmt: on
    return out


def test_all_kinds_of_tables_train_by_one_command(everything: Path) -> None:
    card = model_card(model_ref(everything))
    assert [(source.name, source.kind) for source in card.data[:5]] == [
        ("a.csv", "laboratory"),
        ("b.csv", "laboratory"),
        ("c.csv", "satellite"),
        ("d.csv", "satellite"),
        ("e.csv", "unlabelled"),
    ]
    assert {score.split for score in card.scores} == {"region"}


def test_a_model_before_that_was_moved_is_named_with_its_sources(everything: Path) -> None:
    card, shipped = model_card(model_ref(everything)), model_card(model_ref())
    assert card.training["base"]["name"] == shipped.name
    is_moved = card.training["chosen"]["picked"] in FROM_BASE
    assert card.data[5:] == (shipped.data if is_moved else ())
    assert "shipped model" in {score.method for score in card.scores}


def test_weights_card_item_and_report_are_written(everything: Path) -> None:
    assert {"card.json", "item.json", "report.md", WEIGHTS_FILE} <= {
        path.name for path in everything.iterdir()
    }
    item = json.loads((everything / "item.json").read_text())
    assert item["type"] == "Feature"
    assert item["assets"]
    assert any("mlm" in extension for extension in item["stac_extensions"])


def test_nothing_written_holds_a_path_of_this_machine(everything: Path, tables: Path) -> None:
    for name in ("card.json", "item.json", "report.md"):
        text = (everything / name).read_text()
        assert str(tables) not in text, name
        assert str(everything) not in text, name


def test_tables_may_share_an_option_or_repeat_it(tables: Path, tmp_path: Path) -> None:
    a, b = tables / "a.csv", tables / "b.csv"
    one = train(tables, tmp_path / "one", "--lab", a, b, "--no-evaluate")
    two = train(tables, tmp_path / "two", "--lab", a, "--lab", b, "--no-evaluate")
    assert one.weights_sha256 == two.weights_sha256
    assert len(one.data) == 2


def test_a_second_run_gives_the_same_card_from_its_cache(tables: Path, tmp_path: Path) -> None:
    first = train(tables, tmp_path / "m", "--satellite", f"{tables / 'c.csv'}@enmap")
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "m" / "cache").iterdir()}
    assert train(tables, tmp_path / "m", "--satellite", f"{tables / 'c.csv'}@enmap") == first
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "m" / "cache").iterdir()}
    assert len(made) == 2  # the regions are the groups, in two folds


def test_a_training_says_which_model_it_replaces(tables: Path, tmp_path: Path) -> None:
    # fmt: off
    command = (
        "train", "--lab", tables / "a.csv", "--no-evaluate", "--config", tables / "train.toml",
        "--out", tmp_path / "m", "--name",
    )
    # fmt: on
    assert "replaces" not in deepsalt(*command, "mine").stderr
    day = datetime.now(UTC).date()
    again = deepsalt(*command, "other")
    assert f"replaces the model mine of {day} in {tmp_path / 'm'} when it ends" in again.stderr
    (tmp_path / "m" / "card.json").write_text("{")
    assert "replaces a model whose card cannot be read" in deepsalt(*command, "third").stderr


def test_a_training_without_scores_shows_no_table_of_them(tables: Path, tmp_path: Path) -> None:
    args = ("--lab", tables / "a.csv", "--no-evaluate", "--config", tables / "train.toml")
    said = deepsalt("train", *args, "--out", tmp_path / "m").stdout
    assert "no scores: the model was not evaluated" in said
    assert "left out" not in said


def test_the_seed_of_the_command_wins(tables: Path, tmp_path: Path) -> None:
    lab = ("--lab", tables / "a.csv", "--no-evaluate", "--seed", "7")
    assert train(tables, tmp_path / "m", *lab).training["settings"]["seed"] == 7


def test_mid_infrared_spectra_teach_beside_the_laboratory(tables: Path, tmp_path: Path) -> None:
    frame = lab_frame(40)
    spectra = infrared_frame(frame.sample_id.to_numpy(dtype=str), np.log(frame.ec_ds_m.to_numpy()))
    mine = [write(tmp_path, spectra[:20], "m.csv"), write(tmp_path, spectra[20:], "n.csv.gz")]
    lab = ("--lab", tables / "a.csv")
    plain = train(tables, tmp_path / "m", *lab)
    card = train(tables, tmp_path / "m", *lab, "--mid-infrared", *mine)
    assert card.training["chosen"]["mid_infrared"]["samples"] == 40
    assert [table["name"] for table in card.training["mid_infrared"]] == ["m.csv", "n.csv.gz"]
    assert card.scores != plain.scores


def test_a_sensor_of_its_own_trains_and_predicts(tables: Path, tmp_path: Path) -> None:
    sites, bands, out = tables / "own_sites.csv", tables / "own.csv", tmp_path / "m"
    train(tables, out, "--satellite", f"{sites}@{bands}", "--group", "site")
    table = tmp_path / "salinity.csv"
    result = deepsalt("predict-table", sites, "--sensor", bands, "--model", out, "--out", table)
    assert result.exit_code == 0, (result.output, result.exception)
    answers = pd.read_csv(table)
    assert answers.salinity.notna().all()
    assert (answers.salinity_lower <= answers.salinity).all()
    assert str(tables) not in (out / "card.json").read_text()


def test_what_was_trained_predicts_tables_of_its_sensor(
    everything: Path, tables: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    args = (tables / "e.csv", "--sensor", "enmap", "--model", everything, "--out", out)
    assert deepsalt("predict-table", *args).exit_code == 0
    assert len(pd.read_csv(out)) == 20


def test_one_region_trains_but_has_no_score_for_unseen_regions(
    tables: Path, tmp_path: Path
) -> None:
    sites = write(tmp_path, site_frame(40, regions=1))
    card = train(tables, tmp_path / "m", "--satellite", f"{sites}@enmap", "--group", "region")
    assert not any(score.split == "region" for score in card.scores)
    assert "No score for unseen regions" in (tmp_path / "m" / "report.md").read_text()


def test_labels_that_look_like_another_unit_are_warned_of(
    tables: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = site_frame(40)
    sites = write(tmp_path, frame.assign(ec_ds_m=frame.ec_ds_m * 100))
    args = ("--satellite", f"{sites}@enmap", "--no-evaluate")
    train(tables, tmp_path / "m", *args)
    assert "looks like mS/m" in caplog.text
    assert "looks like mS/m" in (tmp_path / "m" / "report.md").read_text()
    caplog.clear()
    train(tables, tmp_path / "n", *args, "--ec-unit", "mS/m")
    assert "looks like" not in caplog.text


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


def _spectral(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if name[0] == "r" and name[1].isdigit()]


def _times(factor: float) -> Spoil:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        names = _spectral(frame)
        return frame.assign(**(frame[names] * factor))

    return spoil


def _micrometres(frame: pd.DataFrame) -> pd.DataFrame:
    names = _spectral(frame)
    return frame.rename(columns={name: f"r{float(name[1:]) / 1000:g}" for name in names})


def _twice(frame: pd.DataFrame) -> pd.DataFrame:
    first = _spectral(frame)[0]
    return frame.assign(**{f"{first}.0" if "." not in first else f"{first}0": frame[first]})


def _negative(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(ec_ds_m=frame.ec_ds_m.where(frame.index != 3, -1.0))


BAD: list[tuple[Spoil, str]] = [
    (_times(100.0), "percent"),
    (_times(10_000.0), "10000"),
    (_micrometres, "micrometres"),
    (_twice, "two columns at 400 nm; drop one"),
    (_negative, "negative"),
    (lambda frame: frame.assign(ec_ds_m=5000.0), "mS/m"),
    (lambda frame: frame.drop(columns=["profile_id", "country"]), "no column of groups"),
    (lambda frame: frame.assign(profile_id=None), "empty in 40 rows"),
    (lambda frame: frame[:29], "at least 30"),
    (lambda frame: frame.drop(columns="ec_ds_m"), "no column ec_ds_m"),
]
BAD_IDS = [
    "percent",
    "x10000",
    "micrometres",
    "duplicate-band",
    "negative",
    "impossible",
    "no-group",
    "empty-group",
    "few",
    "no-label",
]


@pytest.mark.parametrize(("spoil", "said"), BAD, ids=BAD_IDS)
def test_a_bad_table_ends_with_2_and_one_sentence(
    tables: Path, tmp_path: Path, spoil: Spoil, said: str
) -> None:
    path = write(tmp_path, spoil(lab_frame(40)))
    assert said in refused("train", "--lab", path, "--out", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_bands_in_any_order_train_alike(tables: Path, tmp_path: Path) -> None:
    frame = lab_frame(40)
    mixed = write(tmp_path, frame[frame.columns[::-1]], "mixed.csv")
    straight = write(tmp_path, frame, "straight.csv")
    one, two = (
        train(tables, tmp_path / path.stem, "--lab", path, "--no-evaluate")
        for path in (mixed, straight)
    )
    assert one.weights_sha256 == two.weights_sha256


def test_a_band_without_values_trains(tables: Path, tmp_path: Path) -> None:
    path = write(tmp_path, lab_frame(40).assign(r700=None))
    assert train(tables, tmp_path / "m", "--lab", path, "--no-evaluate").weights_sha256


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--group", "plot"), "no column plot"),
        (("--ec-unit", "S/m"), "EC unit 'S/m'"),
        (("--seed", "-1"), "seed"),
        (("--config", "absent.toml"), "cannot be read"),
        (("--satellite", "sites.csv"), "TABLE@SENSOR"),
        (("--satellite", "absent.csv@enmap"), "absent.csv"),
        (("--mid-infrared", "a.csv", "--satellite", "s.csv@enmap"), "without --satellite"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_followed_ends_with_2_and_one_sentence(
    tables: Path, tmp_path: Path, extra: tuple[str, ...], said: str
) -> None:
    assert said in refused("train", "--lab", tables / "a.csv", *extra, "--out", tmp_path / "m")


def test_an_unknown_sensor_is_named(tables: Path, tmp_path: Path) -> None:
    args = ("--satellite", f"{tables / 'c.csv'}@marsrover", "--out", tmp_path / "m")
    assert "marsrover" in refused("train", *args)


def test_an_unknown_setting_is_named_with_those_that_exist(tables: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("inducing_point = 3\n")
    args = ("--lab", tables / "a.csv", "--config", path, "--out", tmp_path / "m")
    assert "inducing_point is not a setting; the settings are sensors" in refused("train", *args)


def test_training_on_nothing_is_refused(tables: Path, tmp_path: Path) -> None:
    said = refused("train", "--unlabelled", f"{tables / 'e.csv'}@enmap", "--out", tmp_path / "m")
    assert "a table with labels" in said


def test_the_process_ends_with_2_and_one_line(tables: Path, tmp_path: Path) -> None:
    path = write(tmp_path, lab_frame(40)[:20])
    command = [sys.executable, "-m", "flows", "train", "--lab", path, "--out", tmp_path / "m"]
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert run.returncode == 2
    assert [line for line in run.stderr.splitlines() if line.startswith("deepsalt:")]
    assert "Traceback" not in run.stderr


def predicted(tmp_path: Path, frame: pd.DataFrame, *args: object) -> Result:
    """Return what `predict-table` says of a table, by the shipped model."""
    out = tmp_path / "out.csv"
    result = deepsalt("predict-table", write(tmp_path, frame), "--out", out, *args)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_predict_table_puts_its_columns_first(tmp_path: Path) -> None:
    predicted(tmp_path, lab_frame(3))
    columns = pd.read_csv(tmp_path / "out.csv").columns
    assert list(columns[:3]) == ["salinity", "salinity_lower", "salinity_upper"]


def test_predict_table_says_flags_in_words_and_what_is_next(tmp_path: Path) -> None:
    frame = lab_frame(3)
    frame.loc[1, _spectral(frame)] = np.nan
    said = predicted(tmp_path, frame).stdout
    assert "1 of 3 have no values" in said
    assert said.splitlines()[-1].startswith("next: ")


def test_predict_table_says_that_it_wrote_over_a_table(tmp_path: Path) -> None:
    assert "overwritten" not in predicted(tmp_path, lab_frame(3)).stderr
    again = predicted(tmp_path, lab_frame(3), "--json")
    assert "out.csv existed and was overwritten" in again.stderr
    assert json.loads(again.stdout)["pixels"] == 3


def test_predict_table_says_how_it_understood_column_names(tmp_path: Path) -> None:
    frame = lab_frame(3)
    frame = frame.rename(columns={name: f"X{name[1:]}" for name in _spectral(frame)})
    said = " ".join(predicted(tmp_path, frame).stderr.split())
    assert "columns X400 ... X2450 are taken as reflectance at 400 to 2450 nm" in said


def test_train_says_how_it_understood_column_names(
    tables: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = lab_frame(40)
    frame = frame.rename(columns={name: f"{name[1:]} nm" for name in _spectral(frame)})
    train(tables, tmp_path / "m", "--lab", write(tmp_path, frame), "--no-evaluate")
    assert "are taken as reflectance at" in caplog.text


def test_train_lists_its_settings_without_any_other_option() -> None:
    result = deepsalt("train", "--show-config")
    assert result.exit_code == 0
    assert "# Of everything random.\nseed = 20250101" in result.stdout
