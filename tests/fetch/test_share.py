"""The pace of one fetch: never above its share, and near it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsalt.fetch.share import PART_BYTES, WINDOW_S, HostQueue, RateLimit, Share

shares = st.builds(Share, st.integers(1, 10), st.floats(1e4, 1e9))


@given(
    share=shares,
    asked=st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 1), st.booleans()), max_size=60),
)
def test_no_window_holds_more_than_the_share_whoever_has_it(
    share: Share, asked: list[tuple[float, float, bool]]
) -> None:
    """Requests come after gaps; at some the share goes to another fetch, which knows nothing."""
    pace, now_s = RateLimit(share), 0.0
    granted: list[tuple[float, int]] = []
    for gap_s, part, lent_anew in asked:
        now_s += gap_s
        if lent_anew:
            now_s = max([now_s, *(due_s for due_s, _ in granted)])
            pace = RateLimit(share)
        size_bytes = max(1, int(part * pace.part_bytes))
        granted.append((pace.due(size_bytes, now_s), size_bytes))
    assert share.bytes_per_s is not None
    # What all connections have asked for before may come in the same window.
    on_their_way = share.connections * pace.part_bytes
    for start_s, _ in granted:
        sent = sum(size for due_s, size in granted if start_s <= due_s <= start_s + WINDOW_S)
        assert sent + on_their_way <= share.bytes_per_s * WINDOW_S * (1 + 1e-6)


@given(share=shares)
def test_nine_tenths_of_a_share_can_be_used(share: Share) -> None:
    pace = RateLimit(share)
    assert share.bytes_per_s is not None
    due_s = [pace.due(pace.part_bytes, 0.0) for _ in range(20)][-1]
    assert 20 * pace.part_bytes / due_s >= 0.9 * share.bytes_per_s * (1 - 1e-6)


def test_without_a_rate_nobody_waits_and_parts_are_large() -> None:
    pace = RateLimit(Share(4))
    assert pace.part_bytes == PART_BYTES
    assert [pace.due(10**12, 5.0) for _ in range(3)] == [5.0] * 3


def test_a_lane_has_as_many_turns_at_a_time_as_connections() -> None:
    async def most_at_a_time() -> int:
        lane, now, most = HostQueue(Share(3)), 0, 0

        async def work() -> None:
            nonlocal now, most
            async with lane.turn():
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1

        await asyncio.gather(*(work() for _ in range(20)))
        return most

    assert asyncio.run(most_at_a_time()) == 3


@pytest.mark.parametrize("connections", [1, 4])
def test_all_parts_on_their_way_are_less_than_a_second_of_the_share(connections: int) -> None:
    pace = RateLimit(Share(connections, 2e6))
    assert pace.part_bytes * (connections + 1) == pytest.approx(2e6, rel=0.01)


def test_the_wait_for_an_answer_pays_for_the_next_part() -> None:
    pace = RateLimit(Share(1, 1e6))
    first_s = pace.due(pace.part_bytes, 0.0)
    assert first_s > 0.5
    assert pace.due(pace.part_bytes, first_s + 0.4) == pytest.approx(2 * first_s)
    assert pace.due(pace.part_bytes, 100.0) == 100.0  # but no more than one
    assert pace.due(pace.part_bytes, 100.0) == pytest.approx(100.0 + first_s)
