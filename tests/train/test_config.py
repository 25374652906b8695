"""Settings: closed, checked, readable from a file."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from deepsalt.errors import UsageError
from deepsalt.train.config import Settings, TrainConfig, read_settings, settings_text
from deepsalt.train.data.tables import TableSpec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": 0}, "at least 1"),
        ({"inducing_points": 0}, "at least 1"),
        ({"epochs": 0}, "at least 1"),
        ({"hidden": (0, 4)}, "at least 1"),
        ({"mixtures": -1}, "not negative"),
        ({"networks": -1}, "not negative"),
        ({"folds": 1}, "at least 2"),
        ({"inner_folds": 1}, "at least 2"),
        ({"hidden": (64,)}, "two widths"),
        ({"dropout": 1.0}, "dropout a share"),
        ({"seed": -1}, "seed, weight_decay.*not be negative"),
        ({"weights": (0.0, -0.3)}, "weights must not be negative"),
        ({"ridge": 0.0}, "above 0"),
        ({"learning_rate": -1.0}, "above 0"),
        ({"weights": ()}, "must include 0"),
        ({"weights": (0.3, 1.0)}, "must include 0"),
        ({"adaptations": ("epo", "coral")}, "unknown adaptations coral"),
    ],
    ids=str,
)
def test_settings_without_sense_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        replace(Settings(), **changes)


def test_quick_settings_are_fewer_of_everything():
    quick, full = Settings().quick(), Settings()
    assert quick.inducing_points < full.inducing_points
    assert quick.networks == 0
    assert (quick.seed, quick.weights) == (full.seed, full.weights)


def test_training_without_labels_is_refused():
    with pytest.raises(UsageError, match="a table with labels; give --lab"):
        TrainConfig((TableSpec(Path("a"), "unlabelled", "enmap"),), Path("out"))


def read(tmp_path, text):
    path = tmp_path / "train.toml"
    path.write_text(text)
    return read_settings(path)


def test_a_file_changes_what_it_names(tmp_path):
    found = read(
        tmp_path, 'inducing_points = 99\nridge = 1\nsensors = ["emit"]\nweights = [0, 0.5]\n'
    )
    wanted = replace(Settings(), inducing_points=99, ridge=1.0, sensors=("emit",), weights=(0, 0.5))
    assert found == wanted
    assert isinstance(found.ridge, float)


def test_an_empty_file_changes_nothing(tmp_path):
    assert read(tmp_path, "") == Settings()


def test_a_settings_file_may_empty_a_list(tmp_path):
    assert read(tmp_path, "adaptations = []").adaptations == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inducing_point = 9", "inducing_point is not a setting; the settings are sensors"),
        ("inducing_points = 'many'", "inducing_points is 'many'; give a value such as 96"),
        ("inducing_points = 9.5", "inducing_points is 9.5"),
        ("inducing_points = true", "inducing_points is True"),
        ("distil = 1", "distil is 1; give a value such as True"),
        ("sensors = 'enmap'", "sensors is 'enmap'"),
        ("weights = ['a']", "weights is"),
        ("adaptations = [1]", "adaptations is"),
        ("hidden = [64.5, 32]", "hidden is"),
        ("ridge = nan", "finite numbers"),
        ("folds = 1", "at least 2"),
        ("hidden = [64]", "hidden must be two widths"),
        ("inducing_points =", "cannot be read"),
    ],
    ids=lambda value: value if "=" in value else "",
)
def test_a_file_that_cannot_be_followed_is_refused_in_one_sentence(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as found:
        read(tmp_path, text)
    assert "\n" not in str(found.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_settings(tmp_path / "none.toml")


def test_every_setting_is_documented():
    for field in fields(Settings):
        assert field.name in (Settings.__doc__ or ""), field.name


def test_the_text_of_all_settings_is_a_file_of_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(settings_text())
    assert read_settings(path) == Settings()
    named = {line.split(" = ")[0] for line in settings_text().splitlines() if line[0] != "#"}
    assert named == {field.name for field in fields(Settings)}
