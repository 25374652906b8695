"""What a listing says of an object."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as listed.

    Parameters
    ----------
    key
        Its key, from the location that was listed.
    size
        Its bytes.
    modified
        When it was written, by the store's clock.
    """

    key: str
    size: int
    modified: datetime
