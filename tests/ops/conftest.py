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
    """A service on PostgreSQL."""
    with Running(tmp_path_factory.mktemp("ops"), database.url) as running:
        yield running
