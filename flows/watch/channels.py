"""Where alerts go: services that apprise knows, by URLs that are secrets."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, Self

logger = logging.getLogger(__name__)

CHANNELS_VARIABLE = "DEEPSALT_ALERTS"
"""Environment variable with the URLs of apprise, separated by blanks or lines."""

Urgency = Literal["success", "warning", "failure"]
"""Kinds of messages, as apprise names them."""

_TALKATIVE = ("apprise", "requests", "urllib3")  # their messages have parts of the URLs
_silence = Lock()
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")


@dataclass(frozen=True, slots=True)
class Channels:
    """Services that take messages.

    Parameters
    ----------
    urls
        Their URLs. They are secrets: they are in no parameter, log or exception.
    """

    urls: Sequence[str] = field(default=(), repr=False)

    @classmethod
    def of_environment(cls) -> Self:
        """Return the channels of `CHANNELS_VARIABLE`."""
        return cls(tuple(os.environ.get(CHANNELS_VARIABLE, "").split()))

    def send(self, title: str, body: str, urgency: Urgency) -> bool:
        """Send a message to each channel; return whether one took it.

        A channel that refuses is a warning. Without any channel the log is the channel.
        """
        if not self.urls:
            logger.warning("%s: %s", title, body)
            return True
        taken = [
            self._send(number, title, body, urgency) for number in range(1, len(self.urls) + 1)
        ]
        return any(taken)

    def _send(self, number: int, title: str, body: str, urgency: Urgency) -> bool:
        url = self.urls[number - 1]
        scheme = _SCHEME.match(url)
        name = f"channel {number} of {CHANNELS_VARIABLE}" + (f" ({scheme[0]})" if scheme else "")
        with _silenced():
            import apprise

            # In this thread, without files, pictures or redirects: nothing but the URL is called.
            asset = apprise.AppriseAsset(
                app_id="deepsalt",
                app_desc="deepsalt",
                app_url="",
                async_mode=False,
                http_redirects=False,
                image_url_mask="",
                image_url_logo="",
                storage_mode=apprise.PersistentStoreMode.MEMORY,
            )
            service = apprise.Apprise(asset=asset)
            known = service.add(url)
            taken = known and bool(
                service.notify(body=body, title=title, notify_type=apprise.NotifyType(urgency))
            )
        if not known:
            logger.warning("%s is not a URL that apprise knows; correct it", name)
        elif not taken:
            logger.warning("%s refuses messages; check its URL and its service", name)
        return taken


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep libraries from logging what they call while the block runs."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    with _silence:  # two threads would restore each other's silence
        levels = [each.level for each in loggers]
        for each in loggers:
            each.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
