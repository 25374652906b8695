"""Which hosts a catalogue, an Item or a redirect may refer to.

A catalogue and its Items are foreign text: an href or a redirect in it must not lead to this
machine, its neighbours or the service that gives a cloud machine its keys. The rules:

- Public servers may be named by anybody: files often lie on another host than the catalogue.
- Servers of this machine (loopback) and of private networks may be named by a catalogue that lies
  in that very network: a server on 127.0.0.1 may name 127.0.0.2, one in 10.0.0.0/8 another one
  there, neither of them one in 192.168.0.0/16.
- A catalogue in a folder was put there by the user and may name servers of any private network and
  of this machine. Folders are downloaded, too, so more than that it may not.
- Link-local addresses, the known addresses of metadata services, multicast, reserved and wrapped
  ones (IPv4-mapped, 6to4, NAT64 of what is not public) are asked only when the user typed that very
  address. NAT64 of a public address is how networks without IPv4 see any server, so it is public.
- ``--allow-host`` adds a host: its links are followed, and it may lie in a private network.

A name is judged by the address of the actual connection, and never resolved again in between. The
host of the catalogue must stay in the network where it was first found, so that a name that was
127.0.0.1 for the first request cannot be a public server for the next one.
"""

import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from deepsalt.access.hrefs import DEFAULT_PORTS, is_web
from deepsalt.errors import UsageError

Address = IPv4Address | IPv6Address

PUBLIC = "public"
LOOPBACK = "loopback"

_OWN = {
    LOOPBACK: ("127.0.0.0/8", "::1/128"),
    **{
        name: (name,)
        for name in (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "fc00::/7",
        )
    },
}
OWN = frozenset(_OWN)
"""Networks in which users have their own servers."""

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google and most others
        "169.254.170.2",  # AWS, containers
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's host, of the public addresses
        "192.0.0.192",  # Oracle
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_SPECIAL = {  # from IANA's registries of special-purpose addresses; the first match counts
    "unspecified": ("0.0.0.0/8", "::/128"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "6to4": ("2002::/16", "192.88.99.0/24"),
    "reserved": (
        "192.0.0.0/24",
        "192.0.2.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    ),
}
_GLOBAL_IPV6 = ip_network("2000::/3")
_TABLE = [
    (name, ip_network(text)) for table in (_OWN, _SPECIAL) for name in table for text in table[name]
]


def network_of(address: Address) -> str:
    """Return the network of an address: `PUBLIC`, one of `OWN`, or its other kind."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return f"IPv4-mapped {network_of(address.ipv4_mapped)}"
        if address in _NAT64:
            inner = network_of(IPv4Address(int(address) & 0xFFFFFFFF))
            return inner if inner == PUBLIC else f"NAT64 {inner}"
    if address in _METADATA:
        return "metadata service"
    for name, network in _TABLE:
        if address in network:
            return name
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return "reserved"
    return PUBLIC


@dataclass(frozen=True, slots=True)
class Reach:
    """The hosts that may be contacted: public servers, and those named here.

    Parameters
    ----------
    networks
        Names of `OWN` networks, or single addresses, that are also allowed.
    hosts
        Hosts that the user allowed: ``name`` or ``name:port``, lower case; ``[address]:port`` of
        IPv6.
    home
        Host of the catalogue, lower case; None if there is no server, or if it is no longer bound
        to its network.

    Examples
    --------
    >>> import deepsalt
    >>> reach = deepsalt.Reach(hosts=frozenset({"data.example.org:8443"}))
    >>> reach.allows("data.example.org", 8443), reach.allows("data.example.org", 443)
    (True, False)
    """

    networks: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    home: str | None = None

    def allows(self, host: str, port: int) -> bool:
        """Return whether the user named this host."""
        shown = f"[{host}]" if ":" in host else host
        return not self.hosts.isdisjoint({host, shown, f"{shown}:{port}"})

    def admits(self, host: str, port: int, address: Address) -> bool:
        """Return whether a host at an address may be connected to."""
        network = network_of(address)
        near = network in self.networks or str(address) in self.networks
        if host == self.home and self.networks:
            return near
        if self.allows(host, port):
            return network == PUBLIC or network in OWN or _is_address(host)
        return network == PUBLIC or near

    def follows(self, origin: str, link: str) -> bool:
        """Return whether to follow a link or redirect of a catalogue at `origin`.

        It stays on the host and port, or goes to a host that the user named; never from https to
        http. From http to https the ports change from default to default.
        """
        host = urlsplit(link).hostname
        if not is_web(link) or host is None or downgrades(origin, link):
            return False
        return same_server(origin, link) or self.allows(host, port_of(link))


def same_server(origin: str, link: str) -> bool:
    """Return whether two URLs share host and port, or the second is the encrypted twin."""
    first = urlsplit(origin)
    second = urlsplit(link)
    ports = (port_of(origin), port_of(link))
    upgrade = (first.scheme.lower(), second.scheme.lower()) == ("http", "https")
    same_port = ports == (80, 443) if upgrade else ports[0] == ports[1]
    return first.hostname == second.hostname and same_port and not downgrades(origin, link)


def port_of(url: str) -> int:
    """Return the port of a web server's URL.

    Raises
    ------
    ValueError
        The URL's port is not a number.
    """
    parts = urlsplit(url)
    return parts.port or DEFAULT_PORTS[parts.scheme.lower()]


def downgrades(origin: str, link: str) -> bool:
    """Return whether a link leaves encryption."""
    return (urlsplit(origin).scheme.lower(), urlsplit(link).scheme.lower()) == ("https", "http")


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, as the system orders them.

    Raises
    ------
    OSError
        The host does not exist.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


def reach_of(
    source: str,
    allowed: Iterable[str] = (),
    *,
    addresses: Callable[[str, int], list[Address]] = resolve,
) -> Reach:
    """Return the hosts that the catalogue named by the user may refer to.

    Parameters
    ----------
    source
        Folder or URL of the catalogue.
    allowed
        Hosts that the user allowed.
    addresses
        Resolves a host and port.

    Raises
    ------
    UsageError
        An allowed host is not a name, or the URL has no host.
    """
    hosts = checked_hosts(allowed)
    if not is_web(source):
        return Reach(OWN, hosts)
    try:
        host = urlsplit(source).hostname
        port = port_of(source)
    except ValueError:
        host = None
        port = 0
    if host is None:
        raise UsageError("the catalogue's URL has no host; give a URL such as https://host/stac")
    try:
        found = addresses(host, port)
    except (OSError, UnicodeError):
        found = []  # reported when connecting; or a proxy knows the name
    networks = {address: network_of(address) for address in found}
    if PUBLIC in networks.values():  # a name that is also in a private network vouches for nothing
        return Reach(hosts=hosts, home=host)
    near = {network if network in OWN else str(each) for each, network in networks.items()}
    return Reach(frozenset(near), hosts, host)


def checked_hosts(texts: Iterable[str]) -> frozenset[str]:
    """Return hosts that the user allowed as `Reach` compares them.

    Raises
    ------
    UsageError
        A text is not a host.
    """
    return frozenset(_checked_host(text) for text in texts)


def _checked_host(text: str) -> str:
    host = text.strip().lower()
    name = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\s/@:\[\]?#]+)(:\d{1,5})?", host)
    if name is None and not _is_address(host):
        raise UsageError(
            f"--allow-host needs a host such as data.example.org or data.example.org:8080; found "
            f"{text!r}"
        )
    return host


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
