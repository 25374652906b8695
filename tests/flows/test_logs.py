"""Log lines name the run, scene and tile they belong to, as text or as JSON, without secrets."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepsalt.errors import UsageError
from deepsalt.naming import named
from flows.logs import (
    VARIABLE,
    Discreet,
    LogStyle,
    NamedJson,
    NamedText,
    logging_run,
    style_of_environment,
)
from tests.flows.conftest import Scenes, remote_items
from tests.servers.ranges import SOUND, Fault, file_server

SIGNED = "https://user:word@data.example.org/a.tif?signature=open-sesame"


@pytest.fixture
def record() -> logging.LogRecord:
    return logging.LogRecord("deepsalt.fetch", logging.INFO, "", 1, "%s came", (SIGNED,), None)


def test_a_line_of_text_ends_with_its_names(record: logging.LogRecord) -> None:
    with named(run="r1", scene="enmap/DT1/1"):
        said = NamedText().format(record)
    assert said == (
        "INFO:deepsalt.fetch:https://data.example.org/a.tif came [run=r1 scene=enmap/DT1/1]"
    )
    assert NamedText().format(record).endswith("came")


def test_a_line_of_json_is_one_object_with_its_names(record: logging.LogRecord) -> None:
    with named(run="r1", tile="7_9"):
        said = json.loads(NamedJson().format(record))
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "INFO",
        "logger": "deepsalt.fetch",
        "message": "https://data.example.org/a.tif came",
        "run": "r1",
        "tile": "7_9",
    }


def test_a_traceback_shows_no_secret_and_breaks_no_line() -> None:
    try:
        raise ValueError(f"cannot read {SIGNED}")
    except ValueError:
        failed = logging.LogRecord("x", logging.ERROR, "", 1, "failed", (), sys.exc_info())
    line = NamedJson().format(failed)
    assert "\n" not in line
    assert "open-sesame" not in line
    assert "ValueError: cannot read" in json.loads(line)["error"]


def test_an_unknown_style_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "xml")
    with pytest.raises(UsageError, match="text or json; found 'xml'"):
        style_of_environment()


def test_handlers_of_others_stay() -> None:
    before = [*logging.getLogger().handlers]
    assert before  # pytest's own
    LogStyle(as_json=True).set_up()
    assert logging.getLogger().handlers == before


class Handler(logging.Handler):
    """A handler of others, which keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def test_a_handler_of_others_gets_no_secret_within_a_run() -> None:
    logger, handler = logging.getLogger("deepsalt"), Handler()
    logger.addHandler(handler)
    try:
        with logging_run("r1"):
            logging.getLogger("deepsalt.fetch").warning("%s came", SIGNED)
            try:
                raise ValueError(f"cannot read {SIGNED}")
            except ValueError:
                logging.getLogger("deepsalt.fetch").exception("failed")
    finally:
        logger.removeHandler(handler)
    assert "https://data.example.org/a.tif came" in handler.lines[0]
    assert "cannot read" in handler.lines[1]
    assert not any("open-sesame" in line or "word" in line for line in handler.lines)


@pytest.mark.parametrize("form", ["%d came", "%s came from %s", "%q came", "%(item)s came"])
def test_a_line_with_a_wrong_format_is_logged_as_it_is_without_secrets(form: str) -> None:
    record = logging.LogRecord("deepsalt.fetch", logging.WARNING, "", 1, form, (SIGNED,), None)
    assert Discreet().filter(record)
    assert record.getMessage() == f"{form} ('https://data.example.org/a.tif',)"


def lines_of(*args: object, code: int = 0, **environment: str) -> list[dict[str, Any]]:
    run = subprocess.run(
        [sys.executable, "-m", "flows", *map(str, args)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == code, run.stderr
    return [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]


def test_the_error_that_ends_a_command_is_a_line_as_well(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    args = ("plan", "--catalogue", missing, "--out", tmp_path / "store")
    (line,) = lines_of("--log-json", *args, code=2)
    assert (line["level"], str(missing) in line["message"]) == ("ERROR", True)


@pytest.fixture
def served(scenes: Scenes, tmp_path: Path) -> Iterator[Path]:
    """A folder of Items of scenes behind signed URLs; the server fails once."""

    def faults(number: int, _: str) -> Fault:
        return Fault(status=503) if number == 2 else SOUND

    with file_server(scenes.west.parent, faults=faults) as server:
        for number, item in enumerate(remote_items(scenes.all, server.url)):
            (tmp_path / f"{number}.json").write_text(json.dumps(item))
        yield tmp_path


@pytest.mark.slow
def test_lines_of_a_scene_name_it_and_show_no_signature(served: Path) -> None:
    args = ("scene", served / "0.json", "--out", served / "store")
    lines = lines_of("--log-json", *args, "--allow-host", "127.0.0.1")
    by_logger: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_logger.setdefault(line["logger"], []).append(line)
    for logger in ("deepsalt.fetch.patience", "deepsalt.fetch.scenes", "deepsalt.mapping"):
        assert all(each["scene"].startswith("enmap") for each in by_logger[logger]), logger
    assert "open-sesame" not in json.dumps(lines)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["threads", "processes"])
def test_lines_of_a_run_name_it_with_its_scenes_and_tiles(
    catalogue: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    args = ("run", "--catalogue", catalogue, "--out", tmp_path / "store", *workers)
    lines = lines_of(*args, DEEPSALT_LOG="json")
    mapped = [line for line in lines if line["logger"] == "deepsalt.mapping"]
    composed = [line for line in lines if line["logger"] == "deepsalt.mosaic.tile"]
    assert len({line["scene"] for line in mapped}) == 3
    assert len({line["tile"] for line in composed}) == 4
    assert len({line["run"] for line in mapped + composed}) == 1
