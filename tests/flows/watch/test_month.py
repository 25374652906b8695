"""A simulated month of announcements: duplicates, outages, reprocessing, restarts, a lost ledger.

A day of it in CI; a month with `DEEPSALT_CAMPAIGN=1`.
"""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from deepsalt.products import complete_names, product_name
from tests.campaign import examples
from tests.flows.watch.month import Month
from tests.servers.stac import FILTERS, serving
from tests.store.builders import REF

DAYS = examples(1, 30)


@pytest.mark.slow
def test_a_month_ends_with_the_products_of_one_clean_run(tmp_path: Path) -> None:
    with serving([]) as server:
        server.conforms = FILTERS
        month = Month(tmp_path, server, Random(20260301))
        for _ in range(24 * DAYS):
            month.an_hour()
        month.quiet()
    wanted = {product_name(each, REF) for each in month.newest.values()}
    complete = complete_names(month.store)
    print(month.announced, "announcements;", len(wanted), "acquisitions;", dict(month.odd))
    assert wanted <= complete
    assert complete <= {product_name(each, REF) for each in month.published.values()}
    runs = Counter(product for product, _ in month.runs.by_key)
    assert max(runs.values()) <= month.watch.attempts
