"""Whom we talk to on somebody's word: addresses, hosts and links, as tables."""

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.access.reach import OWN, PUBLIC, Address, Reach, network_of, reach_of
from deepsalt.errors import UsageError

NETWORKS = {
    "8.8.8.8": PUBLIC,
    "129.247.0.1": PUBLIC,
    "172.15.255.255": PUBLIC,
    "172.32.0.1": PUBLIC,
    "2606:4700::1111": PUBLIC,
    "2a00:1450:4001::1": PUBLIC,
    "64:ff9b::808:808": PUBLIC,  # how a network without IPv4 sees 8.8.8.8
    "127.0.0.1": "loopback",
    "127.8.9.10": "loopback",
    "::1": "loopback",
    "10.0.0.1": "10.0.0.0/8",
    "172.16.0.1": "172.16.0.0/12",
    "172.31.255.255": "172.16.0.0/12",
    "192.168.1.1": "192.168.0.0/16",
    "100.64.0.1": "100.64.0.0/10",
    "fd12:3456::1": "fc00::/7",
    "169.254.169.254": "metadata service",
    "169.254.170.2": "metadata service",
    "fd00:ec2::254": "metadata service",
    "168.63.129.16": "metadata service",
    "100.100.100.200": "metadata service",
    "192.0.0.192": "metadata service",
    "169.254.1.1": "link-local",
    "fe80::1": "link-local",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "::": "unspecified",
    "224.0.0.1": "multicast",
    "ff0e::1": "multicast",
    "255.255.255.255": "reserved",
    "240.0.0.1": "reserved",
    "198.18.0.1": "reserved",
    "192.0.2.1": "reserved",
    "2001::1": "reserved",  # Teredo
    "2001:db8::1": "reserved",
    "::7f00:1": "reserved",  # IPv4-compatible
    "fec0::1": "reserved",  # site-local
    "64:ff9b:1::a00:1": "reserved",  # NAT64 of an operator's own
    "4000::1": "reserved",
    "::ffff:10.0.0.1": "IPv4-mapped 10.0.0.0/8",
    "::ffff:169.254.169.254": "IPv4-mapped metadata service",
    "::ffff:8.8.8.8": "IPv4-mapped public",
    "2002:a00:1::1": "6to4",
    "2002:808:808::1": "6to4",
    "64:ff9b::a00:1": "NAT64 10.0.0.0/8",
    "64:ff9b::a9fe:a9fe": "NAT64 metadata service",
}


@pytest.mark.parametrize("text", NETWORKS)
def test_an_address_lies_in_its_network(text: str) -> None:
    assert network_of(ip_address(text)) == NETWORKS[text]


@given(st.ip_addresses(v=4).filter(lambda address: not address.is_global))
def test_what_python_calls_not_global_is_not_public(address: IPv4Address) -> None:
    assert network_of(address) != PUBLIC


@pytest.mark.parametrize("text", [text for text, name in NETWORKS.items() if name != PUBLIC])
def test_a_public_catalogue_names_public_servers_only(text: str) -> None:
    assert not Reach().admits("files.example", 443, ip_address(text))


@pytest.mark.parametrize("text", [text for text, name in NETWORKS.items() if name == PUBLIC])
def test_anybody_may_name_a_public_server(text: str) -> None:
    assert Reach().admits("files.example", 443, ip_address(text))


@pytest.mark.parametrize(
    ("network", "address", "admitted"),
    [
        ("loopback", "127.0.0.2", True),
        ("loopback", "::1", True),
        ("loopback", "10.0.0.1", False),
        ("loopback", "8.8.8.8", True),
        ("10.0.0.0/8", "10.200.0.1", True),
        ("10.0.0.0/8", "192.168.0.1", False),
        ("10.0.0.0/8", "127.0.0.1", False),
        ("10.0.0.0/8", "169.254.169.254", False),
        ("fc00::/7", "fd00:ec2::254", False),
        ("100.64.0.0/10", "100.100.100.200", False),
        ("169.254.7.7", "169.254.7.7", True),  # typed by the user
        ("169.254.7.7", "169.254.7.8", False),
    ],
)
def test_a_private_catalogue_names_its_own_network(
    network: str, address: str, admitted: bool
) -> None:
    reach = Reach(frozenset({network}))
    assert reach.admits("files.example", 80, ip_address(address)) is admitted


@pytest.mark.parametrize(
    ("allowed", "address", "admitted"),
    [
        ("files.lan", "10.0.0.1", True),
        ("files.lan:8080", "10.0.0.1", True),
        ("files.lan:9090", "10.0.0.1", False),
        ("other.lan", "10.0.0.1", False),
        ("files.lan", "169.254.169.254", False),
        ("files.lan", "fe80::1", False),
    ],
)
def test_an_allowed_host_may_be_private_and_never_a_metadata_service(
    allowed: str, address: str, admitted: bool
) -> None:
    reach = Reach(hosts=frozenset({allowed}))
    assert reach.admits("files.lan", 8080, ip_address(address)) is admitted


def test_an_address_that_the_user_allows_is_asked_whatever_it_is() -> None:
    reach = reach_of("https://stac.example", ["[fe80::1]:80", "169.254.9.9"], addresses=PLACES)
    assert reach.admits("fe80::1", 80, ip_address("fe80::1"))
    assert reach.admits("169.254.9.9", 80, ip_address("169.254.9.9"))


@pytest.mark.parametrize(
    ("origin", "link", "followed"),
    [
        ("https://stac.example/v1", "https://stac.example/search", True),
        ("https://stac.example/v1", "https://STAC.example:443/search", True),
        ("https://stac.example/v1", "http://stac.example/search", False),
        ("https://stac.example/v1", "https://stac.example:8443/search", False),
        ("https://stac.example/v1", "https://evil.example/search", False),
        ("https://stac.example/v1", "https://stac.example.evil.example/", False),
        ("https://stac.example/v1", "https://stac.example@evil.example/", False),
        ("https://stac.example/v1", "https://api.stac.example/search", False),
        ("https://stac.example/v1", "https://pages.example/search", True),
        ("https://stac.example/v1", "http://pages.example/search", False),
        ("https://stac.example/v1", "https://pages.example:8443/search", True),
        ("https://stac.example/v1", "https://narrow.example:8443/search", True),
        ("https://stac.example/v1", "https://narrow.example/search", False),
        ("http://stac.example/v1", "https://stac.example/search", True),
        ("http://stac.example:8080/v1", "https://stac.example:8443/search", False),
        ("http://stac.example:8080/v1", "https://stac.example/search", False),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8081/", False),
        ("http://127.0.0.1:8080/", "http://127.0.0.2:8080/", False),
        ("http://127.0.0.1:8080/", "http://localhost:8080/", False),
        ("http://127.0.0.1:8080/", "http://[::1]:8080/", False),
        ("http://127.0.0.1:8080/", "file:///etc/passwd", False),
        ("http://127.0.0.1:8080/", "/etc/passwd", False),
        ("http://127.0.0.1:8080/", "gopher://127.0.0.1:8080/", False),
        ("http://127.0.0.1:8080/", "http:///search", False),
    ],
)
def test_links_of_a_catalogue_stay_on_its_host_or_go_where_the_user_said(
    origin: str, link: str, followed: bool
) -> None:
    reach = Reach(hosts=frozenset({"pages.example", "narrow.example:8443"}))
    assert reach.follows(origin, link) is followed


def PLACES(host: str, port: int) -> list[Address]:
    """Resolve the hosts of these tests."""
    known = {
        "stac.example": ["93.184.216.34"],
        "stac.lan": ["10.1.2.3", "10.1.2.4"],
        "localhost": ["::1", "127.0.0.1"],
        "two-faced.example": ["93.184.216.34", "127.0.0.1"],
        "autoip.local": ["169.254.7.7"],
        "169.254.169.254": ["169.254.169.254"],
    }
    if host not in known:
        raise OSError("Name or service not known")
    return [ip_address(text) for text in known[host]]


@pytest.mark.parametrize(
    ("source", "networks"),
    [
        ("https://stac.example/v1", set()),
        ("https://stac.lan/v1", {"10.0.0.0/8"}),
        ("http://localhost:8080", {"loopback"}),
        ("https://two-faced.example/v1", set()),
        ("http://autoip.local/", {"169.254.7.7"}),
        ("http://169.254.169.254/stac", {"169.254.169.254"}),
        ("https://unknown.example/v1", set()),
        ("/data/catalogue", set(OWN)),
        ("catalogue/catalog.json", set(OWN)),
    ],
)
def test_what_a_catalogue_may_name_follows_from_where_it_is(
    source: str, networks: set[str]
) -> None:
    assert reach_of(source, addresses=PLACES).networks == networks


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"])
def test_a_catalogue_in_a_folder_does_not_name_metadata_services(address: str) -> None:
    assert not reach_of("catalogue").admits("files.example", 80, ip_address(address))


def test_the_host_of_a_catalogue_stays_in_its_network() -> None:
    reach = reach_of("http://stac.lan/", addresses=PLACES)
    assert reach.admits("stac.lan", 80, ip_address("10.9.9.9"))
    assert not reach.admits("stac.lan", 80, ip_address("93.184.216.34"))
    assert reach.admits("files.example", 80, ip_address("93.184.216.34"))


@pytest.mark.parametrize("text", ["https://host", "host/path", "user@host", "", "a b", "host:x"])
def test_an_allowed_host_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--allow-host"):
        reach_of("catalogue", [text])


@pytest.mark.parametrize("url", ["https://", "http://host:port/", "http://[::1/"])
def test_a_catalogue_without_host_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no host"):
        reach_of(url)
