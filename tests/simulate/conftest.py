from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.prisma import write_prisma
from deepsalt.simulate.scene import Weather

WEATHER = Weather(cloud=0.15, cirrus=0.1, haze=0.1)
START = datetime(2024, 6, 1, 7, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def land():
    return Landscape(7, 60.0, 41.5)


@pytest.fixture(scope="session")
def enmap(tmp_path_factory, land):
    """A small EnMAP product of known ground, with clouds."""
    grid = utm_grid(60.05, 41.55, 90, 70)
    folder = write_enmap(
        tmp_path_factory.mktemp("enmap"),
        landscape=land,
        grid=grid,
        start=START,
        seed=3,
        weather=WEATHER,
    )
    return SimpleNamespace(folder=folder, grid=grid, seed=3, name=folder.name)


@pytest.fixture(scope="session")
def prisma(tmp_path_factory, land):
    """A small PRISMA product of the same ground in the neighbouring zone."""
    grid = utm_grid(60.05, 41.55, 64, 80, zone=40)
    path = write_prisma(
        tmp_path_factory.mktemp("prisma"),
        landscape=land,
        grid=grid,
        start=START,
        seed=4,
        weather=WEATHER,
    )
    return SimpleNamespace(path=path, grid=grid, seed=4)
