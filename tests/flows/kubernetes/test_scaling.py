"""How many workers a run should have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cluster_profile import WorkerGroup
from flows.kubernetes.scaling import wanted_workers


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
