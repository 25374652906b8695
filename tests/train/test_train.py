"""Training from tables: repeatable, resumable, without leaks, from any mix of tables."""

import functools
import logging
from dataclasses import replace

import numpy as np
import pytest

from deepsalt.errors import FormatError, ModelError, RunError
from deepsalt.model.load import load_student, model_card, model_ref
from deepsalt.predict.cube import predict_spectra
from deepsalt.progress import Silent
from deepsalt.train import loop
from deepsalt.train.config import TrainConfig
from deepsalt.train.data.tables import TableSpec
from deepsalt.train.data.training_set import training_set
from deepsalt.train.evaluation.report import REPORT_FILE
from deepsalt.train.loop import train
from deepsalt.train.student.fit import fit_model
from tests.train.tables import (
    LAB,
    QUICK,
    config,
    lab_frame,
    site_frame,
    write,
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write(tmp_path_factory.mktemp("lab"), lab_frame())


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    steps = []

    class Listening(Silent):
        def start(self, stage, total, *, size_bytes=0):
            steps.append((stage, total))

        def advance(self, stage, units=1, *, size_bytes=0):
            steps.append((stage, units))

    card = train(config(table, out), Listening())
    return card, out, steps


def sites_config(folder, frame, **changes):
    spec = TableSpec(write(folder, frame, "sites.csv"), "satellite", "enmap", group="site")
    return TrainConfig((spec,), folder / "out", settings=replace(QUICK, **changes))


def digest(path, out, **changes):
    return train(config(path, out, evaluate=False, **changes)).weights_sha256


def test_what_was_trained_loads_and_predicts(trained):
    _, out, _ = trained
    rows = lab_frame(seed=5)
    spectra = rows[[f"r{nm:.7g}" for nm in LAB.centers_nm]].to_numpy()
    result = predict_spectra(spectra, LAB, model_ref(out))
    known = np.corrcoef(np.log(rows.ec_ds_m + 0.03), np.log(result["salinity"] + 0.03))[0, 1]
    assert known > 0.5
    assert load_student(model_ref(out)).limits.shape == (6,)


def test_the_card_on_disk_is_the_card_returned(trained):
    card, out, _ = trained
    assert model_card(model_ref(out)) == card


def test_the_card_scores_groups_and_regions_with_baselines(trained):
    card, _, _ = trained
    assert {score.split for score in card.scores} == {"group", "region"}
    assert {score.method for score in card.scores} == {"student", "PLS-20, clipped", "mean"}
    assert {score.spectra for score in card.scores} == {
        "laboratory",
        "laboratory as enmap",
        "laboratory as enmap with noise",
    }


def test_neither_card_nor_report_holds_a_path_of_this_machine(trained, table):
    card, out, _ = trained
    assert card.data[0].name == "lab.csv"
    for text in (card.to_bytes().decode(), (out / REPORT_FILE).read_text("utf-8")):
        assert str(table.parent) not in text
        assert str(out) not in text


def test_the_band_table_of_a_sensor_is_named_without_its_path(tmp_path):
    frame = site_frame(bands=LAB).assign(site=[f"S{row:03d}" for row in range(60)])
    bands = tmp_path / "own sensor.csv"
    rows = zip(LAB.centers_nm, LAB.fwhm_nm, strict=True)
    lines = [f"r{center:.7g},{center},{fwhm}" for center, fwhm in rows]
    bands.write_text("\n".join(["column,center_nm,fwhm_nm", *lines]))
    path = write(tmp_path, frame, "sites.csv")
    specs = (
        TableSpec(path, "satellite", str(bands)),
        TableSpec(write(tmp_path, lab_frame()), "laboratory"),
    )
    card = train(TrainConfig(specs, tmp_path / "out", settings=QUICK))
    assert str(tmp_path) not in card.to_bytes().decode()
    assert {score.spectra for score in card.scores} == {"own sensor"}


def test_progress_counts_the_folds(trained):
    _, _, ((stage, total), *steps) = trained
    assert steps == [(stage, 1)] * total
    assert total > 2


def test_one_seed_gives_one_set_of_weights_and_another_seed_others(table, tmp_path):
    first, again = (digest(table, tmp_path / name, networks=1, epochs=2) for name in "ab")
    other = digest(table, tmp_path / "c", networks=1, epochs=2, seed=1)
    assert first == again
    assert first != other


def test_chemistry_depth_and_places_do_not_enter(table, tmp_path):
    path = write(tmp_path, lab_frame().assign(clay_pct=-1.0, depth=7.0, lon=9.0, ph="sour"))
    assert digest(table, tmp_path / "a") == digest(path, tmp_path / "b")


def test_suspect_rows_change_nothing(tmp_path):
    frame = lab_frame()
    frame.loc[:9, "ec_suspect"] = True
    spoilt = frame.copy()
    spoilt.loc[:9, "ec_ds_m"] = 300.0
    paths = (
        write(tmp_path, part, f"{i}.csv") for i, part in enumerate((frame, spoilt, frame[10:]))
    )
    weights = {digest(path, tmp_path / path.stem) for path in paths}
    # The row numbers of the third table differ, its names do not.
    assert len(weights) == 1


def _counted(monkeypatch):
    fits = []

    @functools.wraps(fit_model)  # its name belongs to the key of the cache
    def counting(samples, settings, base=None):
        fits.append(len(samples))
        return fit_model(samples, settings, base)

    monkeypatch.setattr(loop, "fit_model", counting)
    return fits


def test_a_second_run_uses_the_folds_of_the_first(table, tmp_path, monkeypatch):
    fits = _counted(monkeypatch)
    first = train(config(table, tmp_path))
    before = len(fits)
    second = train(config(table, tmp_path))
    assert (before, len(fits) - before) == (5, 1)  # two splits of two folds, and the model
    assert second == first


def test_other_settings_do_not_use_the_folds_of_a_run(table, tmp_path, monkeypatch):
    fits = _counted(monkeypatch)
    train(config(table, tmp_path))
    train(config(table, tmp_path, ridge=0.5))
    assert len(fits) == 10


@pytest.mark.parametrize("left", [0, 10, 0.5], ids=["empty", "head", "half"])
def test_a_cut_off_file_of_a_fold_is_computed_again(trained, table, tmp_path, monkeypatch, left):
    card, out, _ = trained
    fits = _counted(monkeypatch)
    cache = tmp_path / loop.CACHE
    cache.mkdir()
    for path in (out / loop.CACHE).iterdir():
        (cache / path.name).write_bytes(path.read_bytes())
    victim = sorted(cache.iterdir())[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: left if isinstance(left, int) else int(left * len(whole))])
    assert train(config(table, tmp_path)).scores == card.scores
    assert len(fits) == 2


def test_mixtures_are_named_as_simulated(table, tmp_path):
    card = train(config(table, tmp_path, evaluate=False, mixtures=60))
    assert [source.kind for source in card.data] == ["laboratory", "simulated"]
    assert any("imulated" in limit for limit in card.limits)


def test_two_tables_of_samples_without_names_are_all_learned_from(tmp_path):
    paths = [
        write(tmp_path, lab_frame(seed=seed).drop(columns="sample_id"), f"{seed}.csv")
        for seed in (0, 1)
    ]
    specs = tuple(TableSpec(path, "laboratory") for path in paths)
    samples = training_set(TrainConfig(specs, tmp_path, settings=QUICK)).samples
    assert np.unique(samples.site).size == 180


def test_laboratory_satellite_and_unlabelled_tables_train_together(tmp_path):
    specs = (
        TableSpec(write(tmp_path, lab_frame()), "laboratory"),
        TableSpec(write(tmp_path, site_frame(), "a.csv"), "satellite", "enmap"),
        TableSpec(
            write(tmp_path, site_frame(seed=4).drop(columns=["ec_ds_m", "region"]), "b.csv"),
            "unlabelled",
            "enmap",
        ),
    )
    card = train(TrainConfig(specs, tmp_path / "out", settings=QUICK))
    assert [source.kind for source in card.data] == ["laboratory", "satellite", "unlabelled"]
    assert {score.spectra for score in card.scores} == {"enmap"}


def test_the_card_has_marks_of_labelled_rows_by_name_and_place(tmp_path):
    frame = site_frame()
    count = len(frame)
    frame = frame.assign(lon=84.0 + 0.01 * np.arange(count), lat=40.9)
    frame.loc[0, "ec_ds_m"] = np.nan
    card = train(replace(sites_config(tmp_path, frame), evaluate=False))
    lon, lat = frame["lon"].to_numpy(), frame["lat"].to_numpy()
    labelled = np.arange(count) > 0
    assert np.array_equal(card.marks.has_id(frame["sample_id"]), labelled)
    assert np.array_equal(card.marks.has_place(lon, lat), labelled)


def test_the_choices_of_each_fold_are_logged_and_kept_in_card_and_report(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        card = train(sites_config(tmp_path, site_frame()))
    kept = card.training["chosen_per_fold"]
    assert {name: len(found) for name, found in kept.items()} == {"group": 2, "region": 2}
    assert [fold["laboratory_weight"] for fold in kept["region"]] == [0.0, 0.0]
    assert "region left out, fold 1: chose" in caplog.text
    report = (tmp_path / "out" / REPORT_FILE).read_text("utf-8")
    assert "Weight of laboratory knowledge in each fold, region left out: 0, 0." in report


@pytest.mark.parametrize("kind", ["laboratory", "satellite"])
def test_one_region_trains_without_a_score_for_unseen_regions(tmp_path, caplog, kind):
    frame = lab_frame().assign(country="here") if kind == "laboratory" else site_frame(regions=1)
    sensor = "lab" if kind == "laboratory" else "enmap"
    group = "profile_id" if kind == "laboratory" else "site"
    spec = TableSpec(write(tmp_path, frame), kind, sensor, group=group)
    card = train(TrainConfig((spec,), tmp_path / "out", settings=QUICK))
    assert {score.split for score in card.scores} == {"group"}
    assert "unseen regions are not scored: the number of regions with labels is 1" in caplog.text
    assert "No score for unseen regions" in (tmp_path / "out" / REPORT_FILE).read_text("utf-8")


@pytest.mark.parametrize("kind", ["laboratory", "satellite"])
def test_one_group_trains_and_the_report_says_on_what_choices_rest(tmp_path, kind):
    frame = lab_frame().assign(country="here") if kind == "laboratory" else site_frame(regions=1)
    frame = frame.drop(columns=["profile_id", "site"], errors="ignore")
    spec = TableSpec(write(tmp_path, frame), kind, "lab" if kind == "laboratory" else "enmap")
    card = train(TrainConfig((spec,), tmp_path / "out", settings=QUICK))
    assert card.scores == ()
    report = (tmp_path / "out" / REPORT_FILE).read_text("utf-8")
    assert "No score for unseen regions" in report
    assert "only one; choices and intervals are based on held-out samples" in report


@pytest.mark.parametrize("name", ["", "cache"])
def test_a_folder_that_cannot_be_made_is_told_before_the_work(table, tmp_path, name):
    out = tmp_path / "model"
    out.mkdir() if name else None
    (out / name).write_text("a file")
    with pytest.raises(ModelError, match=r"model folder .* cannot be written"):
        train(config(table, out))


def test_few_labels_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(FormatError, match="at least 30"):
        train(config(write(tmp_path, lab_frame()[:20]), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_not_finite_stops_with_step_and_samples(table, tmp_path):
    with pytest.raises(RunError, match=r"diverged at step \d+.*0-\d{3}, .*not finite"):
        train(config(table, tmp_path, evaluate=False, networks=1, learning_rate=1e30))
