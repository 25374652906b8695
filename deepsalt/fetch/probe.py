"""The first bytes of a file, to see whether it can be fetched."""

import asyncio
import time
from dataclasses import dataclass

from deepsalt.access import Reach
from deepsalt.fetch.objects import Session
from deepsalt.fetch.patience import Patience
from deepsalt.types import Asset

_FIRST_BYTES = 2**16
_HASTY = Patience(tries=3, longest_wait_s=2.0, longest_asked_s=60.0)


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of a file.

    Parameters
    ----------
    size_bytes
        Size of the file.
    ranges
        Whether its server sends parts of it; without, a broken fetch begins again.
    first_bytes
        Bytes that came.
    seconds
        Time that it took, a login included.
    """

    size_bytes: int
    ranges: bool
    first_bytes: int
    seconds: float


def probe(url: str, reach: Reach) -> Probe:
    """Fetch the first bytes of a file, as a run would.

    Raises
    ------
    ReadError
        It is gone, refused, a web page, or lies where we do not go; its login fails.
    AwayError
        Its server does not answer.
    """

    async def work() -> tuple[int, bool, int]:
        async with Session(_HASTY, reach) as session:
            found = await session.describe(Asset("file", url))
            first = await session.first_bytes(url, found, _FIRST_BYTES)
            return found.size_bytes, found.ranges, len(first)

    begun_s = time.monotonic()
    return Probe(*asyncio.run(work()), seconds=time.monotonic() - begun_s)
