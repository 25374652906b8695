"""A fetch's share of a server, and how it is kept.

Who lends shares counts on two things. All connections of a fetch to a server together stay within
its share from the first request on, whatever fails and is asked for again. And a share may be lent
to somebody else at the moment when a fetch ends: the bytes of both within any `WINDOW_S` are still
no more than the share allows.

Bytes are asked for when their time has come: in ranges of a second of the share's rate or less,
each paid for before it is asked for. What a server has sent then never runs ahead of the rate,
wherever the bytes lie in between: in its buffers, a proxy's or ours. Only ranges on their way can
pile up where a server stalls, and one that was paid for while others came; the rate kept is as much
lower than the share's as makes up for them. Of a server that answers no ranges, what buffers hold
comes ahead of the rate.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deepsalt.access import limit_of

CONNECTIONS = 10
"""Concurrent ranges of a scene, unless a share says otherwise."""

PART_BYTES = 8 * 2**20
"""Bytes of one range; each request costs a round trip, so ranges should not be much smaller."""

WINDOW_S = 10.0
"""A share's rate holds over any such time, seconds."""

_AHEAD_S = 1.0
"""Maximum burst, seconds at the share's rate: a range of each connection, and one more.
More lowers the rate; less cannot use it fully if answers take long to start."""


@dataclass(frozen=True, slots=True)
class Share:
    """A fetch's share of a server.

    Parameters
    ----------
    connections
        Connections at a time, 1 or more.
    bytes_per_s
        Bytes per second, more than 0; None for no limit.
    """

    connections: int = CONNECTIONS
    bytes_per_s: float | None = None


def share_of(host: str) -> Share:
    """Return the share of a single fetch of a host, as `host_of` names it."""
    limit = limit_of(host)
    return Share(min(CONNECTIONS, limit.connections or CONNECTIONS), limit.bytes_per_s)


class RateLimit:
    """The moments at which a share's bytes may be requested.

    Parameters
    ----------
    share
        The share.
    """

    def __init__(self, share: Share) -> None:
        self.part_bytes = PART_BYTES
        self._rate: float | None = None
        self._paid_until_s: float | None = None
        if share.bytes_per_s is not None:
            at_once = share.connections + 1
            fair = int(share.bytes_per_s * _AHEAD_S / at_once)
            self.part_bytes = max(1, min(PART_BYTES, fair))
            lower = share.bytes_per_s - self.part_bytes * at_once / WINDOW_S
            # The half is of rates below some bytes per second, where a part of one byte is large.
            self._rate = max(lower, share.bytes_per_s / 2)

    def due(self, size_bytes: int, now_s: float) -> float:
        """Return when so many bytes may be requested, and count them as requested then.

        The balance starts at zero. Idle time pays for one part at most.
        """
        if self._rate is None:
            return now_s
        unused_s = self.part_bytes / self._rate
        begun_s = now_s if self._paid_until_s is None else self._paid_until_s
        self._paid_until_s = max(begun_s, now_s - unused_s) + size_bytes / self._rate
        return max(now_s, self._paid_until_s)


class HostQueue:
    """Access to one server: as many connections and bytes at a time as its share allows.

    Parameters
    ----------
    share
        The share.
    """

    def __init__(self, share: Share) -> None:
        self._gate = asyncio.Semaphore(share.connections)
        self._pace = RateLimit(share)

    @property
    def part_bytes(self) -> int:
        """Maximum bytes per request."""
        return self._pace.part_bytes

    @asynccontextmanager
    async def turn(self, size_bytes: int = 0) -> AsyncIterator[None]:
        """Wait until so many bytes may be requested; the block has one connection."""
        async with self._gate:
            await self.wait(size_bytes)
            yield

    async def wait(self, size_bytes: int) -> None:
        """Wait until so many bytes may be requested, or until received ones are paid for."""
        now_s = asyncio.get_running_loop().time()
        due_s = self._pace.due(size_bytes, now_s)
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)
