"""Who we are to S3: obstore and Icechunk ask as the same user, and no pickle holds a secret."""

import json
import os
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cloudpickle
import icechunk
import numpy as np
import pytest
import zarr

from deepsalt.errors import StoreAccessError, StoreAwayError, StoreError
from deepsalt.objects import Objects, icechunk_storage, reaching
from deepsalt.objects.connection import credentials
from deepsalt.objects.connection.settings import settings_of
from tests.objects.conftest import become
from tests.objects.loopback import Fault, Loopback

SECRET = "open-sesame"


class Cloud:
    """A server, and a place for the files and variables that say who we are."""

    def __init__(self, server: Loopback, folder: Path, set_: Callable[[str, str], None]) -> None:
        self.server, self.folder, self.set = server, folder, set_

    def config(self, text: str) -> None:
        (self.folder / "config").write_text(text)
        self.set("AWS_CONFIG_FILE", str(self.folder / "config"))

    def shared(self, text: str) -> None:
        (self.folder / "shared").write_text(text)
        self.set("AWS_SHARED_CREDENTIALS_FILE", str(self.folder / "shared"))

    def program(self, answer: object) -> str:
        """Return a command that answers, as profiles name it."""
        (self.folder / "answer").write_text(json.dumps(answer))
        return f"cat '{self.folder / 'answer'}'"


@pytest.fixture
def cloud(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    return Cloud(loopback, tmp_path, monkeypatch.setenv)


def variables(cloud: Cloud) -> None:
    cloud.set("AWS_ACCESS_KEY_ID", "me")
    cloud.set("AWS_SECRET_ACCESS_KEY", SECRET)


def passing_variables(cloud: Cloud) -> None:
    variables(cloud)
    cloud.set("AWS_SESSION_TOKEN", "token")


def variables_before_a_profile(cloud: Cloud) -> None:
    variables(cloud)
    cloud.shared(f"[default]\naws_access_key_id=other\naws_secret_access_key={SECRET}\n")


def default_profile(cloud: Cloud) -> None:
    cloud.shared(f"[default]\naws_access_key_id = me\naws_secret_access_key = {SECRET}\n")


def named_profile(cloud: Cloud) -> None:
    cloud.set("AWS_PROFILE", "salt")
    cloud.shared(
        "[default]\naws_access_key_id=other\naws_secret_access_key=x\n"
        f"[salt]\naws_access_key_id=me\naws_secret_access_key={SECRET}\naws_session_token=token\n"
    )


def profile_in_config(cloud: Cloud) -> None:
    cloud.set("AWS_PROFILE", "salt")
    cloud.config(f"[profile salt]\naws_access_key_id=me\naws_secret_access_key={SECRET}%1\n")


def profile_with_a_program(cloud: Cloud) -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = {
        "Version": 1,
        "AccessKeyId": "me",
        "SecretAccessKey": SECRET,
        "SessionToken": "token",
        "Expiration": until,
    }
    cloud.set("AWS_PROFILE", "salt")
    cloud.config(f"[profile salt]\ncredential_process = {cloud.program(answer)}\n")


def public(cloud: Cloud) -> None:
    cloud.set("AWS_SKIP_SIGNATURE", "true")


def role_of_a_container(cloud: Cloud) -> None:
    (cloud.folder / "token").write_text("open-sesame")
    cloud.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{cloud.server.url}/role")
    cloud.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(cloud.folder / "token"))


@pytest.mark.parametrize(
    ("source", "user"),
    [
        (variables, ("me", None)),
        (passing_variables, ("me", "token")),
        (variables_before_a_profile, ("me", None)),
        (default_profile, ("me", None)),
        (named_profile, ("me", "token")),
        (profile_in_config, ("me", None)),
        (profile_with_a_program, ("me", "token")),
        (role_of_a_container, ("role", "token")),
        (public, ("", None)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_obstore_and_icechunk_ask_as_the_same_user(
    source: Callable[[Cloud], None], user: tuple[str, str | None], cloud: Cloud
) -> None:
    source(cloud)
    objects = Objects.of("s3://salt/store")
    [*objects.list()]
    assert not icechunk.Repository.exists(icechunk_storage(objects, "mosaic"))
    assert len(cloud.server.users) >= 2
    assert {*cloud.server.users} == {user}


@pytest.mark.parametrize(
    ("variables", "profile", "region"),
    [
        ({}, "", "us-east-1"),
        ({"AWS_REGION": "eu-central-1"}, "region=eu-west-1", "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, "", "eu-central-1"),
        ({}, "region=eu-west-1", "eu-west-1"),
    ],
)
def test_obstore_and_icechunk_ask_in_the_same_region(
    variables: dict[str, str], profile: str, region: str, cloud: Cloud
) -> None:
    for name, value in variables.items():
        cloud.set(name, value)
    default_profile(cloud)
    cloud.config(f"[default]\n{profile}\n")
    objects = Objects.of("s3://salt/store")
    [*objects.list()]
    icechunk.Repository.exists(icechunk_storage(objects, "mosaic"))
    assert len(cloud.server.users) >= 2
    assert {*cloud.server.regions} == {region}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", ""])
def test_obstore_and_icechunk_ask_the_same_server(
    name: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    default_profile(cloud)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    if name != "AWS_ENDPOINT_URL_S3":
        monkeypatch.delenv("AWS_ENDPOINT_URL")
    if name:
        cloud.set(name, f"{cloud.server.url}/")
    else:
        cloud.config(f"[default]\nendpoint_url={cloud.server.url}\n")
    objects = Objects.of("s3://salt/store")
    objects.write("a", b"1")
    icechunk.Repository.exists(icechunk_storage(objects, "mosaic"))
    assert len(cloud.server.users) >= 2


@pytest.mark.parametrize(
    ("by_host", "endpoint"),
    [("true", "https://salt.example.org:9000"), ("", "https://example.org:9000")],
)
def test_a_bucket_may_be_part_of_the_host(by_host: str, endpoint: str, cloud: Cloud) -> None:
    cloud.set("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", by_host)
    cloud.set("AWS_ENDPOINT_URL", "https://example.org:9000/")
    settings = settings_of(Objects.of("s3://salt/store").location)
    assert settings.bucket_endpoint("salt") == endpoint
    assert not settings.plain_http


@pytest.mark.parametrize(
    ("fault", "error"),
    [((503, "SlowDown"), StoreAwayError), ((403, "SignatureDoesNotMatch"), StoreAccessError)],
)
def test_what_hinders_icechunk_is_said_before_it_tries(
    fault: Fault, error: type[StoreError], loopback: Loopback
) -> None:
    loopback.always = fault
    with pytest.raises(error):
        icechunk_storage(Objects.of("s3://salt/store"), "mosaic")


def test_a_change_of_the_environment_is_followed(cloud: Cloud) -> None:
    objects = Objects.of("s3://salt/store")
    for name in ("one", "two"):
        cloud.set("AWS_ACCESS_KEY_ID", name)
        cloud.set("AWS_SECRET_ACCESS_KEY", SECRET)
        [*objects.list()]
    assert [user for user, _ in cloud.server.users] == ["one", "two"]


def test_keys_that_run_out_are_looked_up_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_AGAIN", timedelta(seconds=-1))
    objects = Objects.of("s3://salt/store")
    for name in ("one", "two"):
        cloud.shared(f"[default]\naws_access_key_id={name}\naws_secret_access_key={SECRET}\n")
        [*objects.list()]
    assert [user for user, _ in cloud.server.users] == ["one", "two"]


@pytest.mark.parametrize(
    ("environment", "config", "said"),
    [
        ({}, "", "the environment has no credentials for s3://salt"),
        ({"AWS_ACCESS_KEY_ID": "me"}, "", "incomplete; set AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "", "incomplete; set AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "none"}, "[profile salt]\n", "AWS_PROFILE is none, which is neither"),
        ({"AWS_PROFILE": "p"}, "[profile p]\nsso_session=x\n", "credential_process = aws conf"),
        ({"AWS_PROFILE": "p"}, "[profile p]\nrole_arn=x\nsource_profile=y\n", "uses a role"),
        (
            {},
            "[default]\ncredential_process=false\n",
            "default failed with exit code 1; log in again",
        ),
        ({}, "[default]\ncredential_process=/none/of/it\n", "could not run"),
        ({}, f"[default]\ncredential_process=echo {SECRET}\n", "did not return"),
        ({}, f"[default\n{SECRET}", "cannot be read as AWS's settings"),
        ({"AWS_ENDPOINT_URL": f"http://me:{SECRET}@host"}, "", "is not an endpoint"),
        ({"AWS_ENDPOINT_URL": f"{SECRET}:80"}, "", "is not an endpoint"),
        ({"AWS_ENDPOINT_URL": "http://host:port"}, "", "is not an endpoint"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    environment: dict[str, str], config: str, said: str, cloud: Cloud
) -> None:
    for name, value in environment.items():
        cloud.set(name, value)
    cloud.config(config)
    with pytest.raises(StoreAccessError, match=said) as raised:
        Objects.of("s3://salt/store").read("a")
    assert raised.value.exit_code == 2
    assert "sesame" not in str(raised.value)
    assert cloud.server.asked == []


def test_a_program_that_fails_later_is_one_sentence(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_AGAIN", timedelta(seconds=-1))
    default_profile(cloud)
    objects = Objects.of("s3://salt/store")
    objects.write("a", b"1")
    cloud.shared("[default]\n")
    with pytest.raises(StoreAccessError, match="the environment has no credentials for S3"):
        objects.read("a")


@pytest.mark.parametrize(
    ("environment", "uri", "said"),
    [
        ({}, "az://maps/x", "does not name an account; set AZURE_STORAGE_ACCOUNT_NAME"),
        (
            {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_KEY": SECRET},
            "az://maps/x",
            "AZURE_STORAGE_KEY is set but not supported",
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"AccountKey={SECRET}"},
            "abfss://maps@account.dfs.core.windows.net/x",
            "CONNECTION_STRING is set but not supported",
        ),
        (
            {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": f"{SECRET}-x"},
            "az://maps/x",
            "the environment has no credentials for az://maps|az://maps are invalid",
        ),
        ({"GOOGLE_APPLICATION_CREDENTIALS": "/none"}, "gs://maps/x", "/none, which cannot be"),
        (
            {"GOOGLE_APPLICATION_CREDENTIALS": "!text"},
            "gs://maps/x",
            "does not hold Google credentials",
        ),
        (
            {"GOOGLE_APPLICATION_CREDENTIALS": '!{"type": "external_account"}'},
            "gs://maps/x",
            "unsupported type 'external_account'",
        ),
    ],
)
def test_what_other_clouds_cannot_use_is_one_sentence(
    environment: dict[str, str],
    uri: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        if value.startswith("!"):
            (tmp_path / "file").write_text(value[1:])
            value = str(tmp_path / "file")
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreAccessError, match=said) as raised:
        Objects.of(uri).read("a")
    assert "sesame" not in str(raised.value)


@pytest.fixture(params=["file", "s3 on loopback", pytest.param("s3", marks=pytest.mark.slow)])
def shared(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Objects]:
    """A store that other processes reach, by secrets in the environment."""
    if request.param == "file":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield Objects.of(tmp_path / "store")
        return
    if request.param == "s3":
        become(monkeypatch, "admin", request.getfixturevalue("seaweed"))
    else:
        request.getfixturevalue("loopback")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    yield Objects.of(f"s3://salt/{tmp_path.name}")


def test_no_pickle_holds_a_secret(shared: Objects) -> None:
    shared.write("a", b"1")
    chunks = shared.zarr_store("scenes/a.zarr", read_only=False)
    group = zarr.open_group(chunks, mode="w")
    array = group.create_array("x", data=np.arange(4))
    storage = icechunk_storage(shared, "mosaic")
    assert "sesame" not in repr(storage)
    things = [shared, chunks, group, array, *_of_icechunk(storage)]
    assert "open-sesame" in " ".join(os.environ.values())
    for thing in things:
        for dumped in (pickle.dumps(thing), cloudpickle.dumps(thing)):
            assert b"sesame" not in dumped
            pickle.loads(dumped)
        assert "sesame" not in repr(thing) + str(thing)


def _of_icechunk(storage: icechunk.Storage) -> list[object]:
    repository = icechunk.Repository.create(storage)
    fork = repository.writable_session("main").fork()
    zarr.create_group(fork.store)
    reading = repository.readonly_session("main")
    return [repository, fork, reading, reading.store]


def test_what_was_pickled_is_written_to_where_it_arrives(shared: Objects) -> None:
    chunks = shared.zarr_store("scenes/a.zarr", read_only=False)
    restored = pickle.loads(pickle.dumps(chunks))
    zarr.open_group(restored, mode="w").create_array("x", data=np.arange(4))
    assert zarr.open_array(chunks, path="x", mode="r")[2] == 2
    assert restored == chunks


def test_what_icechunk_says_is_a_sentence(loopback: Loopback) -> None:
    objects = Objects.of("s3://salt/store")
    storage = icechunk_storage(objects, "mosaic")
    loopback.always = (403, "SignatureDoesNotMatch")
    with (
        pytest.raises(StoreAccessError, match="are not accepted") as raised,
        reaching(objects.location, "read"),
    ):
        icechunk.Repository.exists(storage)
    assert "sesame" not in str(raised.value)


def test_memory_of_icechunk_is_shared_within_the_process(tmp_path: Path) -> None:
    name = f"memory://{tmp_path.name}"
    icechunk.Repository.create(icechunk_storage(Objects.of(name), "mosaic"))
    assert icechunk.Repository.exists(icechunk_storage(Objects.of(name), "mosaic"))
    assert not icechunk.Repository.exists(icechunk_storage(Objects.of(name), "other"))


def test_memory_of_another_process_is_not_icechunks(tmp_path: Path) -> None:
    elsewhere = Objects(Objects.of(f"memory://{tmp_path.name}").location, "elsewhere")
    with pytest.raises(StoreError, match="memory of another process"):
        icechunk_storage(elsewhere, "mosaic")
