"""Small simulated scenes, their catalogue, and a store mapped from them; made once per session."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.scenes.base import read_acquisition
from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.simulate.prisma import write_prisma
from deepsalt.simulate.scene import Weather
from flows.cli.app import app

CENTER = (84.054, 40.873)  # near a UTM zone border, on a corner of four tiles of the default grid
WEST_DAY, EAST_DAY = datetime(2024, 4, 18, 5, 20, tzinfo=UTC), datetime(2024, 5, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Scenes:
    """Paths of three products that overlap, and the ground they show."""

    west: Path
    east: Path
    prisma: Path
    landscape: Landscape

    @property
    def all(self) -> tuple[Path, Path, Path]:
        return (self.west, self.east, self.prisma)


def simulate_scenes(folder: Path) -> Scenes:
    """Write the three products into a folder."""
    land = Landscape(3, *CENTER)
    sky = Weather(cloud=0.05)
    west = utm_grid(CENTER[0] - 0.005, CENTER[1], 150, 130, zone=44)
    east = utm_grid(CENTER[0] + 0.005, CENTER[1], 140, 150, zone=45)
    third = utm_grid(CENTER[0], CENTER[1] + 0.004, 120, 120, zone=45)
    return Scenes(
        west=write_enmap(folder, landscape=land, grid=west, start=WEST_DAY, seed=1, weather=sky),
        east=write_enmap(folder, landscape=land, grid=east, start=EAST_DAY, seed=2, weather=sky),
        prisma=write_prisma(
            folder, landscape=land, grid=third, start=EAST_DAY, seed=3, weather=sky
        ),
        landscape=land,
    )


def remote_items(paths: Iterable[Path], files: str) -> list[dict[str, object]]:
    """Return Items of scenes with assets on a server, behind signed URLs."""
    items = []
    for path in paths:
        document = to_item(read_acquisition(path)).to_dict()
        for asset in document["assets"].values():
            name = Path(asset["href"]).relative_to(path.parent).as_posix()
            asset["href"] = f"{files}/{name}?signature=open-sesame"
        items.append(document)
    return items


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return simulate_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="session")
def catalogue(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    add_items(folder, [to_item(read_acquisition(path)) for path in scenes.all])
    return folder


def deepsalt(*args: object) -> Result:
    """Call the command in this process; errors of deepsalt come back as `Result.exception`."""
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="session")
def mapped(catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the three scenes and their mosaic. Tests read it; writers take `store`."""
    store = tmp_path_factory.mktemp("mapped") / "store"
    result = deepsalt("run", "--catalogue", catalogue, "--out", store)
    assert result.exit_code == 0, result.output
    return store


@pytest.fixture
def store(mapped: Path, tmp_path: Path) -> Path:
    """A copy of the mapped store that a test may change."""
    return Path(shutil.copytree(mapped, tmp_path / "store", symlinks=True))
