"""What held-out groups say about teacher, networks and student."""

from dataclasses import replace

import numpy as np

from deepsalt.train.student.cross import NETWORK_WEIGHTS, cross_fit
from deepsalt.train.teacher import teacher as teaching
from tests.train.tables import QUICK, library_views

VIEWS = library_views()
FEW = replace(QUICK, networks=1, epochs=4, hidden=(8, 4))
RNG = np.random.default_rng(0)


def test_held_out_answers_do_not_know_their_group():
    out = VIEWS.region == VIEWS.region[0]
    spoilt = replace(VIEWS, ec=np.where(out, 400.0, VIEWS.ec))
    one, two = (cross_fit(samples, QUICK)[0] for samples in (VIEWS, spoilt))
    for name in ("teacher", "kernel", "student"):
        first, second = getattr(one, name), getattr(two, name)
        assert np.array_equal(first[out], second[out]), name
        assert not np.array_equal(first[~out], second[~out]), name


def test_networks_that_know_nothing_get_no_share(monkeypatch):
    monkeypatch.setattr(teaching, "apply_network", lambda _, inputs: RNG.normal(0, 9, len(inputs)))
    assert cross_fit(VIEWS, FEW)[1] == 0.0


def test_networks_that_know_more_get_the_largest_share(monkeypatch):
    known = {row.tobytes(): value for row, value in zip(VIEWS.features, VIEWS.target, strict=True)}
    location = teaching.Teacher.location
    asked = {}

    def remember(self, features):
        asked["target"] = np.array([known[row.tobytes()] for row in features])
        return location(self, features)

    monkeypatch.setattr(teaching.Teacher, "location", remember)
    monkeypatch.setattr(teaching.Teacher, "network_location", lambda *_: asked["target"])
    assert cross_fit(VIEWS, FEW)[1] == max(NETWORK_WEIGHTS)
