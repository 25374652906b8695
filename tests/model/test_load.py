"""Models on disk: shipped, checked, refused."""

import json
import pickle
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deepsalt.errors import ModelError
from deepsalt.model.card import ModelCard, read_card
from deepsalt.model.files import read_student
from deepsalt.model.load import load_student, model_card, model_ref
from deepsalt.train.config import read_settings
from tests.model.students import tiny_card, write_tiny


def test_the_shipped_model_loads_and_fits_its_card():
    ref = model_ref()
    student = load_student(ref)
    card = model_card(ref)
    assert student.macs_per_pixel(224) == card.macs_per_pixel <= 30_000
    assert card.scores
    assert card.limits


def test_the_shipped_card_tells_the_settings_that_the_documented_command_trains_with():
    documented = read_settings(Path(__file__).parents[2] / "docs" / "surface-3.toml")
    told = model_card(model_ref()).training["settings"]
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(documented).items()}
    assert told == settings


def test_the_shipped_model_is_small():
    assert sum(f.stat().st_size for f in Path(model_ref().path).iterdir()) < 5_000_000


def test_the_shipped_card_names_no_machine_path():
    def texts(value):
        if isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                yield from texts(part)
        elif isinstance(value, str):
            yield value

    card = json.loads((Path(model_ref().path) / "card.json").read_text())
    found = list(texts(card))
    assert "icraf_isric_vnir_train.csv.gz" in found  # tables are named, without their folder
    assert not [text for text in found if text.startswith(("/", "~")) or ":\\" in text]


def test_the_shipped_card_scores_baselines_on_the_same_rows():
    card = model_card(model_ref())
    rows = {(s.spectra, s.split): set() for s in card.scores}
    for score in card.scores:
        rows[score.spectra, score.split].add((score.method, score.n))
    for methods in rows.values():
        assert {name for name, _ in methods} == {"student", "PLS-20, clipped", "mean"}
        assert len({n for _, n in methods}) == 1


def test_a_card_survives_its_json():
    card = tiny_card()
    assert ModelCard.from_json(card.to_bytes().decode(), "here") == card


def test_a_model_is_loaded_once_per_process(tmp_path):
    ref = model_ref(write_tiny(tmp_path / "m"))
    assert load_student(ref) is load_student(ref)


def test_a_reference_is_small_and_pickles(tmp_path):
    ref = model_ref(write_tiny(tmp_path / "m"))
    assert pickle.loads(pickle.dumps(ref)) == ref
    assert len(pickle.dumps(ref)) < 1000


def test_other_weights_give_another_digest(tmp_path):
    one, two = (model_ref(write_tiny(tmp_path / str(i), seed=i)) for i in (1, 2))
    assert one.digest != two.digest


def test_naming_a_model_loads_no_torch():
    code = (
        "import sys; from deepsalt.model.load import model_ref; model_ref(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_on_another_machine_the_shipped_model_is_found_by_its_digest():
    ref = model_ref()
    moved = type(ref)("/elsewhere/weights", ref.digest, ref.family)
    assert load_student(moved) is load_student(ref)


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _no_card(folder: Path) -> None:
    (folder / "card.json").unlink()


def _cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-20])


def _no_json(folder: Path) -> None:
    (folder / "card.json").write_text("weights: mine")


def _list_card(folder: Path) -> None:
    (folder / "card.json").write_text("[1, 2]")


def _field_gone(folder: Path) -> None:
    _change_card(folder, lambda card: card.pop("ec_max"))


def _other_bands(folder: Path) -> None:
    _change_card(folder, lambda card: card["bands_nm"].pop())


def _other_limit(folder: Path) -> None:
    _change_card(folder, lambda card: card.update(ec_max=99.0))


def _null_scores(folder: Path) -> None:
    _change_card(folder, lambda card: card.update(scores=None))


def _change_card(folder: Path, change) -> None:
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_weights, "cannot be read"),
        (_no_card, "cannot be read"),
        (_cut_weights, "belongs to weights"),
        (_no_json, "not readable"),
        (_list_card, "malformed"),
        (_field_gone, "unknown ec_max"),
        (_other_bands, "common bands"),
        (_other_limit, "states a limit"),
        (_null_scores, "not readable"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_spoilt_model_is_refused_in_one_sentence(tmp_path, spoil, message):
    folder = write_tiny(tmp_path / "m")
    spoil(folder)
    with pytest.raises(ModelError, match=message) as caught:
        read_student(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"anything": torch.zeros(3)}, "a student needs"),
        ({"components": torch.zeros(9, 7)}, "expected"),
        ({"limits": torch.tensor([30.0, 20.0, 200.0, 200.0, 0.05, float("nan")])}, "finite"),
    ],
    ids=["names", "shape", "nan"],
)
def test_weights_that_are_no_student_are_refused(tmp_path, tensors, message):
    import hashlib

    from safetensors.torch import load_file

    folder = write_tiny(tmp_path / "m")
    path = folder / "model.safetensors"
    kept = {} if "anything" in tensors else load_file(path)
    save_file({**kept, **tensors}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    _change_card(folder, lambda card: card.update(weights_sha256=digest))
    with pytest.raises(ModelError, match=message):
        read_student(folder)


def test_a_model_that_changed_since_planning_is_refused(tmp_path):
    folder = write_tiny(tmp_path / "m", seed=11)
    ref = model_ref(folder)
    write_tiny(folder, seed=12)
    with pytest.raises(ModelError, match="has changed"):
        load_student(ref)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        model_ref(tmp_path / "nowhere")


def test_the_card_carries_the_checksum_of_its_weights(tmp_path):
    card = read_card(write_tiny(tmp_path / "m"))
    assert len(card.weights_sha256) == 64


@pytest.mark.parametrize("depth", [500, 10_000])
def test_a_card_nested_deep_is_refused_in_one_sentence(tmp_path: Path, depth: int):
    write_tiny(tmp_path)
    path = tmp_path / "card.json"
    deep = "[" * depth + "]" * depth
    path.write_text(path.read_text().replace("{", f'{{"deep": {deep},', 1))
    with pytest.raises(ModelError, match="nested more than 100 deep") as caught:
        read_card(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "1" * 5000])
def test_a_card_with_a_limit_that_is_no_number_is_refused(tmp_path: Path, value: str):
    write_tiny(tmp_path)
    path = tmp_path / "card.json"
    card = json.loads(path.read_text())
    card["ec_max"] = "HERE"
    path.write_text(json.dumps(card).replace('"HERE"', value))
    with pytest.raises(ModelError, match="is not readable"):
        read_card(tmp_path)
