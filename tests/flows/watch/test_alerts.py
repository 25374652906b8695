"""An alert is told once, repeated rarely and taken back; channels that refuse keep it waiting."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from flows.watch.alerts import Alert, Urgency, open_alerts, tell
from flows.watch.channels import CHANNELS_VARIABLE, Channels
from flows.watch.database import Database
from tests.flows.watch.world import DAWN

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATE = Alert("late", "enmap", "enmap has no news since Monday; ask its provider")
WELL = replace(LATE, sentence="enmap has news", severity="well")


@dataclass
class Inbox:
    """A sender that keeps what it is given, or refuses."""

    refuses: bool = False
    messages: list[tuple[str, str, Urgency]] = field(default_factory=list)

    def send(self, title: str, body: str, urgency: Urgency) -> bool:
        if not self.refuses:
            self.messages.append((title, body, urgency))
        return not self.refuses


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path}/alerts.sqlite") as database:
        yield database


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def test_an_alert_is_told_once(database: Database, inbox: Inbox) -> None:
    for hour in range(24):
        tell([LATE], database, now=DAWN + hour * HOUR, sender=inbox)
    assert inbox.messages == [("deepsalt: 1 alert", f"warning: {LATE.sentence}", "warning")]


def test_an_alert_that_lasts_is_repeated_after_one_two_and_four_days(
    database: Database, inbox: Inbox
) -> None:
    told = [day for day in range(20) if tell([LATE], database, now=DAWN + day * DAY, sender=inbox)]
    assert told == [0, 1, 3, 7, 15]


def test_an_alert_that_ends_is_told_to_be_well_again_once(database: Database, inbox: Inbox) -> None:
    tell([LATE], database, now=DAWN, sender=inbox)
    for hour in (1, 2):
        tell([WELL], database, now=DAWN + hour * HOUR, sender=inbox)
    assert inbox.messages[1:] == [("deepsalt: well again", "enmap has news", "success")]
    assert open_alerts(database) == []


@dataclass
class TwoJudges(Inbox):
    """A sender that is at work while another judge finds the same."""

    database: Database | None = None
    verdict: Alert = LATE

    def send(self, title: str, body: str, urgency: Urgency) -> bool:
        other = Inbox()
        tell([self.verdict], self.database, now=DAWN + 2 * DAY, sender=other)
        self.messages += other.messages
        return super().send(title, body, urgency)


def test_what_two_judges_find_at_once_is_told_once(database: Database, inbox: Inbox) -> None:
    both = TwoJudges(database=database)
    tell([LATE], database, now=DAWN + 2 * DAY, sender=both)
    assert len(both.messages) == 1


def test_what_two_judges_find_well_again_at_once_is_told_once(
    database: Database, inbox: Inbox
) -> None:
    tell([LATE], database, now=DAWN, sender=inbox)
    both = TwoJudges(database=database, verdict=WELL)
    tell([WELL], database, now=DAWN + 2 * DAY, sender=both)
    assert len(both.messages) == 1


def test_what_was_always_well_is_not_told(database: Database, inbox: Inbox) -> None:
    assert tell([WELL], database, now=DAWN, sender=inbox) == []
    assert inbox.messages == []


def test_an_alert_that_comes_and_goes_is_told_once_a_day(database: Database, inbox: Inbox) -> None:
    for hour in range(48):
        tell([WELL if hour % 2 else LATE], database, now=DAWN + hour * HOUR, sender=inbox)
    assert len([each for each in inbox.messages if each[2] == "warning"]) == 2


def test_alerts_of_one_pass_are_one_message(database: Database, inbox: Inbox) -> None:
    tell([LATE, Alert("held", "store", "held", "failure")], database, now=DAWN, sender=inbox)
    ((title, body, urgency),) = inbox.messages
    assert (title, len(body.splitlines()), urgency) == ("deepsalt: 2 alerts", 2, "failure")


def test_an_alert_that_nobody_took_is_told_next_time(database: Database, inbox: Inbox) -> None:
    inbox.refuses = True
    assert tell([LATE], database, now=DAWN, sender=inbox) == []
    assert open_alerts(database) == [LATE]
    inbox.refuses = False
    assert tell([LATE], database, now=DAWN + HOUR, sender=inbox) == [LATE]


@dataclass
class Broken(Inbox):
    """A sender that fails in a way that nobody foresaw."""

    def send(self, title: str, body: str, urgency: Urgency) -> bool:
        raise OSError("too many open files")


def test_an_alert_whose_sender_fails_is_told_next_time(database: Database, inbox: Inbox) -> None:
    with pytest.raises(OSError, match="too many open files"):
        tell([LATE], database, now=DAWN, sender=Broken())
    assert tell([LATE], database, now=DAWN + HOUR, sender=inbox) == [LATE]


def test_a_recovery_that_nobody_took_is_told_next_time(database: Database, inbox: Inbox) -> None:
    tell([LATE], database, now=DAWN, sender=inbox)
    inbox.refuses = True
    tell([WELL], database, now=DAWN + HOUR, sender=inbox)
    inbox.refuses = False
    assert tell([WELL], database, now=DAWN + 2 * HOUR, sender=inbox) == [WELL]
    assert tell([WELL], database, now=DAWN + 3 * HOUR, sender=inbox) == []


@dataclass
class Service:
    """A service on loopback that takes messages, or refuses them."""

    status: int
    taken: list[dict[str, object]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/SECRET"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service(200)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            service.taken.append(json.loads(content))
            self.send_response(service.status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(CHANNELS_VARIABLE, service.url)
    yield service
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_channel_of_the_environment_gets_the_message(
    service: Service, database: Database
) -> None:
    tell([LATE], database, now=DAWN)
    ((title, message),) = [(each["title"], each["message"]) for each in service.taken]
    assert (title, message) == ("deepsalt: 1 alert", f"warning: {LATE.sentence}")


def test_a_channel_that_refuses_is_one_sentence_without_its_url(
    service: Service, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    service.status = 500
    with caplog.at_level(logging.DEBUG):
        assert tell([LATE], database, now=DAWN) == []
    assert caplog.messages == [
        "channel 1 of DEEPSALT_ALERTS (json) refuses messages; check its URL and its service"
    ]


def test_an_alert_is_told_when_its_channel_takes_messages_again(
    service: Service, database: Database
) -> None:
    service.status = 500
    tell([LATE], database, now=DAWN)
    service.status = 200
    assert tell([LATE], database, now=DAWN + HOUR) == [LATE]


@pytest.mark.parametrize("url", ["SECRET", "nothing://SECRET", "http://[SECRET"])
def test_a_channel_that_apprise_does_not_know_is_one_sentence_without_its_url(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert not Channels((url,)).send("title", "body", "warning")
    (message,) = caplog.messages
    assert "is not a URL that apprise knows" in message
    assert "SECRET" not in message


def test_a_channel_that_refuses_leaves_the_others(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    assert Channels(("nothing://a", service.url)).send("title", "body", "warning")
    assert len(service.taken) == 1


def test_a_redirect_is_not_followed(service: Service) -> None:
    service.status = 307
    assert not Channels((service.url,)).send("title", "body", "warning")
    assert len(service.taken) == 1


def test_the_urls_are_in_no_text_of_the_channels() -> None:
    assert "SECRET" not in repr(Channels(("json://SECRET",)))


def test_without_channels_an_alert_is_logged_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(CHANNELS_VARIABLE, raising=False)
    for hour in range(3):
        tell([LATE], database, now=DAWN + hour * HOUR)
    assert len(caplog.messages) == 1
