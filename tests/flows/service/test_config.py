"""A service's file says what is wrong with it in one sentence."""

from pathlib import Path

import pytest

from deepsalt.errors import UsageError
from flows.service.config import ServiceConfig, read_config

WATCH = (
    '[[watch]]\nname = "{name}"\nselection = {{catalogue = "/c", collections = ["{collection}"]}}\n'
)


def read(folder: Path, text: str) -> ServiceConfig:
    file = folder / "service.toml"
    file.write_text(text)
    return read_config(file)


def test_a_service_without_a_file_waits_for_orders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = read_config(None)
    assert (config.watch, config.store) == ((), str(tmp_path / "deepsalt/store"))


def test_each_watch_gets_the_store_and_the_settings_of_scenes(tmp_path: Path) -> None:
    text = 'store = "/s"\n' + WATCH.format(name="a", collection="x")
    (watch,) = read(tmp_path, text).watches
    assert (watch.name, watch.out, watch.selection.collections) == ("a", "/s", ("x",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('colour = "red"', "there is no setting colour; check its spelling"),
        ('time_zone = "Mars/Olympus"', "'Mars/Olympus' is not a time zone"),
        ('[[mosaic]]\nevery = "daily"', "'daily' is not a schedule"),
        ("[[mosaic]]\nevery = '61 * * * *'", "'61 * * * *' is not a schedule"),
        (WATCH.format(name="A b", collection="x"), "a watch is named 'A b'"),
        (WATCH.format(name="a", collection="x") * 2, "two watches have one name"),
        (
            WATCH.format(name="a", collection="x") + WATCH.format(name="b", collection="x"),
            "watches a and b both watch collection x of /c",
        ),
        (
            WATCH.format(name="a", collection="x")
            + '[[watch]]\nname = "b"\nselection = {catalogue = "/c"}\n',
            "watches a and b both watch collection x of /c",
        ),
        (
            '[[watch]]\nname = "a"\nselection = {catalogue = "/c", limit = 9}\n',
            "watch a has a limit in its selection",
        ),
        (
            '[[watch]]\nname = "a"\nselection = {catalogue = "https://me:secret@host/v1"}\n',
            "the catalogue of watch a has a user or query in its URL",
        ),
        ("port = 0", "port: Input should be greater than or equal to 1"),
        ("port", "is not TOML"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(tmp_path, text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.toml cannot be read \(No such file"):
        read_config(tmp_path / "none.toml")


def test_a_server_on_ipv6_has_an_address(tmp_path: Path) -> None:
    assert read(tmp_path, 'host = "::1"').api == "http://[::1]:4200/api"


@pytest.mark.parametrize(
    ("host", "is_private"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("db", False)],
)
def test_a_service_is_private_at_loopback_alone(host: str, is_private: bool) -> None:
    assert ServiceConfig(host=host).is_private is is_private
