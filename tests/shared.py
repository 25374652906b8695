"""Where tests find the real data that lies beside a checkout and is not part of it."""

import os
from pathlib import Path

import pytest

DATA = Path(
    os.environ.get("DEEPSALT_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)


def shared_data(*parts: str) -> Path:
    """Return a path below the shared data; skip the test with a clear message without it."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real data {'/'.join(parts)} is not beside this checkout (shared/data)")
    return path
