"""How long work tells how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Listener of long work; its methods may be called from any thread."""

    def start(self, stage: str, total: int, *, size_bytes: int = 0) -> None:
        """Announce a stage, how many units it has, and the bytes that they have to read."""

    def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
        """Say that so many units of a stage are done, and the bytes that they had."""

    def note(self, message: str) -> None:
        """Say something worth a line."""

    def listing(self, pages: int, items: int) -> None:
        """Say how many pages and Items of a catalogue's server came so far."""


class Silent:
    """Nobody listens."""

    def start(self, stage: str, total: int, *, size_bytes: int = 0) -> None:
        """Ignore it."""

    def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
        """Ignore it."""

    def note(self, message: str) -> None:
        """Ignore it."""

    def listing(self, pages: int, items: int) -> None:
        """Ignore it."""
