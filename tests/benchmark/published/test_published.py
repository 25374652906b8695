"""The published method: it learns, and each fault of the original stays put right."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepsalt.benchmark.published.method import PublishedConfig, fit_published
from deepsalt.benchmark.published.networks import SparseAutoencoder, moment_loss, sparsity_loss
from deepsalt.benchmark.published.stages import Anchor, PublishedStudent, Scale
from deepsalt.errors import UsageError
from deepsalt.train.metrics import r2

pytestmark = pytest.mark.slow

BANDS = 40
NO_PAIRS = np.zeros((0, 2), dtype=np.int64)
SMALL = PublishedConfig(
    hidden=32,
    latent=16,
    teacher_width=16,
    student_width=24,
    feedforward=32,
    encoder_steps=600,
    teacher_steps=200,
    student_steps=200,
    learning_rate=5e-3,
)
SHORT = replace(SMALL, encoder_steps=20, teacher_steps=10, student_steps=10)


def soils(rows, seed):
    """Laboratory and satellite spectra of the same soils after SNV, and their label."""
    rng = np.random.default_rng(seed)
    place = np.linspace(0.0, 1.0, BANDS)
    shapes = np.exp(-(((place - np.array([[0.2], [0.5], [0.8]])) / 0.1) ** 2))
    amounts = rng.normal(size=(rows, 3))
    lab = amounts @ shapes + 2.0 * place + 0.05 * rng.normal(size=(rows, BANDS))
    sat = 0.7 * lab + np.sin(6.0 * place) + 0.1 * rng.normal(size=(rows, BANDS))
    label = np.tanh(amounts[:, 1]) + 0.5 * amounts[:, 2]
    return snv(lab), snv(sat), label


def snv(spectra):
    centred = spectra - spectra.mean(axis=1, keepdims=True)
    return centred / centred.std(axis=1, keepdims=True)


LAB, SAT, LABEL = soils(160, seed=0)
HELD_LAB, HELD_SAT, HELD_LABEL = soils(100, seed=1)
SITES = 80
PAIRS = np.stack([np.arange(SITES), np.arange(SITES)], axis=1)


def fit(config=SHORT, *, lab=(LAB, LABEL), sat=(SAT[:SITES], LABEL[:SITES]), pairs=PAIRS, **more):
    return fit_published(*lab, *sat, pairs, config=config, **more)


@pytest.fixture(scope="module")
def trained():
    return fit(SMALL)


@pytest.fixture(scope="module")
def short():
    return fit()


def test_the_student_learns_what_holds_on_held_out_soils(trained):
    assert r2(HELD_LABEL, trained.predict(HELD_SAT)) > 0.5


def test_the_teacher_learns_what_holds_on_held_out_soils(trained):
    assert r2(HELD_LABEL, trained.predict_lab(HELD_LAB)) > 0.5


def test_the_student_learns_from_the_teacher_alone():
    model = fit(SMALL, sat=(SAT[:SITES], np.full(SITES, np.nan)))
    assert r2(HELD_LABEL, model.predict(HELD_SAT)) > 0.4


def test_the_student_learns_from_labels_alone():
    model = fit(SMALL, lab=(LAB[:0], LABEL[:0]), pairs=NO_PAIRS)
    assert r2(HELD_LABEL, model.predict(HELD_SAT)) > 0.4


def test_without_laboratory_rows_there_is_no_teacher_to_ask():
    model = fit(lab=(LAB[:0], LABEL[:0]), pairs=NO_PAIRS)
    with pytest.raises(UsageError, match="no teacher"):
        model.predict_lab(HELD_LAB)


def test_estimates_stay_within_the_labels_of_training(trained):
    found = trained.predict(100.0 * HELD_SAT)
    assert found.min() >= LABEL[:SITES].min() - 1e-6
    assert found.max() <= LABEL[:SITES].max() + 1e-6


# Fault: a sparsity term without effect.


def test_the_sparsity_term_pulls_at_every_weight_of_the_encoder():
    network = SparseAutoencoder(BANDS, 32, 16)
    torch.autograd.backward(sparsity_loss(network.codes(torch.from_numpy(LAB).float())[-1], 0.1))
    for weights in network.encoder.parameters():
        assert float(weights.grad.abs().sum()) > 0.0


def test_the_sparsity_term_is_zero_only_on_target():
    assert float(sparsity_loss(torch.full((4, 3), 0.2), 0.2)) == pytest.approx(0.0, abs=1e-6)
    for activation in (0.0, 0.1, 0.4, 1.0):
        assert float(sparsity_loss(torch.full((4, 3), activation), 0.2)) > 0.01


def test_the_sparsity_term_lowers_the_activations_that_training_ends_with():
    means = []
    for weight in (0.0, 0.5):
        codec = fit(replace(SHORT, encoder_steps=200, sparsity_weight=weight)).laboratory
        spectra = codec.bands.apply(torch.from_numpy(LAB).float())
        means.append(float(codec.autoencoder.codes(spectra)[-1].detach().mean()))
    assert means[1] < 0.7 * means[0]


# Fault: a last student layer without supervision.


@pytest.mark.parametrize(
    ("task", "feature"), [(1.0, 0.0), (0.0, 1.0)], ids=["labels", "features of the teacher"]
)
def test_the_last_student_layer_is_supervised_by(task, feature):
    config = replace(SMALL, task_weight=task, feature_weight=feature)
    torch.manual_seed(0)
    student = PublishedStudent(config)
    features = [torch.randn(8, config.teacher_width) for _ in range(config.teacher_layers)]
    torch.autograd.backward(student.loss(torch.randn(8, config.latent), torch.randn(8), features))
    last = student.network.layers[config.student_layers - 1]
    assert float(last.linear2.weight.grad.abs().sum()) > 0.0


def test_a_batch_without_labels_still_follows_the_teacher():
    student = PublishedStudent(SMALL)
    features = [torch.ones(8, SMALL.teacher_width)] * SMALL.teacher_layers
    loss = student.loss(torch.ones(8, SMALL.latent), torch.full((8,), torch.nan), features)
    assert 0.0 < float(loss.detach()) < float("inf")


# Fault: an alignment that the student does not see.


def test_pairs_decide_which_latents_the_satellite_gets(trained):
    known = torch.from_numpy(LAB[:SITES]).float()
    seen = torch.from_numpy(SAT[:SITES]).float()
    shuffled = fit(SMALL, pairs=np.stack([PAIRS[:, 0], PAIRS[::-1, 1]], axis=1))
    apart = [
        float((m.satellite.encode(seen) - m.laboratory.encode(known)).square().mean().detach())
        for m in (trained, shuffled)
    ]
    assert apart[0] < 0.5 * apart[1]


def test_shuffled_pairs_cost_the_gain(trained):
    order = np.random.default_rng(2).permutation(SITES)
    shuffled = fit(SMALL, pairs=np.stack([PAIRS[:, 0], PAIRS[order, 1]], axis=1))
    true, wrong = (r2(HELD_LABEL, m.predict(HELD_SAT)) for m in (trained, shuffled))
    assert true > wrong + 0.1


def test_without_pairs_the_moments_of_the_latents_meet():
    apart = []
    for weight in (0.0, 1.0):
        model = fit(replace(SMALL, alignment_weight=weight), pairs=NO_PAIRS)
        own = model.satellite.encode(torch.from_numpy(SAT[:SITES]).float())
        apart.append(
            float(moment_loss(own, model.laboratory.encode(torch.from_numpy(LAB).float())).detach())
        )
    assert apart[1] < 0.5 * apart[0]


def test_the_teacher_is_shown_the_mean_of_the_pairs_or_the_row_itself():
    latents = torch.tensor([[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    scale = Scale(torch.zeros(2), torch.ones(2))
    anchor = Anchor(scale, latents, torch.tensor([[0, 0], [0, 1], [2, 2]]))
    shown = anchor.guides(torch.full((3, 2), -1.0))
    assert shown.tolist() == [[2.0, 2.0], [-1.0, -1.0], [9.0, 9.0]]


# Fault: an encoder that has seen the test region.


def test_scales_come_from_the_rows_that_were_given(short):
    mean = short.satellite.bands.mean.numpy()
    np.testing.assert_allclose(mean, SAT[:SITES].mean(axis=0), atol=1e-5)


def test_an_estimate_does_not_depend_on_the_rows_beside_it(short):
    alone = short.predict(HELD_SAT[:10])
    together = short.predict(np.concatenate([HELD_SAT[:10], 5.0 + 10.0 * HELD_SAT]))
    np.testing.assert_allclose(together[:10], alone, atol=1e-5)


def test_predicting_leaves_the_model_as_it_was(short):
    before = short.predict(SAT)
    short.predict(HELD_SAT)
    assert np.array_equal(short.predict(SAT), before)


# Repeatable, polite, and clear about what it cannot use.


def test_one_seed_gives_one_model(short):
    assert np.array_equal(fit().predict(HELD_SAT), short.predict(HELD_SAT))


def test_another_seed_gives_another_model(short):
    other = fit(replace(SHORT, seed=1))
    assert not np.array_equal(other.predict(HELD_SAT), short.predict(HELD_SAT))


def test_the_random_state_of_the_process_is_left_as_found():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit()
    assert torch.equal(torch.get_rng_state(), before)


def spoiled(values, row, value):
    out = values.copy()
    out[row] = value
    return out


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"lab": (spoiled(LAB, 7, np.nan), LABEL)}, r"lab_x .*\[7\]"),
        ({"lab": (LAB, spoiled(LABEL, 9, np.nan))}, r"lab_y .*\[9\]"),
        ({"sat": (spoiled(SAT, 3, np.inf), LABEL)}, r"sat_x .*\[3\]"),
        ({"sat": (SAT, spoiled(LABEL, 4, np.inf))}, r"sat_y .*\[4\]"),
        ({"pairs": np.array([[0, 0], [5, 160]])}, r"pair \[5, 160\]"),
        ({"pairs": np.array([[-1, 0]])}, r"pair \[-1, 0\]"),
        ({"sat": (SAT[:, :9], LABEL)}, r"\(160, 9\)"),
        ({"sat": (SAT[:0], LABEL[:0]), "pairs": NO_PAIRS}, "nothing to learn from"),
        (
            {"lab": (LAB[:0], LABEL[:0]), "sat": (SAT, LABEL * np.nan), "pairs": NO_PAIRS},
            "nothing to learn from",
        ),
    ],
    ids=[
        "NaN in the laboratory's spectra",
        "NaN label in the laboratory",
        "infinite satellite spectrum",
        "infinite satellite label",
        "pair beyond the laboratory",
        "negative pair",
        "other bands",
        "no satellite rows",
        "neither labels nor laboratory",
    ],
)
def test_training_refuses_unusable_data_and_says_what_it_found(given, match):
    with pytest.raises(UsageError, match=match):
        fit(**given)


def test_a_loss_that_is_not_finite_names_stage_step_and_rows():
    with pytest.raises(UsageError, match=r"laboratory autoencoder diverged at step \d+ on rows \["):
        fit(replace(SHORT, learning_rate=1e30))


@pytest.mark.parametrize(
    ("spectra", "match"),
    [(spoiled(SAT, 6, np.nan), r"\[6\]"), (SAT[:, :9], "40 bands"), (SAT[0], "shape")],
    ids=["NaN", "other bands", "one axis"],
)
def test_prediction_refuses_spectra_that_are_not_whole_or_have_other_bands(short, spectra, match):
    with pytest.raises(UsageError, match=match):
        short.predict(spectra)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"feature_weights": (1.0,)}, "one per layer"),
        ({"heads": 7}, "7 heads"),
        ({"sparsity_target": 0.0}, "share between 0 and 1"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(change, match):
    with pytest.raises(UsageError, match=match):
        replace(PublishedConfig(), **change)


def test_the_student_costs_the_published_multiplications():
    config = PublishedConfig()
    student = PublishedStudent(config).network
    encoder = SparseAutoencoder(155, config.hidden, config.latent).encoder
    matrices = sum(w.numel() for w in [*student.parameters(), *encoder.parameters()] if w.ndim == 2)
    attention = config.student_layers * 2 * config.student_width
    assert matrices + attention == pytest.approx(1.13e6, rel=0.01)


def test_the_quick_configuration_is_the_same_method():
    full, quick = PublishedConfig(), PublishedConfig().quick()
    steps = {f: getattr(full, f) for f in ("encoder_steps", "teacher_steps", "student_steps")}
    assert quick.encoder_steps < full.encoder_steps
    assert replace(quick, **steps) == full
