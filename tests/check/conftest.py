"""A sound store, made once, and a copy of it for each test."""

import shutil
from pathlib import Path

import pytest

from deepsalt.store import Store
from tests.check.harm import fill
from tests.store.builders import make_store


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(make_store(tmp_path_factory.mktemp("sound") / "store")).objects.path


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Store:
    shutil.copytree(sound, tmp_path / "store")
    return Store.open(tmp_path / "store")
