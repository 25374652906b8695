"""Methods of EC: one spelling for each, and conversions that make sense."""

import pytest

from deepsalt.conductivity import Conversion, method_of
from deepsalt.errors import UsageError


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("ECe", "ECe"),
        ("EC of a saturated-paste extract", "ECe"),
        ("EC 1:2", "EC 1:2"),
        ("ec1:2", "EC 1:2"),
        ("1:2 water extract", "EC 1:2"),
        ("EC 1 : 2.5", "EC 1:2.5"),
        ("EC 1:2,5", "EC 1:2.5"),
        ("Simulated", "simulated"),
        ("", None),
        ("mixed or unknown", None),
        ("EC 1:2; EC 1:5", None),
        ("EC 1:2 or 1:5", None),
        ("ECe from 1:5", None),
    ],
)
def test_a_method_has_one_spelling_or_is_not_known(text: str, method: str | None) -> None:
    assert method_of(text) == method


@pytest.mark.parametrize("text", ["", "2", "2,0.3,1", "two,0.3", "0,0.3", "2,0", "2,9", "nan,1"])
def test_a_conversion_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Conversion.parse(text)
