"""What groups of options become."""

import pytest

from deepsalt.errors import UsageError
from flows.cli.shared.groups import Filters


def test_a_value_out_of_range_is_refused_by_the_name_of_its_option() -> None:
    with pytest.raises(UsageError, match="--max-cloud cannot be 200"):
        Filters(max_cloud=200.0).of("catalogue")
