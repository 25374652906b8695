"""How many workers a run should have, and which it releases."""

import time
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cluster_profile import WorkerGroup
from flows.engines.engine import Load, Present
from flows.kubernetes import scaling
from flows.kubernetes.scaling import Scaling, wanted_workers


def group(name: str, most: int, *, least: int = 0, maps: bool = True) -> WorkerGroup:
    return WorkerGroup(name=name, least=least, most=most, maps=maps)


@pytest.mark.parametrize(
    ("groups", "scenes", "tiles", "wanted"),
    [
        ([group("a", 5)], 100, 0, {"a": 5}),
        ([group("a", 5)], 2, 0, {"a": 2}),
        ([group("a", 5)], 2, 2, {"a": 4}),
        ([group("a", 5, least=3)], 0, 0, {"a": 3}),
        ([group("a", 5), group("b", 5)], 7, 0, {"a": 5, "b": 2}),
        ([group("a", 5), group("b", 5)], 4, 4, {"a": 5, "b": 3}),
        ([group("gpu", 2), group("cpu", 4, maps=False)], 9, 1, {"cpu": 1, "gpu": 2}),
        ([group("gpu", 2), group("cpu", 4, maps=False)], 0, 9, {"cpu": 4, "gpu": 2}),
    ],
)
def test_a_worker_is_wanted_for_each_scene_and_tile_within_bounds(
    groups: list[WorkerGroup], scenes: int, tiles: int, wanted: dict[str, int]
) -> None:
    assert wanted_workers(groups, scenes, tiles) == wanted


@given(
    st.lists(
        st.builds(
            lambda name, least, more, maps: group(name, least + more, least=least, maps=maps),
            st.uuids().map(lambda each: f"g{each.hex[:8]}"),
            st.integers(0, 5),
            st.integers(1, 5),
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_no_group_leaves_its_bounds_and_no_work_waits_for_a_group_with_room(
    groups: list[WorkerGroup], scenes: int, tiles: int
) -> None:
    wanted = wanted_workers(groups, scenes, tiles)
    assert all(each.least <= wanted[each.name] <= each.most for each in groups)
    mapping = [each for each in groups if each.maps]
    if any(wanted[each.name] < each.most for each in mapping):
        assert sum(wanted[each.name] for each in mapping) >= scenes
        assert sum(wanted.values()) >= scenes + tiles


class Jobs:
    """Workers that are there at once: what is wanted of them is kept, nothing is started."""

    def __init__(self) -> None:
        self.wanted: Mapping[str, int] = {}

    def group_of(self, pod: str) -> str:
        return pod.split("-")[0]

    def joined(self, pod: str) -> None:
        pass

    def keep(self, wanted: Mapping[str, int]) -> None:
        self.wanted = wanted


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def scaled(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scaling]:
    monkeypatch.setattr(scaling, "IDLE_S", 0.0)
    groups = [group("a", 4, least=1)]
    with Scaling(jobs, groups, lambda _: None, lambda: None) as found:  # type: ignore[arg-type]
        yield found


def there(*scenes: int) -> tuple[Present, ...]:
    return tuple(Present(f"tcp://{n}", f"a-{n}", count) for n, count in enumerate(scenes))


@pytest.mark.parametrize(
    ("load", "released"),
    [
        (Load(8, 0, there(2, 2, 2, 2)), 0),
        (Load(2, 0, there(1, 1, 0, 0)), 2),
        (Load(0, 0, there(0, 0, 0, 0)), 3),  # `least` stays
        (Load(0, 9, there(0, 0, 0, 0)), 0),  # they compose tiles
        (Load(9, 0, there(2, 0, 0, 0)), 3),  # their archive has no permit for more
    ],
)
def test_idle_workers_are_released_down_to_what_is_of_use(
    scaled: Scaling, load: Load, released: int
) -> None:
    scaled(load)
    assert len(scaled(load)) == released


def test_a_busy_archive_gets_no_further_workers(scaled: Scaling, jobs: Jobs) -> None:
    scaled(Load(9, 0, there(2, 0, 0, 0)))
    scaled(Load(9, 0, there(2)))
    until_s = time.monotonic() + 10.0
    while jobs.wanted != {"a": 1}:
        assert time.monotonic() < until_s, jobs.wanted
        scaled(Load(9, 0, there(2)))
        time.sleep(0.1)
