"""Adaptations as they are applied."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import FormatError, ModelError
from deepsalt.model.adaptation import Adaptation

SIZE = 5


def drawn(seed: int, name: str = "drawn") -> Adaptation:
    rng = np.random.default_rng(seed)
    return Adaptation(name, rng.normal(size=(SIZE, SIZE)), rng.normal(size=SIZE))


def features(seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(7, SIZE))


def test_the_identity_changes_no_bit():
    assert np.array_equal(Adaptation.identity(SIZE)(features()), features())


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=30)
def test_a_chain_is_one_after_the_other(first, second):
    chain = drawn(first).then(drawn(second))
    np.testing.assert_allclose(
        chain(features()), drawn(second)(drawn(first)(features())), atol=1e-12
    )


def test_a_chain_is_named_after_its_parts_in_order():
    chain = drawn(0, "epo").then(Adaptation.identity(SIZE)).then(drawn(1, "ds"))
    assert chain.name == "epo+ds"
    assert Adaptation.identity(SIZE).then(Adaptation.identity(SIZE)).name == "identity"


@given(st.integers(0, 1000))
@settings(max_examples=30)
def test_a_folded_projection_gives_the_components_of_adapted_features(seed):
    rng = np.random.default_rng(seed)
    components, offset = rng.normal(size=(3, SIZE)), rng.normal(size=3)
    folded, shifted = drawn(seed).fold(components, offset)
    np.testing.assert_allclose(
        features() @ folded.T + shifted,
        drawn(seed)(features()) @ components.T + offset,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.ones((2, SIZE + 1)), "takes features"),
        (np.ones(SIZE), "takes features"),
        (np.full((2, SIZE), np.nan), "row 0"),
    ],
    ids=["other width", "one vector", "missing"],
)
def test_features_that_do_not_fit_are_refused(values, match):
    with pytest.raises(FormatError, match=match):
        drawn(0)(values)


@pytest.mark.parametrize(
    ("matrix", "shift"),
    [
        (np.eye(SIZE), np.zeros(SIZE + 1)),
        (np.eye(SIZE), np.zeros((SIZE, 1))),
        (np.full((SIZE, SIZE), np.inf), np.zeros(SIZE)),
    ],
    ids=["sizes differ", "shift is a column", "infinite"],
)
def test_a_matrix_and_shift_that_disagree_are_refused(matrix, shift):
    with pytest.raises(ModelError, match="adaptation 'broken'"):
        Adaptation("broken", matrix, shift)
