"""How long work reports its progress, whoever receives it."""

from typing import Protocol


class Progress(Protocol):
    """Receiver of progress; its methods may be called from any thread.

    A class of yours with these methods is one; it need not inherit.

    Examples
    --------
    >>> import deepsalt
    >>> class Notes:
    ...     def start(self, stage, total, *, size_bytes=0): ...
    ...     def advance(self, stage, units=1, *, size_bytes=0): ...
    ...     def note(self, message):
    ...         print(message)
    ...     def listing(self, pages, items): ...
    >>> progress: deepsalt.Progress = Notes()
    >>> progress.note("reading tables")
    reading tables
    """

    def start(self, stage: str, total: int, *, size_bytes: int = 0) -> None:
        """Announce a stage, its number of units, and the bytes that they read."""

    def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
        """Report completed units of a stage, and their bytes."""

    def note(self, message: str) -> None:
        """Report a line of text."""

    def listing(self, pages: int, items: int) -> None:
        """Report the number of pages and Items received from a catalogue's server so far."""


class Silent:
    """Ignores all progress."""

    def start(self, stage: str, total: int, *, size_bytes: int = 0) -> None:
        """Ignore it."""

    def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
        """Ignore it."""

    def note(self, message: str) -> None:
        """Ignore it."""

    def listing(self, pages: int, items: int) -> None:
        """Ignore it."""
