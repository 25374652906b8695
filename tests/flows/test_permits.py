"""Permits: what hosts allow is divided, never exceeded, and comes back."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.access import HostLimit, limit_of
from deepsalt.errors import UsageError
from deepsalt.fetch import Share
from flows.config import HostLimitConfig, Politeness, RunConfig, host_limits
from flows.permits import Permit, Permits

A, B = "a.example.org", "s3://b"

limits = st.builds(
    HostLimit,
    st.none() | st.integers(1, 12),
    st.none() | st.floats(1e3, 1e9),
)


def permits(limit: HostLimit, slots: int) -> Permits:
    return Permits(lambda host: limit, slots)


def all_of(lender: Permits, hosts: Sequence[str]) -> list[Permit]:
    """Take permits until there is none."""
    taken: list[Permit] = []
    while len(taken) < 1000 and (permit := lender.take(hosts)) is not None:
        taken.append(permit)
    return taken


def test_connections_and_bytes_are_divided_without_a_rest() -> None:
    shares = [each.shares[A] for each in all_of(permits(HostLimit(10, 8e6), 4), [A])]
    assert shares == [Share(3, 2e6), Share(3, 2e6), Share(2, 2e6), Share(2, 2e6)]


def test_more_workers_than_connections_wait() -> None:
    assert [each.shares[A] for each in all_of(permits(HostLimit(2), 16), [A])] == [Share(1)] * 2


def test_a_host_without_a_limit_of_connections_serves_each_slot() -> None:
    shares = [each.shares[B] for each in all_of(permits(HostLimit(None, 30.0), 3), [B])]
    assert shares == [Share(10, 10.0)] * 3


def test_a_local_scene_needs_nobodys_leave() -> None:
    permit = permits(HostLimit(1), 1).take([])
    assert permit is not None
    assert permit.shares == {}


def test_a_scene_holds_no_host_while_it_waits_for_another() -> None:
    known = {A: HostLimit(1), B: HostLimit(1)}
    lender = Permits(known.__getitem__, 4)
    first = lender.take([B])
    assert first is not None
    assert lender.take([A, B]) is None
    assert lender.take([A]) is not None


def test_a_permit_that_is_given_back_twice_is_one() -> None:
    lender = permits(HostLimit(2), 2)
    first, second = all_of(lender, [A])
    lender.give_back(first)
    lender.give_back(first)
    assert len(all_of(lender, [A])) == 1
    assert lender.take([A]) is None
    lender.give_back(second)


def test_fewer_workers_have_larger_shares() -> None:
    lender = permits(HostLimit(8, 8e6), 4)
    for each in all_of(lender, [A]):
        lender.give_back(each)
    lender.resize(1)
    assert [each.shares[A] for each in all_of(lender, [A])] == [Share(8, 8e6)]


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[str, int]]:
    return draw(
        st.lists(
            st.tuples(st.sampled_from(["take", "take", "back", "resize"]), st.integers(0, 20)),
            max_size=60,
        )
    )


@given(known=st.fixed_dictionaries({A: limits, B: limits}), story=stories())
def test_what_is_lent_never_exceeds_a_host_and_all_of_it_comes_back(
    known: dict[str, HostLimit], story: list[tuple[str, int]]
) -> None:
    slots = 4
    lender, out = Permits(known.__getitem__, slots), list[Permit]()
    for what, number in story:
        if what == "take":
            permit = lender.take([[A], [B], [A, B]][number % 3])
            out += [permit] if permit else []
        elif what == "back" and out:
            lender.give_back(out.pop(number % len(out)))
        elif what == "resize":
            slots = number
            lender.resize(slots)
        for host, limit in known.items():
            lent = [each.shares[host] for each in out if host in each.shares]
            assert all(share.connections >= 1 for share in lent)
            if limit.connections is not None:
                assert sum(share.connections for share in lent) <= limit.connections
            if limit.bytes_per_s is not None:
                rates = [share.bytes_per_s or float("inf") for share in lent]
                assert sum(rates) <= limit.bytes_per_s * (1 + 1e-9)
    for each in out:
        lender.give_back(each)
    for host, limit in known.items():
        most = min(limit.connections or slots, max(slots, 1)) or 1
        assert len(all_of(lender, [host])) == max(most, 1)  # no host is left with less


@pytest.mark.parametrize(
    ("host", "limit"),
    [
        ("download.geoservice.dlr.de", HostLimit(2)),
        ("data.lpdaac.earthdatacloud.nasa.gov:8443", HostLimit(8)),
        ("notdlr.de", HostLimit(10)),
        ("127.0.0.1:8000", HostLimit(10)),
        ("[::1]:8000", HostLimit(10)),
        ("s3://bucket", HostLimit()),
        ("s3://eodata", HostLimit(4, 80e6)),
        ("bucket.s3.eu-central-1.amazonaws.com", HostLimit()),
    ],
)
def test_known_archives_have_profiles_and_unknown_ones_the_default(
    host: str, limit: HostLimit
) -> None:
    assert Politeness().limit_of(host) == limit_of(host) == limit


def test_a_configuration_overrides_a_profile_and_is_divided_among_runs() -> None:
    own = Politeness(hosts=host_limits(["Files.DLR.de=6,9", "s3://big=20"]), share=0.5)
    assert own.limit_of("files.dlr.de") == HostLimit(3, 4.5e6)
    assert own.limit_of("files.dlr.de:8443") == HostLimit(3, 4.5e6)
    assert own.limit_of("other.dlr.de") == HostLimit(1)
    assert own.limit_of("s3://big") == HostLimit(10)
    assert own.limit_of("s3://other") == HostLimit()


def test_a_run_of_a_deployment_may_set_its_politeness() -> None:
    text = (
        '{"selection": {"catalogue": "c"}, "out": "s", '
        '"politeness": {"hosts": {"a.org": {"connections": 2, "mb_per_s": 1}}, "share": 0.5}}'
    )
    config = RunConfig.model_validate_json(text)
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    assert config.politeness.limit_of("a.org") == HostLimit(1, 0.5e6)


def test_options_name_hosts_and_buckets() -> None:
    assert host_limits(["a.org:8080=4", "[::1]:80=2,0.5", "s3://b=1,8", "A.org:443=3"]) == {
        "a.org:8080": HostLimitConfig(connections=4),
        "[::1]": HostLimitConfig(connections=2, mb_per_s=0.5),
        "s3://b": HostLimitConfig(connections=1, mb_per_s=8),
        "a.org": HostLimitConfig(connections=3),
    }


@pytest.mark.parametrize(
    "text",
    [
        "a.org",
        "a.org=",
        "=4",
        "a.org=0",
        "a.org=4,",
        "a.org=4,0",
        "a.org=4,inf",
        "a.org=x",
        "a.org=2.5",
        "https://a.org=4",
        "a.org/path=4",
        "user@a.org=4",
    ],
)
def test_an_option_that_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="found '"):
        host_limits([text])


def test_two_options_for_one_host_are_refused() -> None:
    with pytest.raises(UsageError, match=r"two limits for a\.org"):
        host_limits(["a.org=4", "A.ORG=5"])


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError):
        HostLimit(0)
    with pytest.raises(UsageError):
        HostLimit(1, 0.0)
