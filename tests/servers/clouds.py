"""An environment that no cloud knows."""

import os
from pathlib import Path

import pytest


def forget_users(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Take away what clouds' tools know of a user: variables, files, and the machine's own role."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
