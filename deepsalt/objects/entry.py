"""An entry of a listing."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as listed.

    Parameters
    ----------
    key
        Its key, relative to the listed location.
    size
        Its size, bytes.
    modified
        Time of writing, by the store's clock.
    """

    key: str
    size: int
    modified: datetime
