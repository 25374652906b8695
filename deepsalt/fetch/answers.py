"""What servers say of a file, and what else they say."""

from dataclasses import dataclass

STEP_BYTES = 256 * 2**10
"""Bytes handed on at a time; with fewer an attempt has brought nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file as its server describes it.

    Parameters
    ----------
    size_bytes
        Its size.
    e_tag
        Changes with its content; None if the server gives none.
    ranges
        Whether the server supports ranges.
    """

    size_bytes: int
    e_tag: str | None
    ranges: bool


class StatusError(Exception):
    """An answer that is not the file.

    Parameters
    ----------
    status
        HTTP status.
    retry_after_s
        Wait that the server asks for, seconds.
    """

    def __init__(self, status: int, retry_after_s: float = 0.0) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.retry_after_s = retry_after_s


class UnfitError(Exception):
    """An answer that does not belong to those before it, or ended too early."""

    def __init__(self, reason: str = "the file changes while it is fetched") -> None:
        super().__init__(reason)
