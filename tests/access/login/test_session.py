"""Logins of one process: shared, renewed where it helps, and not where it does not."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepsalt.errors import ReadError
from tests.access.login.fetching import NAME, fetch, write_secret
from tests.servers.archive import archive


def test_threads_with_loops_of_their_own_share_one_login(
    root: Path, config: Path, tmp_path: Path
) -> None:
    with archive("form", root) as server, ThreadPoolExecutor(4) as threads:
        write_secret(config, server)
        href = f"{server.files}/{NAME}"
        found = list(threads.map(lambda n: fetch(href, tmp_path / str(n)), range(4)))
    assert found == [(root / NAME).read_bytes()] * 4
    assert server.logins == 1


@pytest.mark.parametrize(("kind", "most"), [("basic", 0), ("form", 4), ("earthdata", 4)])
def test_a_file_that_the_user_may_not_have_does_not_make_a_login_each_time(
    kind: str, most: int, root: Path, config: Path, tmp_path: Path
) -> None:
    (root / "area" / "other.tif").write_bytes(b"x" * 1000)
    with archive(kind, root, forbidden="other.tif") as server:
        write_secret(config, server)
        for _ in range(8):
            with pytest.raises(ReadError, match="is refused"):
                fetch(f"{server.files}/area/other.tif", tmp_path / "out")
        if kind != "basic":  # which shows its password each time
            assert server.logins <= most
        found = fetch(f"{server.files}/{NAME}", tmp_path / "out")
    assert found == (root / NAME).read_bytes()
    assert not server.refused
