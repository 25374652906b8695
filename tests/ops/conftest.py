"""A product whose pixels all scenes share, and a service for a module's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from tests.engines.conftest import catalogue, mapped, scenes, wanted
from tests.flows.conftest import CENTER, WEST_DAY
from tests.ops.running import Running
from tests.servers.postgres import Postgres, postgres

__all__ = ["catalogue", "database", "mapped", "product", "scenes", "service", "wanted"]


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated EnMAP product of 64 by 64 pixels."""
    folder = tmp_path_factory.mktemp("product")
    grid = utm_grid(*CENTER, 64, 64, zone=44)
    land = Landscape(3, *CENTER)
    return write_enmap(folder, landscape=land, grid=grid, start=WEST_DAY, seed=1)


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, database: Postgres) -> Iterator[Running]:
    """A service on PostgreSQL, whose server writes down when it refuses a request for now.

    A scene whose run ended without a product is due again at once.
    """
    told = {"PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "true"}
    folder = tmp_path_factory.mktemp("ops")
    with Running(folder, database.url, wait_min=1e-9, environment=told) as running:
        yield running
