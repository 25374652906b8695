"""Log lines, as text or as JSON: each says which run, scene and tile it belongs to.

The names are those of `deepsalt.naming` in the thread that logs. URLs lose users and queries, since
signed ones are keys.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from deepsalt.access import without_secrets
from deepsalt.errors import UsageError
from deepsalt.naming import named, names

VARIABLE = "DEEPSALT_LOG"
"""Environment variable that chooses ``text`` or ``json``."""

_OURS = ("deepsalt", "catalog", "flows")
_THEIRS = ("prefect", "prefect.flow_runs", "prefect.task_runs")


class NamedText(logging.Formatter):
    """Formats a line of text, with the names at its end."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s:%(name)s:%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        found = " ".join(f"{kind}={name}" for kind, name in names().items())
        text = without_secrets(super().format(record))
        first, *rest = text.split("\n", 1)
        return "\n".join([f"{first} [{found}]" if found else first, *rest])


class NamedJson(logging.Formatter):
    """Formats a line as a JSON object: time, level, logger, message, and the names that are known.

    A traceback is the text ``error``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time,
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **names(),
        }
        if record.exc_info:
            line["error"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class Discreet(logging.Filter):
    """Takes secrets out of the lines of other handlers, such as Prefect's, which sends them on."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it pass."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, LookupError, ArithmeticError):  # its format is wrong
            # An error of a filter, unlike that of a handler, would end whoever logs.
            message = f"{record.msg} {record.args}"
        record.msg, record.args = without_secrets(message), None
        if record.exc_info:
            text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_text = without_secrets(text)
        return True


@dataclass(frozen=True, slots=True)
class LogStyle:
    """How a process logs.

    Parameters
    ----------
    as_json
        Whether lines are JSON; then our own messages of level INFO are shown, too.
    debug
        Whether all messages of level INFO are shown.
    """

    as_json: bool = False
    debug: bool = False

    def set_up(self, *, over: bool = False) -> None:
        """Let this process log so.

        Parameters
        ----------
        over
            Whether handlers of others are replaced; otherwise a process that has some keeps them.
        """
        root = logging.getLogger()
        if root.handlers and not over:
            return
        handler = logging.StreamHandler()
        handler.setFormatter(NamedJson() if self.as_json else NamedText())
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO if self.debug else logging.WARNING)
        for name in _OURS if self.as_json else ():
            logging.getLogger(name).setLevel(logging.INFO)


def style_of_environment() -> LogStyle | None:
    """Return the style that the environment asks for; None if it asks for none.

    Raises
    ------
    UsageError
        It asks for something else.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in {"", "text", "json"}:
        raise UsageError(f"{VARIABLE} is text or json; found {asked!r}")
    return LogStyle(as_json=asked == "json") if asked else None


def style_in_use() -> LogStyle | None:
    """Return the style of this process, for its workers; None if others set it up."""
    root = logging.getLogger()
    ours = [each for each in root.handlers if isinstance(each.formatter, NamedText | NamedJson)]
    if not ours:
        return None
    return LogStyle(isinstance(ours[0].formatter, NamedJson), root.isEnabledFor(logging.INFO))


@contextmanager
def logging_run(run: str | None) -> Iterator[None]:
    """Let the lines of a block name a run; in the style of the environment, if it asks for one.

    Raises
    ------
    UsageError
        The environment asks for an unknown style.
    """
    style = style_of_environment()
    if style is not None and style_in_use() is None:
        style.set_up(over=True)
    _be_discreet()
    with named(run=run or ""):
        yield


def _be_discreet() -> None:
    """Let no handler of Prefect's get a secret; they send lines to its server."""
    for name in (*_OURS, *_THEIRS):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(each, Discreet) for each in handler.filters):
                handler.addFilter(Discreet())
