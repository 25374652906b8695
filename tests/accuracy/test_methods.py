"""Labels and a map: what compares, what is converted, and what is never mixed."""

import numpy as np
import pytest

from deepsalt.accuracy.methods import harmonise
from deepsalt.conductivity import Conversion
from deepsalt.errors import UsageError


def labels(*methods: str) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(1.0, len(methods) + 1), np.array(methods, np.str_)


def test_equal_methods_compare_directly() -> None:
    found = harmonise(*labels("EC 1:2", "1:2"), "EC 1:2 water extract")
    assert found.comparable
    assert not found.conversion_sd.any()
    assert set(found.reason.tolist()) == {""}


@pytest.mark.parametrize(
    ("methods", "of_map"),
    [
        (("ECe", "ECe"), "EC 1:2"),
        (("", ""), "EC 1:2"),
        (("ECe", "ECe"), "mixed or unknown"),
        (("", ""), ""),
    ],
    ids=["unlike", "samples state none", "map unknown", "nobody states one"],
)
def test_unlike_or_unknown_methods_give_ranks_and_a_reason(
    methods: tuple[str, ...], of_map: str
) -> None:
    found = harmonise(*labels(*methods), of_map)
    assert not found.comparable
    assert "no bias, RMSE or coverage" in found.sentence
    assert set(found.reason.tolist()) == {""}


def test_of_several_methods_only_that_of_the_map_is_used() -> None:
    found = harmonise(*labels("ECe", "ECe", "EC 1:5"), "EC 1:5")
    assert found.comparable
    assert found.reason.tolist() == ["it is not EC 1:5 as the map is"] * 2 + [""]


def test_of_several_unlike_methods_only_the_most_frequent_is_used() -> None:
    found = harmonise(*labels("ECe", "EC 1:5", "EC 1:5"), "EC 1:2")
    assert [bool(reason) for reason in found.reason] == [True, False, False]


def test_a_conversion_multiplies_and_carries_its_error() -> None:
    found = harmonise(*labels("EC 1:5", "ECe"), "ECe", Conversion(7.5, 0.3))
    assert found.comparable
    assert found.ec.tolist() == [7.5, 2.0]
    assert found.conversion_sd.tolist() == [0.3, 0.0]


def test_nothing_is_converted_to_a_method_that_is_not_known() -> None:
    with pytest.raises(UsageError, match="nothing can be converted"):
        harmonise(*labels("EC 1:5"), "mixed or unknown", Conversion(7.5, 0.3))


def test_a_conversion_that_no_sample_needs_is_refused() -> None:
    with pytest.raises(UsageError, match="all samples are ECe"):
        harmonise(*labels("ECe"), "ECe", Conversion(7.5, 0.3))
