"""The teacher: members, views and what held-out groups say about them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepsalt.errors import FormatError, RunError
from deepsalt.train.teacher import network as networks
from deepsalt.train.teacher.network import apply_network, train_network
from deepsalt.train.teacher.teacher import (
    fit_teacher,
    low_noise_rows,
    noise_differences,
    view_weights,
)
from tests.train.tables import QUICK, library_views

VIEWS = library_views()
FEW = replace(QUICK, networks=1, epochs=4, hidden=(8, 4))
LONG = replace(FEW, epochs=100, batch=32, dropout=0.0, hidden=(16, 8))
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(240, 4))
TARGET = np.tanh(INPUTS[:, 0]) + 0.3 * RNG.normal(size=240)
GROUPS = np.array([f"G{i % 24}" for i in range(240)])
IDS = np.array([f"row-{i}" for i in range(240)])


def trained(settings, target=TARGET, number=0):
    return train_network(
        INPUTS, target, np.ones(240), groups=GROUPS, ids=IDS, settings=settings, number=number
    )


def test_each_sample_counts_once_however_often_it_is_seen():
    weights = view_weights(VIEWS, QUICK)
    sums = np.bincount(np.unique(VIEWS.site, return_inverse=True)[1], weights)
    np.testing.assert_allclose(sums, 1.0)


def test_the_quietest_view_of_a_sample_is_as_it_was_measured():
    assert set(VIEWS.view[low_noise_rows(VIEWS)]) == {"laboratory"}
    assert len(set(VIEWS.site[low_noise_rows(VIEWS)])) == len(low_noise_rows(VIEWS)) == 80


def test_without_noisy_views_there_is_no_noise_to_learn():
    with pytest.raises(FormatError, match="both with and without noise"):
        noise_differences(VIEWS.take(VIEWS.view != "enmap with noise"))


def test_low_noise_spectra_go_to_the_machine_for_them():
    teacher = fit_teacher(VIEWS, QUICK)
    rows = VIEWS.view == "laboratory"
    wanted = teacher.low_noise(teacher.low_noise_encoder(VIEWS.features[rows])[0])[:, 0]
    np.testing.assert_array_equal(teacher.location(VIEWS.features)[rows], wanted)


def test_the_networks_share_moves_the_answer_for_noisy_spectra_alone():
    with_them = fit_teacher(VIEWS, FEW, share=0.5)
    without = replace(with_them, share=0.0)
    moved = with_them.location(VIEWS.features) != without.location(VIEWS.features)
    assert moved[VIEWS.view == "enmap with noise"].mean() > 0.9
    assert not moved[VIEWS.view == "laboratory"].any()


def test_one_seed_gives_one_network_and_each_member_is_another():
    first, again = (trained(FEW) for _ in range(2))
    other = trained(FEW, number=1)
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_training_leaves_the_random_state_of_the_process():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    trained(FEW)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_network_learns_what_holds_for_groups_it_did_not_see():
    known = GROUPS < "G20"
    network = train_network(
        INPUTS[known],
        TARGET[known],
        np.ones(known.sum()),
        groups=GROUPS[known],
        ids=IDS[known],
        settings=LONG,
        number=0,
    )
    answers = apply_network(network, INPUTS[~known])
    assert np.corrcoef(answers, TARGET[~known])[0, 1] > 0.7


@pytest.mark.parametrize("patience", [0, 2])
def test_a_network_stops_when_held_out_groups_gain_no_more(monkeypatch, patience):
    epochs = []
    monkeypatch.setattr(
        networks.torch, "randperm", lambda size: epochs.append(size) or torch.arange(size)
    )
    noise = np.where(np.arange(240) % 2, 1.0, -1.0) * RNG.normal(1, 0.1, 240)
    trained(replace(FEW, epochs=500, patience=patience), noise)
    assert patience < len(epochs) < 250


def test_a_loss_that_is_not_finite_names_step_and_rows():
    target = TARGET.copy()
    target[::7] = np.inf
    with pytest.raises(RunError, match=r"step 0: the loss of a batch with row-\d+, row-") as found:
        trained(replace(FEW, batch=1000), target, number=1)
    assert "\n" not in str(found.value)


def test_a_label_that_is_known_badly_weighs_less() -> None:
    samples = replace(VIEWS, label_sd=np.where(np.arange(len(VIEWS)) % 2, 0.0, 1.0))
    weights, plain = view_weights(samples, QUICK), view_weights(VIEWS, QUICK)
    known = samples.label_sd == 0.0
    assert np.array_equal(weights[known], plain[known])
    assert (weights[~known] < plain[~known]).all()
    assert (weights[~known] > 0.0).all()
