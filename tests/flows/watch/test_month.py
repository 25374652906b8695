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
        proposed, told = set[tuple[str, str]](), Counter[str]()
        for hour in range(24 * DAYS):
            month.an_hour()
            told.update(each.kind for each in month.judge())
            if hour % 168 == 167:
                proposed |= set(month.compare().proposed)
        month.quiet()
        proposed |= set(month.compare().proposed)
    wanted = {product_name(each, REF) for each in month.newest.values()}
    complete = complete_names(month.store)
    print(month.announced, "announcements;", len(wanted), "acquisitions;", dict(month.odd))
    assert wanted <= complete
    assert complete <= {product_name(each, REF) for each in month.ever.values()}
    print("told:", dict(told))
    # Nothing builds a mosaic here, so that it is stale is true; so is what was lost or given up.
    false = sum(told[kind] for kind in ("unseen", "late", "quarantine"))
    assert false <= max(1, DAYS // 7)
    assert proposed
    assert proposed <= month.gone.keys()
    if not month.odd["ledger lost"]:  # what goes before a new ledger has seen it is not known
        mapped = {key for key, each in month.gone.items() if product_name(each, REF) in complete}
        assert mapped <= proposed
    runs = Counter(product for product, _ in month.runs.by_key)
    assert max(runs.values()) <= month.watch.attempts
