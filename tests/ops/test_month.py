"""A simulated month whose scenes go, a few of them, through real runs: the products of a clean run.

A day and a dozen runs in CI; a month and 300 runs with `DEEPSALT_CAMPAIGN=1`.
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deepsalt.context import Context
from deepsalt.mapping import map_scene
from deepsalt.model.load import model_ref
from deepsalt.products import complete_names, open_product, product_name
from deepsalt.store import Store
from deepsalt.types import Acquisition
from flows.config import Grid, Selection, WatchConfig
from flows.prefect.submitter import PrefectSubmitter
from flows.prefect.watch import scene_of
from flows.run.stores import open_store
from flows.watch.ledger import Submission
from tests.campaign import examples
from tests.flows.watch.month import Month
from tests.ops.running import Running, many
from tests.servers.ranges import serving_files
from tests.servers.stac import FILTERS, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.ops

DAYS = examples(1, 30)
EACH = examples(120, 60)
"""One acquisition of so many goes through real runs."""


def test_a_month_ends_with_the_products_of_one_clean_run(
    service: Running, product: Path, tmp_path: Path
) -> None:
    model = model_ref(None)
    place = str(tmp_path / "store")
    store = open_store(place, model, Grid(), None)
    near = many(product, 1)[0]

    def is_real(submission: Submission) -> bool:
        return number(submission.acquisition) % EACH == 0

    with (
        serving([]) as server,
        serving_files(product.parent) as files,
        temporary_settings({PREFECT_API_URL: service.api}),
        PrefectSubmitter("process-scene/local", parameters(server.url, place)) as real,
    ):
        server.conforms = FILTERS
        far = served(near, files, product.parent)
        month = Month(
            tmp_path,
            server,
            Random(20260301),
            store=store,
            model=model,
            make=lambda count, version: numbered(far, count, version),
            real=real,
            is_real=is_real,
        )
        for _ in range(24 * DAYS):
            month.an_hour()
        newest = {product_name(each, model): each for each in month.newest.values()}
        names = {
            name: each for name, each in newest.items() if number(each.acquisition_id) % EACH == 0
        }
        month.quiet()
        wait_until(
            lambda: _all_in(month, names),
            "not all real runs ended",
            alive=service.alive,
            patience_s=examples(150, 7200),
        )
    print(month.announced, "announcements;", len(names), "real products;", dict(month.odd))
    complete = complete_names(store)
    assert newest.keys() <= complete
    assert complete <= {product_name(each, model) for each in month.ever.values()}
    for attempts in states_of_products(service).values():
        assert "COMPLETED" not in attempts[:-1], attempts  # a further one only after a failure
    clean = open_store(str(tmp_path / "clean"), model, Grid(), None)
    with Context.local(model) as context:
        for name, each in names.items():
            map_scene(replace(each, assets=near.assets), clean, context)
            assert_same(store, clean, name)


def states_of_products(service: Running) -> dict[str, list[str]]:
    """Return how the runs of each product ended, in the order of its attempts."""
    runs = defaultdict[str, dict[int, str]](dict)
    for run in service.runs("process-scene"):
        product, _, attempt = run["idempotency_key"].rpartition("/")
        runs[product][int(attempt)] = run["state_type"]
    return {product: [each[number] for number in sorted(each)] for product, each in runs.items()}


def numbered(one: Acquisition, count: int, version: str) -> Acquisition:
    name = f"DT{count:010d}_001"
    scene_id = f"ENMAP01-____L2A-{name}-V{version.replace('.', '')}"
    return replace(one, acquisition_id=name, scene_id=scene_id, version=version)


def served(one: Acquisition, files: str, folder: Path) -> Acquisition:
    """Return an acquisition whose files are on a server."""
    assets = tuple(
        replace(each, href=f"{files}/{Path(each.href).relative_to(folder).as_posix()}")
        for each in one.assets
    )
    return replace(one, assets=assets)


def parameters(catalogue: str, place: str) -> dict[str, object]:
    """Return what a watch gives to its runs."""
    config = WatchConfig(name="month", selection=Selection(catalogue=catalogue), out=place)
    return {"out": place, "config": scene_of(config).model_dump(mode="json")}


def number(acquisition: str) -> int:
    return int(acquisition[2:12])


def _all_in(month: Month, names: dict[str, Acquisition]) -> bool:
    """Let the watch look again, as it would each hour, until all products are there."""
    month.quiet()
    return set(names) <= complete_names(month.store, names)


def assert_same(store: Store, clean: Store, name: str) -> None:
    left, right = open_product(store, name), open_product(clean, name)
    assert left.keys() == right.keys()
    for layer in left:
        np.testing.assert_array_equal(left[layer].values, right[layer].values, err_msg=str(layer))
