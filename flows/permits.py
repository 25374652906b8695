"""Permits for hosts: the driver lends each fetch of a worker its share of what a host allows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deepsalt.access import HostLimit
from deepsalt.fetch.share import CONNECTIONS, Share


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """Permission to fetch one scene; compared by identity.

    Parameters
    ----------
    shares
        Limits of the fetch, by host.
    """

    shares: Mapping[str, Share]


class Permits:
    """Lends hosts to fetches so that all together never use more than the hosts allow.

    Of a host with C connections and B bytes per second, at most P = min(C, slots) fetches have
    permits at a time, each with about C / P connections and exactly B / P bytes per second. The
    permit of a fetch that ended, or whose worker was lost, has to be given back before its share
    can be lent again.

    Not thread-safe: only the driver calls it.

    Parameters
    ----------
    limits
        What a host allows to all workers together.
    slots
        Maximum number of fetches at a time.
    """

    def __init__(self, limits: Callable[[str], HostLimit], slots: int) -> None:
        self._limits = limits
        self._slots = max(1, slots)
        self._lent: dict[str, set[Permit]] = {}

    def resize(self, slots: int) -> None:
        """Divide hosts among so many fetches from now on; permits already lent do not change."""
        self._slots = max(1, slots)

    def take(self, hosts: Sequence[str]) -> Permit | None:
        """Return a permit for all of a scene's hosts; None if one of them has none left.

        A scene of several hosts holds none of them while it waits, so scenes of one host may
        overtake it: ask for it first.
        """
        shares: dict[str, Share] = {}
        for host in hosts:
            share = self._share(host)
            if share is None:
                return None
            shares[host] = share
        permit = Permit(shares)
        for host in shares:
            self._lent.setdefault(host, set()).add(permit)
        return permit

    def give_back(self, permit: Permit) -> None:
        """Take a permit back; a second time does nothing."""
        for host in permit.shares:
            lent = self._lent.get(host, set())
            lent.discard(permit)
            if not lent:
                self._lent.pop(host, None)

    def _share(self, host: str) -> Share | None:
        """Return the next share of a host; None if none is left."""
        limit = self._limits(host)
        lent = [permit.shares[host] for permit in self._lent.get(host, ())]
        most = self._slots if limit.connections is None else min(limit.connections, self._slots)
        if len(lent) >= most:
            return None
        connections = CONNECTIONS
        rate = None
        if limit.connections is not None:
            left = limit.connections - sum(share.connections for share in lent)
            connections = -(-left // (most - len(lent)))  # the first ones get the remainder
        if limit.bytes_per_s is not None:
            rate = limit.bytes_per_s / most
            left_bytes_per_s = limit.bytes_per_s - sum(share.bytes_per_s or 0.0 for share in lent)
            if left_bytes_per_s < rate * (
                1 - 1e-9
            ):  # lent while hosts were divided among fewer fetches
                return None
        return Share(connections, rate) if connections else None
