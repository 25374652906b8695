"""What known archives allow to one user: connections at a time, bytes per second.

Figures are for all workers of all runs together. They are the limits that an archive publishes, or
else what a careful user takes; a configuration may override them.
"""

from dataclasses import dataclass

from deepsalt.access.hrefs import is_bucket
from deepsalt.errors import UsageError

MB = 1e6


@dataclass(frozen=True, slots=True)
class HostLimit:
    """What a host allows to all workers together at a time.

    Parameters
    ----------
    connections
        Connections; None means that each worker may have its own, as for a bucket.
    bytes_per_s
        Bytes per second; None for no limit.

    Raises
    ------
    UsageError
        A limit allows nothing.
    """

    connections: int | None = None
    bytes_per_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that would let a fetch wait for ever."""
        if self.connections is not None and self.connections < 1:
            raise UsageError(f"a host needs at least 1 connection, found {self.connections}")
        if self.bytes_per_s is not None and not self.bytes_per_s > 0:
            raise UsageError(f"a host needs more than 0 bytes per second, found {self.bytes_per_s}")

    def part(self, share: float) -> "HostLimit":
        """Return a run's share, in (0, 1]; at least one connection."""
        return HostLimit(
            None if self.connections is None else max(1, int(self.connections * share)),
            None if self.bytes_per_s is None else self.bytes_per_s * share,
        )


_ARCHIVES = {
    # EnMAP. Drops connections near 75 MB and throttles users who load in parallel, so more than a
    # connection that waits and one that works bring nothing but refusals; no rate is published.
    "dlr.de": HostLimit(2),
    # PRISMA. A portal where a product is ordered and then downloaded by hand: nothing is published
    # and nothing is built for many connections.
    "asi.it": HostLimit(2),
    # EMIT, in NASA's cloud. LP DAAC's own script and earthaccess load 8 files at a time; other NASA
    # centres return errors to addresses with more connections. No rate is published.
    "nasa.gov": HostLimit(8),
    # Landsat. USGS's operators allow 5 open connections per user.
    "usgs.gov": HostLimit(5),
    # Copernicus Data Space Ecosystem, published quotas: 4 connections of 20 MB/s each, also of its
    # bucket, which has the name `eodata` everywhere.
    "dataspace.copernicus.eu": HostLimit(4, 80 * MB),
    "s3://eodata": HostLimit(4, 80 * MB),
    # Buckets accessed as web servers: built for any number of connections.
    "amazonaws.com": HostLimit(),
    "blob.core.windows.net": HostLimit(),
    "storage.googleapis.com": HostLimit(),
}
"""By name, or by the end of a host's name."""

_WEB_SERVER = HostLimit(10)
"""An unknown server: as many connections as one scene uses by itself, however many workers there
are. A rate cannot be guessed: a local mirror and a laboratory's old server differ a
thousandfold."""

_BUCKET = HostLimit()
"""Object stores are built for thousands of connections, and slow down heavy users by status 503,
after which `deepsalt.fetch` waits."""


def limit_of(host: str) -> HostLimit:
    """Return what a host allows to one user; `host` as `host_of` names it."""
    if host in _ARCHIVES:
        return _ARCHIVES[host]
    if is_bucket(host):
        return _BUCKET
    name = without_port(host)
    known = [limit for end, limit in _ARCHIVES.items() if f".{name}".endswith(f".{end}")]
    return known[0] if known else _WEB_SERVER


def without_port(host: str) -> str:
    """Return a host without its port; a bucket has none."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
