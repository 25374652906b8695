"""Training from tables: repeatable, without leaks, refusing what cannot be trained on."""

from dataclasses import replace

import numpy as np
import pytest

from deepsalt.errors import FormatError, UsageError
from deepsalt.model.load import load_student, model_card, model_ref
from deepsalt.predict import predict_spectra
from deepsalt.simulate.spectra import demo_profile
from deepsalt.train.config import LabTable, TrainConfig
from deepsalt.train.fit import conformal_factor, estimates, fit_student, sample_weights
from deepsalt.train.loop import train, training_set
from deepsalt.train.samples import as_measured, read_labelled, through_sensor
from tests.train.tables import LAB, config, lab_frame, write


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write(tmp_path_factory.mktemp("lab"), lab_frame())


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    steps = []
    card = train(config(table, out, epochs=60), lambda doing, share: steps.append((doing, share)))
    return card, out, steps


def test_what_was_trained_loads_and_predicts(trained):
    _, out, _ = trained
    rows = lab_frame(seed=5)
    spectra = rows[[f"r{nm:.0f}" for nm in LAB.centers_nm]].to_numpy()
    result = predict_spectra(spectra, LAB, model_ref(out))
    known = np.corrcoef(np.log(rows.ec_ds_m + 0.03), np.log(result["salinity"] + 0.03))[0, 1]
    assert known > 0.5


def test_the_card_on_disk_is_the_card_returned(trained):
    card, out, _ = trained
    assert model_card(model_ref(out)) == card


def test_the_card_scores_profiles_and_countries_with_baselines(trained):
    card, _, _ = trained
    assert {score.split for score in card.scores} == {"profile", "country"}
    assert {score.method for score in card.scores} == {"student", "PLS-20, clipped", "mean"}
    assert {score.spectra for score in card.scores} == {
        "laboratory",
        "laboratory as enmap with noise",
    }


def test_the_card_names_its_data_without_machine_paths(trained, table):
    card, _, _ = trained
    assert card.data[0].name == "lab.csv"
    assert card.data[0].groups < 30  # some profiles belong to the demo
    assert str(table.parent) not in card.to_json()


def test_progress_is_told_and_grows(trained):
    _, _, steps = trained
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_one_seed_gives_one_set_of_weights(table, tmp_path):
    digests = {
        train(config(table, tmp_path / str(i), evaluate=False)).weights_sha256 for i in range(2)
    }
    assert len(digests) == 1


def test_another_seed_gives_other_weights(table, tmp_path):
    cards = [train(config(table, tmp_path / str(i), evaluate=False, seed=i)) for i in range(2)]
    assert cards[0].weights_sha256 != cards[1].weights_sha256


def test_mixtures_are_named_as_simulated(table, tmp_path):
    card = train(config(table, tmp_path, evaluate=False, mixtures=60))
    assert [source.kind for source in card.data] == ["laboratory", "simulated"]


def test_chemistry_and_places_do_not_enter(table, tmp_path):
    other = lab_frame().assign(clay_pct=-1.0, depth=7.0, lon=9.0)
    path = write(tmp_path, other)
    one, two = (
        train(config(source, tmp_path / name, evaluate=False))
        for source, name in ((table, "a"), (path, "b"))
    )
    assert one.weights_sha256 == two.weights_sha256


def test_the_soils_of_the_demo_are_left_out(table):
    groups = read_labelled(LabTable(table)).group
    assert not any(demo_profile(group) for group in groups)


def test_a_table_of_our_own_may_keep_them(table):
    kept = read_labelled(LabTable(table, reserve_demo=False))
    assert kept.source.groups == 30


def test_one_country_trains_without_a_score_by_country(tmp_path):
    path = write(tmp_path, lab_frame().assign(country="here"))
    card = train(config(path, tmp_path / "out"))
    assert {score.split for score in card.scores} == {"profile"}


def test_suspect_and_unlabelled_rows_are_left_out(table, tmp_path):
    frame = lab_frame()
    frame.loc[:9, "ec_suspect"] = True
    frame.loc[10:19, "ec_ds_m"] = np.nan
    path = write(tmp_path, frame)
    full = read_labelled(LabTable(table)).ec
    fewer = read_labelled(LabTable(path, suspect="ec_suspect")).ec
    assert set(fewer) < set(full)
    assert fewer.size <= full.size - 10


def test_milli_siemens_are_converted(table, tmp_path):
    frame = lab_frame()
    frame["ec_ms_m"] = frame.ec_ds_m * 100
    path = write(tmp_path, frame)
    converted = read_labelled(LabTable(path, ec="ec_ms_m", ec_unit="mS/m")).ec
    np.testing.assert_allclose(converted, read_labelled(LabTable(table)).ec)


def test_a_fit_does_not_look_at_rows_left_out(table, tmp_path):
    settings = config(table, tmp_path)
    samples = training_set(settings).samples
    kept = np.flatnonzero(samples.group != samples.group[0])
    spoilt = replace(samples, ec=np.where(samples.group == samples.group[0], 400.0, samples.ec))
    one, two = (fit_student(part.take(kept), settings) for part in (samples, spoilt))
    assert np.array_equal(
        estimates(one, samples.features).upper, estimates(two, samples.features).upper
    )


def test_intervals_hold_about_what_they_claim(table, tmp_path):
    settings = config(table, tmp_path, epochs=60)
    samples = training_set(settings).samples
    fitted = estimates(fit_student(samples, settings), samples.features)
    inside = (samples.ec >= fitted.lower - 1e-6) & (samples.ec <= fitted.upper + 1e-6)
    assert 0.85 <= inside.mean() <= 1.0


def test_noise_and_drift_change_spectra_a_little(table):
    lab = read_labelled(LabTable(table))
    clean = through_sensor(lab, "enmap").features
    noisy = through_sensor(lab, "enmap", np.random.default_rng(0)).features
    assert 0 < np.abs(noisy - clean).mean() < 0.05
    assert np.abs(clean - as_measured(lab).features).mean() < 0.02


def test_mixtures_weigh_what_was_asked(table, tmp_path):
    settings = config(table, tmp_path, mixtures=50, mixture_weight=0.25)
    samples = training_set(settings).samples
    weights = sample_weights(samples, settings)
    share = weights[samples.simulated].sum() / weights[~samples.simulated].sum()
    assert share == pytest.approx(0.25)


@pytest.mark.parametrize(("outside", "expected"), [(0.1, 0.9), (0.03, 0.97)])
def test_conformal_factors_leave_the_share_asked_for(outside, expected):
    misses = np.random.default_rng(0).exponential(size=4000)
    factor = conformal_factor(misses, np.ones(4000), outside)
    assert (misses <= factor).mean() == pytest.approx(expected, abs=0.002)


def _negative(frame):
    frame.loc[3, "ec_ds_m"] = -1.0


def _sea(frame):
    frame.loc[3, "ec_ds_m"] = 5000.0


def _words(frame):
    frame["ec_ds_m"] = "salty"


def _no_group(frame):
    frame.drop(columns="profile_id", inplace=True)


def _few(frame):
    frame.drop(index=range(20, 90), inplace=True)


def _one_group(frame):
    frame["profile_id"] = "only"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_negative, "outside 0-500"),
        (_sea, "mS/m is"),
        (_words, "give numbers"),
        (_no_group, "no column 'profile_id'"),
        (_few, "at least 30"),
        (_one_group, "one group"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_table_that_cannot_be_trained_on_is_refused(tmp_path, spoil, message):
    frame = lab_frame()
    spoil(frame)
    path = write(tmp_path, frame)
    with pytest.raises(FormatError, match=message):
        train(config(path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes",
    [{"members": 1}, {"epochs": 0}, {"mixtures": -1}, {"folds": 1}, {"lab": ()}],
    ids=str,
)
def test_settings_without_sense_are_refused(tmp_path, changes):
    with pytest.raises(UsageError):
        replace(TrainConfig(lab=(LabTable(tmp_path),), out=tmp_path), **changes)


def test_an_unknown_unit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="dS/m, mS/m"):
        LabTable(tmp_path, ec_unit="S")  # type: ignore[arg-type]


def test_spectra_that_break_training_are_reported(table, tmp_path):
    with pytest.raises(UsageError, match="diverged"):
        train(config(table, tmp_path, evaluate=False, learning_rate=1e30))


def test_a_model_is_loaded_from_where_it_was_trained(trained):
    _, out, _ = trained
    assert load_student(model_ref(out)).limits.shape == (3,)
