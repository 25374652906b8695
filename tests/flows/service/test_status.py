"""What `deepsalt status` says: names that mean something, open alerts, budgets."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from flows.service.config import ServiceConfig
from flows.service.environment import PASSWORD_VARIABLE, database_of
from flows.service.status import status_of
from flows.watch.alerts import Alert, tell
from flows.watch.database import Database
from tests.servers.hostile import Reply, hostile_server
from tests.servers.ports import free_port

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC).isoformat()
AWAY = Alert("unseen", "all", "watch all has not seen its catalogue", "failure")


def run(name: str, *, begun: bool) -> dict[str, object]:
    return {
        "name": name,
        "deployment_id": "d",
        "state_name": "Running" if begun else "Pending",
        "state": {"message": ""},
        "start_time": NOON if begun else None,
        "end_time": None,
        "expected_start_time": NOON,
        "created": NOON,
    }


class Refuses(BaseHTTPRequestHandler):
    """A server that wants a password, admin:word."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        known = self.headers.get("Authorization") == f"Basic {b64encode(b'admin:word').decode()}"
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(b"[]" if "count" not in self.path else b"0")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Answers(BaseHTTPRequestHandler):
    """A server with one deployment of `validate`, and two runs at work."""

    told: ClassVar[dict[str, object]] = {
        "/api/deployments/filter": [{"id": "d", "name": "all", "flow_id": "f"}],
        "/api/flows/filter": [{"id": "f", "name": "validate"}],
        "/api/flow_runs/count": 0,
        "/api/flow_runs/filter": [
            run("mega-rook", begun=False),
            run("scene-one", begun=False),
            run("validate-all", begun=True),
        ],
    }

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.told[self.path]).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    with serving(Answers) as port:
        yield port


def config_of(folder: Path, port: int) -> ServiceConfig:
    folder.mkdir(exist_ok=True)
    return ServiceConfig(store=str(folder / "store"), folder=folder, port=port)


def test_a_run_that_has_not_begun_has_its_deployments_name_unless_we_named_it(
    tmp_path: Path, port: int
) -> None:
    names = [each.name for each in status_of(config_of(tmp_path, port)).at_work]
    assert names == ["validate/all", "scene-one", "validate-all"]


def test_open_alerts_are_shown_though_the_server_is_away(tmp_path: Path) -> None:
    config = config_of(tmp_path, free_port())
    with Database(database_of(config)) as database:
        tell([AWAY], database)
    found = status_of(config)
    assert found.away
    assert found.alerts == [AWAY]


def test_a_server_with_a_password_is_asked_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Refuses) as port:
        config = config_of(tmp_path, port)
        assert f"wants its password (401); set {PASSWORD_VARIABLE}" in status_of(config).away
        monkeypatch.setenv(PASSWORD_VARIABLE, "admin:word")
        assert status_of(config).away == ""


def test_the_password_of_another_server_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "of:another")
    monkeypatch.setenv(PASSWORD_VARIABLE, "admin:word")
    with serving(Refuses) as port:
        assert status_of(config_of(tmp_path, port)).away == ""


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (403, f"wants its password (403); set {PASSWORD_VARIABLE}"),
        (404, "refuses to answer (404); run the version of deepsalt that started it"),
        (500, "does not answer properly (500); look at its log"),
    ],
)
def test_only_a_server_that_wants_a_password_is_said_to(
    tmp_path: Path, code: int, advice: str
) -> None:
    with hostile_server(lambda *_: Reply(code, {"Content-Length": "0"})) as server:
        port = int(server.url.rpartition(":")[2])
        assert advice in status_of(config_of(tmp_path, port)).away
