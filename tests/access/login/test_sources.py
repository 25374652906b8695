"""Where secrets and profiles come from, and who else may see or change them."""

import dataclasses
import pickle
import stat
from pathlib import Path

import pytest

from deepsalt.access.login import (
    NEVER_TRIED,
    Profile,
    Secret,
    keep_secret,
    note_success,
    profile_for,
    profile_named,
    profiles,
    secret_of,
    tried,
    what_to_set,
)
from deepsalt.access.login.kinds.grant import Grant
from deepsalt.errors import LoginError, UsageError
from tests.access.login.fetching import write_private

DLR = "[dlr]\nuser = 'ada'\npassword = 'open-sesame'\n"


def test_each_profile_of_the_package_reads_never_tried_live() -> None:
    assert {profile.name for profile in profiles()} == {
        "dlr",
        "earthdata",
        "stac",
        "stac-basic",
        "s3",
    }
    assert {tried(profile) for profile in profiles()} == {NEVER_TRIED}


def test_a_success_on_this_machine_is_not_recorded_and_one_elsewhere_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not note_success("dlr", "http://127.0.0.1:1/file")
    assert not note_success("dlr", "http://localhost/file")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert not note_success("s3", "s3://bucket/file")
    assert tried(profile_named("dlr")) == NEVER_TRIED
    assert note_success("dlr", "https://192.0.2.1/file?signature=x")
    assert tried(profile_named("dlr")).startswith("worked on 20")
    assert tried(profile_named("dlr")).endswith("with 192.0.2.1")
    assert tried(profile_named("earthdata")) == NEVER_TRIED


@pytest.mark.parametrize("name", ["secrets.toml", "netrc"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_secrets_that_others_may_read_are_refused(name: str, mode: int, config: Path) -> None:
    content = DLR if name == "secrets.toml" else "machine sso.eoc.dlr.de login a password b\n"
    write_private(config / name, content)
    assert secret_of(profile_named("dlr")) is not None
    (config / name).chmod(mode)
    with pytest.raises(LoginError, match=rf"others than you may read it \(mode {mode:04o}\)"):
        secret_of(profile_named("dlr"))


def test_profiles_that_others_may_write_are_refused(config: Path) -> None:
    (config / "access.toml").touch()
    (config / "access.toml").chmod(0o664)
    with pytest.raises(LoginError, match="others than you may write it"):
        profiles()


@pytest.mark.parametrize("name", ["secrets.toml", "netrc"])
def test_a_damaged_file_of_secrets_is_not_quoted(name: str, config: Path) -> None:
    write_private(config / name, "open-sesame is my password = = ['\n")
    with pytest.raises(LoginError, match="is not") as said:
        secret_of(profile_named("dlr"))
    assert said.value.__context__ is said.value.__cause__ is None
    assert "open-sesame" not in str(said.value)


def test_the_environment_comes_before_files(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(config / "secrets.toml", DLR)
    monkeypatch.setenv("DEEPSALT_DLR_USER", "eve")
    monkeypatch.setenv("DEEPSALT_DLR_PASSWORD", "x")
    found = secret_of(profile_named("dlr"))
    assert found is not None
    assert (found.user, found.source) == ("eve", "the environment")


def test_half_a_login_names_the_other_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSALT_DLR_USER", "eve")
    with pytest.raises(LoginError, match=r"only a part .* set DEEPSALT_DLR_PASSWORD, too"):
        secret_of(profile_named("dlr"))


def test_a_secret_with_a_line_break_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "open-\nsesame")
    with pytest.raises(LoginError, match="is not a line of text") as said:
        secret_of(profile_named("earthdata"))
    assert "sesame" not in str(said.value)


def test_a_default_of_netrc_is_sent_nowhere(config: Path) -> None:
    write_private(config / "netrc", "default login a password b\n")
    assert secret_of(profile_named("dlr")) is None


def test_what_is_to_be_set_is_named() -> None:
    assert what_to_set(profile_named("dlr")).startswith(
        "set DEEPSALT_DLR_USER and DEEPSALT_DLR_PASSWORD, or add [dlr] to"
    )


def test_a_kept_secret_is_read_again_and_nobody_else_may_read_it(config: Path) -> None:
    write_private(config / "secrets.toml", DLR)
    odd = 'a"b\\c # [d]'
    path = keep_secret(profile_named("earthdata"), Secret("typed", token=odd))
    found = secret_of(profile_named("earthdata"))
    assert found is not None
    assert found.token == odd
    assert secret_of(profile_named("dlr")) is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "hidden", [Secret("typed", "a", "open-sesame"), Grant(authorization="open-sesame")]
)
def test_secrets_have_no_text_and_stay_in_their_process(hidden: object) -> None:
    assert "sesame" not in f"{hidden!r} {hidden} {[hidden]}"
    with pytest.raises(TypeError, match="stay in their process"):
        pickle.dumps(hidden)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[a]\nkind = 'magic'", "needs a kind, one of basic"),
        ("[a]\nkind = 'form'\nhosts = ['x.org']", "give its login_url"),
        ("[a]\nkind = 'basic'\nhosts = 'x.org'", "needs a list of hosts as hosts"),
        ("[a]\nkind = 'basic'\npasswort = 'A'", "unknown entry 'passwort'"),
        ("[a]\nkind = 'basic'\npassword = 'open-sesame'", "name of an environment variable"),
        ("a = 1", "unknown entry 'a'"),
        ("[a", "is not valid TOML"),
    ],
)
def test_a_wrong_profile_is_one_sentence(text: str, why: str, config: Path) -> None:
    (config / "access.toml").write_text(text)
    with pytest.raises(UsageError, match=why) as said:
        profiles()
    assert "sesame" not in str(said.value)


def test_a_users_profile_replaces_one_of_the_package(config: Path) -> None:
    (config / "access.toml").write_text("[dlr]\nkind = 'basic'\nhosts = ['Files.Example.org:443']")
    assert profile_named("dlr").hosts == ("https://files.example.org",)
    assert profile_named("earthdata").kind == "earthdata"


def test_hosts_of_a_generic_catalogue_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEEPSALT_STAC_HOSTS", "stac.example.org, files.example.org:8443")
    monkeypatch.setenv("DEEPSALT_STAC_USER", "ada")
    monkeypatch.setenv("DEEPSALT_STAC_PASSWORD", "x")
    found = profile_for("https://files.example.org:8443/a/b.tif", profiles())
    assert found is not None
    assert found.name == "stac-basic"  # the one of the two that has a secret
    assert profile_for("http://stac.example.org/a", profiles()) is None


def test_a_profile_is_told_by_its_origin() -> None:
    profile = dataclasses.replace(profile_named("dlr"))
    assert isinstance(profile, Profile)
    assert profile.covers("https://DOWNLOAD.geoservice.dlr.de:443/ENMAP/x.tif?y")
    for other in (
        "http://download.geoservice.dlr.de/x",
        "https://download.geoservice.dlr.de.evil.example/x",
        "https://download.geoservice.dlr.de@evil.example/x",
        "https://download.geoservice.dlr.de:8443/x",
        "https://evil.example/download.geoservice.dlr.de",
    ):
        assert not profile.covers(other), other
