"""Workers log in for themselves, with what their own environment says."""

from pathlib import Path

import pytest

from tests.access.login.conftest import config
from tests.access.login.fetching import everything_in, write_profile
from tests.engines.clusters import cluster
from tests.engines.runs import command, contents, run_on
from tests.flows.conftest import Scenes, remote_items
from tests.servers.archive import PASSWORD, USER, Archive, archive
from tests.servers.stac import serving

__all__ = ["config"]
pytestmark = pytest.mark.slow


def assert_no_secret(server: Archive, text: bytes) -> None:
    assert not [word for word in {PASSWORD, *server.secrets} if word.encode() in text]


@pytest.mark.parametrize("kind", ["form", "earthdata"])
def test_local_workers_renew_a_login_that_expires_in_the_middle(
    kind: str,
    scenes: Scenes,
    config: Path,
    wanted: dict[str, str],
    tmp_path: Path,
) -> None:
    with (
        archive(kind, scenes.west.parent, drop_bytes=400_000, expire_at=(9, 30)) as server,
        serving(remote_items(scenes.all, server.files)) as api,
    ):
        write_profile(config, server)
        environment = {"TEST_USER": USER, "TEST_PASSWORD": PASSWORD}
        ended = command(api.url, tmp_path / "store", "--workers", "2", **environment)
        assert ended.code == 0, ended.said
    assert contents(tmp_path / "store") == wanted
    assert not server.expire_at
    assert 3 <= server.logins <= 6  # two processes, begun once and renewed twice at most
    assert_no_secret(server, ended.said.encode() + everything_in(tmp_path / "store"))


def test_workers_elsewhere_use_the_secret_of_their_own_environment(
    scenes: Scenes, config: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    environment = {"TEST_USER": USER, "TEST_PASSWORD": PASSWORD, "DEEPSALT_CONFIG": str(config)}
    with (
        archive("form", scenes.west.parent) as server,
        serving(remote_items(scenes.all, server.files)) as api,
        cluster(tmp_path / "cluster", workers=2, **environment) as made,
    ):
        write_profile(config, server)
        run_on(made.address, api.url, tmp_path / "store")
        said = "".join(each.said for each in (*made.workers, made.scheduler))
    assert contents(tmp_path / "store") == wanted
    assert 1 <= server.logins <= 2
    assert_no_secret(server, said.encode() + everything_in(tmp_path / "store"))
