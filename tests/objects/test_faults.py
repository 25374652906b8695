"""What fails is one sentence of the right class, without secrets, and in good time."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from deepsalt.errors import (
    MissingObjectError,
    StoreAccessError,
    StoreAwayError,
    StoreError,
    StoreMissingError,
    StoreUnfitError,
)
from deepsalt.objects import Objects
from deepsalt.objects.connection import connect
from deepsalt.objects.sentences import sentence
from tests.objects.conftest import RIGHTS, become
from tests.objects.loopback import Fault, Loopback
from tests.servers.s3 import secret_of

VERBS: dict[str, Callable[[Objects], object]] = {
    "read": lambda objects: objects.read("a"),
    "write": lambda objects: objects.write("a", b"1"),
    "create": lambda objects: objects.create("a", b"1"),
    "list": lambda objects: [*objects.list("x")],
    "folders": lambda objects: objects.folders("x"),
    "delete": lambda objects: objects.delete(["a"]),
}
every_verb = pytest.mark.parametrize("verb", VERBS)


@pytest.fixture
def s3(loopback: Loopback) -> Objects:
    return Objects.of("s3://salt/store")


def failing(verb: str, objects: Objects, error: type[StoreError], said: str) -> StoreError:
    with pytest.raises(error, match=said) as raised:
        VERBS[verb](objects)
    assert type(raised.value) is error
    text = str(raised.value)
    assert "\n" not in text
    assert "sesame" not in text
    assert "<" not in text
    assert raised.value.__suppress_context__ or raised.value.__cause__ is None
    return raised.value


@every_verb
@pytest.mark.parametrize(
    ("fault", "error", "said", "code"),
    [
        ((404, "NoSuchBucket"), StoreMissingError, "s3://salt does not exist", 2),
        ((403, "AccessDenied"), StoreAccessError, "cannot be .*AccessDenied.*ask for s3:", 2),
        ((403, ""), StoreAccessError, "cannot be", 2),
        ((403, "InvalidAccessKeyId"), StoreAccessError, "are not accepted.*AWS_ACCESS_KEY_ID", 2),
        ((403, "SignatureDoesNotMatch"), StoreAccessError, "are not accepted", 2),
        ((401, ""), StoreAccessError, "are not accepted", 2),
        ((400, "ExpiredToken"), StoreAccessError, "have expired", 2),
        ((403, "RequestTimeTooSkewed"), StoreAccessError, "clock", 2),
        ((301, "PermanentRedirect"), StoreAccessError, "another region.*AWS_REGION", 2),
        ((400, "AuthorizationHeaderMalformed"), StoreAccessError, "another region", 2),
    ],
    ids=lambda value: str(value[1] or value[0]) if isinstance(value, tuple) else "",
)
def test_what_a_server_refuses_is_asked_once(
    verb: str,
    fault: Fault,
    error: type[StoreError],
    said: str,
    code: int,
    s3: Objects,
    loopback: Loopback,
) -> None:
    loopback.always = fault
    assert failing(verb, s3, error, said).exit_code == code
    assert len(loopback.asked) == 1


def test_what_is_not_known_is_no_reason_to_wait(s3: Objects, loopback: Loopback) -> None:
    loopback.always = (400, "SomethingElse")
    failing("create", s3, StoreError, "could not be created .SomethingElse")
    assert len(loopback.asked) == 1


@pytest.mark.parametrize("fault", [(501, "NotImplemented"), (400, "InvalidArgument")])
def test_a_server_without_conditional_writes_is_named_unfit(
    fault: Fault, s3: Objects, loopback: Loopback
) -> None:
    loopback.always = fault
    error = failing("create", s3, StoreUnfitError, "lacks conditional writes")
    assert error.exit_code == 2


def test_a_server_of_which_icechunk_only_says_that_it_failed_answers_with_errors(
    s3: Objects,
) -> None:
    text = "  x session error: error writing object to object store service error\n  | context:"
    error = sentence(text, s3.location, "write", "mosaic")
    assert isinstance(error, StoreAwayError)
    assert "s3://salt/store/mosaic answers with errors" in str(error)


@every_verb
@pytest.mark.parametrize("fault", [(503, "SlowDown"), (500, "InternalError"), "drop"])
def test_what_passes_is_not_noticed(
    verb: str, fault: Fault, s3: Objects, loopback: Loopback
) -> None:
    if verb == "read":
        s3.write("a", b"1")
    loopback.faults = [fault, fault]
    VERBS[verb](s3)
    assert not loopback.faults, "the server was to fail twice"


@every_verb
def test_a_server_that_is_ill_is_away(verb: str, s3: Objects, loopback: Loopback) -> None:
    loopback.always = (503, "SlowDown")
    error = failing(verb, s3, StoreAwayError, "answers with errors .SlowDown.*try again later")
    assert error.exit_code == 1
    assert len(loopback.asked) == 4


@every_verb
def test_a_server_that_is_not_there_is_away(
    verb: str, s3: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    began = time.monotonic()
    failing(verb, s3, StoreAwayError, "does not answer")
    assert time.monotonic() - began < 15


def test_a_name_that_is_no_server_is_said(s3: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://nowhere.invalid")
    failing("read", s3, StoreAwayError, "has an unknown host name")


def test_a_silent_server_is_given_up(
    s3: Objects, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connect.SILENCE, "ask", timedelta(seconds=0.3))
    monkeypatch.setattr(connect, "UNTIL", timedelta(seconds=0.2))
    loopback.always = "stall"
    failing("read", s3, StoreAwayError, "does not answer")
    assert len(loopback.asked) == 1


def test_the_silence_we_bear_is_below_twenty_seconds() -> None:
    silence = connect.SILENCE["ask"]
    assert silence > connect.UNTIL  # so that it is not borne twice
    assert silence <= timedelta(seconds=20)
    assert timedelta(seconds=20) >= connect.UNTIL + connect.CONNECT


@pytest.mark.parametrize("fault", ["lose", (503, "SlowDown")])
def test_who_created_is_told_so_although_the_answer_was_lost(
    fault: Fault, s3: Objects, loopback: Loopback
) -> None:
    loopback.faults = ["lose", fault]
    assert s3.create("a", b"1")


def test_who_lost_an_answer_does_not_take_what_another_created(
    s3: Objects, loopback: Loopback
) -> None:
    assert s3.create("a", b"1")
    loopback.faults = ["lose"]
    assert not s3.create("a", b"1")


def test_a_write_that_met_another_under_way_is_tried_again(s3: Objects, loopback: Loopback) -> None:
    loopback.faults = [(409, "ConditionalRequestConflict")]
    assert s3.create("a", b"1")


@pytest.mark.parametrize(
    ("verb", "requests"),
    [
        ("read", ["GET store/a"]),
        ("write", ["PUT store/a"]),
        ("create", ["PUT store/a"]),
        ("list", ["GET ?list-type=2"]),
        ("folders", ["GET ?delimiter=%2F"]),
        ("delete", ["POST ?delete"]),
    ],
)
def test_a_verb_is_one_request(
    verb: str, requests: list[str], s3: Objects, loopback: Loopback
) -> None:
    s3.write("a", b"1")
    s3.delete(["a"]) if verb == "create" else None
    loopback.asked.clear()
    VERBS[verb](s3)
    assert loopback.asked == requests


def test_large_bytes_are_one_request(s3: Objects, loopback: Loopback) -> None:
    s3.write("a", bytes(2**24))
    assert loopback.asked == ["PUT store/a"]


def test_browsers_are_told_what_an_object_is(s3: Objects, loopback: Loopback) -> None:
    s3.write("catalog.json", b"{}")
    s3.create("quicklook.png", b"")
    kinds = [kept["content-type"] for _, kept in loopback.objects.values()]
    assert kinds == ["application/json", "image/png"]


@pytest.mark.slow
@pytest.mark.parametrize("who", ["reader", "writer", "lister"])
@every_verb
def test_each_right_at_a_real_server_allows_its_verbs_alone(
    verb: str, who: str, seaweed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Objects.of(f"s3://salt/{tmp_path.name}")
    become(monkeypatch, "admin", seaweed)
    store.write("a", b"1")
    become(monkeypatch, who, seaweed)
    if verb == "create":
        store = store.below("new")
    rights = " ".join(RIGHTS[who])
    need = {"read": "Read", "list": "List", "folders": "List"}.get(verb, "Write")
    if f"{need}:salt" in rights:
        VERBS[verb](store)
    else:
        failing(verb, store, StoreAccessError, "cannot be .*AccessDenied")


@pytest.mark.slow
@every_verb
def test_a_real_servers_refusals_of_a_place_or_a_key_are_told_apart(
    verb: str, seaweed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, "admin", seaweed)
    failing(verb, Objects.of("s3://nowhere/x"), StoreMissingError, "s3://nowhere does not exist")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_of("another"))
    failing(verb, Objects.of("s3://salt/x"), StoreAccessError, "are not accepted")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stranger")
    failing(verb, Objects.of("s3://salt/x"), StoreAccessError, "are not accepted")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    failing(verb, Objects.of("s3://salt/x"), StoreAccessError, "cannot be")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Lose the rights of root, where tests run as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@every_verb
def test_a_folder_of_others_is_one_sentence(verb: str, tmp_path: Path) -> None:
    store = Objects.of(tmp_path / "store")
    store.write("a", b"1")
    store.write("x/b", b"1")
    store.path.chmod(0)
    try:
        with as_nobody():
            failing(verb, store, StoreError, "store.* permission is denied; give a folder")
    finally:
        store.path.chmod(0o700)


def test_a_folder_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Objects.of(tmp_path / "file" / "store")
    for verb in ("write", "create"):
        failing(verb, store, StoreError, "a part of the path is a file")
    failing("read", store, MissingObjectError, "does not exist")


def test_an_object_cannot_be_named_as_a_folder_of_others(tmp_path: Path) -> None:
    store = Objects.of(tmp_path)
    store.write("a/b", b"1")
    failing("write", store, StoreError, "is a folder of other objects")
    failing("delete", store, StoreError, "is a folder of other objects")
    failing("read", store, MissingObjectError, "does not exist")
