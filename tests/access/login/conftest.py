"""A user's configuration of their own, and files to fetch from an archive."""

import os
from pathlib import Path

import pytest

SIZE = 3 * 2**20 + 17


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's configuration; nothing of this machine's user is read."""
    folder = tmp_path / "config"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("DEEPSALT_CONFIG", str(folder))
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    for name in list(os.environ):
        if name.startswith(("TEST_", "DEEPSALT_DLR", "DEEPSALT_STAC", "EARTHDATA_")):
            monkeypatch.delenv(name)
    return folder


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an archive with a file of random bytes, `area/scene.tif`."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "area").mkdir()
    (folder / "area" / "scene.tif").write_bytes(os.urandom(SIZE))
    return folder
