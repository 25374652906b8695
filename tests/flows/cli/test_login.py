"""The verbs `login` and `access check`."""

import json
from pathlib import Path
from typing import Any

import pytest

from deepsalt.errors import AwayError, LoginError, ReadError, UsageError
from tests.access.login.conftest import config, root
from tests.access.login.fetching import NAME, write_profile, write_secret
from tests.flows.conftest import deepsalt
from tests.servers.archive import PASSWORD, archive
from tests.servers.ranges import bucket_server

__all__ = ["config", "root"]


def checked(*options: object) -> dict[str, Any]:
    """Return what `access check --json` says."""
    result = deepsalt("access", "check", "--json", *options)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_login_says_what_works_and_until_when(root: Path, config: Path) -> None:
    with archive("earthdata", root) as server:
        write_secret(config, server)
        result = deepsalt("login", "test")
    assert result.exit_code == 0
    assert "profile test: the login works, from" in result.output
    assert "it lasts until 2030-01-31" in result.output
    assert server.logins == 1


def test_login_names_what_to_set_and_asks_for_nothing_without_a_terminal(root: Path) -> None:
    result = deepsalt("login", "dlr")
    assert isinstance(result.exception, LoginError)
    assert result.exception.exit_code == 2
    assert "set DEEPSALT_DLR_USER and DEEPSALT_DLR_PASSWORD" in str(result.exception)
    assert not result.output


def test_login_keeps_what_was_typed_once_it_works(
    root: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["ada", "wrong", "ada", PASSWORD])
    monkeypatch.setattr("flows.cli.login.is_terminal", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(typed))
    with archive("form", root) as server:
        write_profile(config, server)
        assert isinstance(deepsalt("login", "test").exception, LoginError)
        assert not (config / "secrets.toml").exists()
        result = deepsalt("login", "test")
        assert result.exit_code == 0, result.exception
        assert PASSWORD not in result.output
        assert checked("--url", f"{server.files}/{NAME}")["url"]["profile"] == "test"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["nasa"], UsageError),
        (["s3"], UsageError),
        (["dlr", "--url", "https://other.example/file"], UsageError),
    ],
)
def test_login_refuses_what_it_cannot_try(arguments: list[str], kind: type[Exception]) -> None:
    result = deepsalt("login", *arguments)
    assert isinstance(result.exception, kind)


def test_a_login_server_that_is_away_is_one_sentence(root: Path, config: Path) -> None:
    with archive("form", root, ill=9) as server:
        write_secret(config, server)
        result = deepsalt("login", "test")
    assert isinstance(result.exception, AwayError)
    assert result.exception.exit_code == 1
    assert "got no answer (" in str(result.exception)


def test_check_lists_profiles_and_where_their_secrets_come_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "open-sesame")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    rows = {row["profile"]: row for row in checked()["profiles"]}
    assert rows["earthdata"]["secret"] == "the environment"
    assert rows["dlr"]["secret"] is None
    assert rows["dlr"]["to_do"].startswith("set DEEPSALT_DLR_USER")
    text = deepsalt("access", "check").output
    assert "open-sesame" not in text
    assert "dlr         never tried live; no secret; set DEEPSALT_DLR_USER" in text


def test_check_says_that_others_may_read_the_secrets(root: Path, config: Path) -> None:
    with archive("basic", root) as server:
        write_secret(config, server)
    (config / "secrets.toml").chmod(0o644)
    result = deepsalt("access", "check")
    assert result.exit_code == 2
    assert "others than you may read it" in result.output


@pytest.mark.parametrize("kind", ["basic", "bearer", "form", "earthdata", "signed"])
def test_check_fetches_the_first_bytes_of_a_url(kind: str, root: Path, config: Path) -> None:
    with archive(kind, root) as server:
        write_secret(config, server)
        found = checked("--url", f"{server.files}/{NAME}")["url"]
        text = deepsalt("access", "check", "--url", f"{server.files}/{NAME}").output
    assert found["profile"] == "test"
    assert not found["recorded"]  # this machine is no archive
    assert found["probe"]["size_bytes"] == (root / NAME).stat().st_size
    assert "works: 65.5 kB of 3.1 MB came in" in text
    assert "by profile test; its server sends files in parts" in text


def test_a_url_that_cannot_be_fetched_is_an_error(root: Path, config: Path) -> None:
    with archive("form", root) as server:
        write_secret(config, server)
        gone = deepsalt("access", "check", "--url", f"{server.files}/area/none.tif")
        write_secret(config, server, "wrong")
        server.expire()
        wrong = deepsalt("access", "check", "--url", f"{server.files}/{NAME}")
    assert isinstance(gone.exception, ReadError)
    assert gone.exception.exit_code == 1
    assert isinstance(wrong.exception, LoginError)
    assert wrong.exception.exit_code == 2


def test_help_of_access_check_gives_an_example() -> None:
    assert "Example" in deepsalt("access", "check", "--help").output


def test_a_file_in_a_bucket_is_tried_with_the_keys_of_a_profile_of_aws(
    root: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config / "aws").write_text("[lab]\naws_access_key_id = LABKEY\naws_secret_access_key = x\n")
    with bucket_server(root) as server:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(config / "aws"))
        monkeypatch.setenv("AWS_PROFILE", "lab")
        found = checked("--url", f"s3://{NAME}")["url"]
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        missing = deepsalt("access", "check", "--url", f"s3://{NAME}")
    assert found["profile"] == "s3"
    assert not found["recorded"]
    assert all("Credential=LABKEY/" in each for each in server.signed)
    assert isinstance(missing.exception, LoginError)
    assert "AWS_PROFILE is nobody" in str(missing.exception)
