"""What work takes is counted where it happens, and names follow it into threads."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepsalt.effort import NO_WORK, Meter, SceneWork
from deepsalt.naming import NamedThreads, named, names


def test_the_work_of_two_scenes_adds_up() -> None:
    one = SceneWork(fetched_bytes=3, retries=1, map_s=2.0)
    assert one + one == SceneWork(fetched_bytes=6, retries=2, map_s=4.0)


def test_no_work_is_one_object_on_every_machine() -> None:
    assert pickle.loads(pickle.dumps(SceneWork())) is NO_WORK
    assert pickle.loads(pickle.dumps(SceneWork(retries=1))) == SceneWork(retries=1)


def test_a_meter_loses_nothing_that_threads_add() -> None:
    meter = Meter()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2000):
            pool.submit(meter.add, SceneWork(fetched_bytes=1))
    assert meter.work.fetched_bytes == 2000


def test_a_stage_counts_also_when_it_fails() -> None:
    meter = Meter()
    with pytest.raises(ValueError, match="broken"), meter.during("map", on_gpu=True):
        raise ValueError("broken")
    assert meter.work.map_s == meter.work.gpu_s > 0
    assert meter.work.write_s == 0


def test_names_follow_a_call_into_threads_and_end_with_their_block() -> None:
    with NamedThreads(1) as pool:
        with named(run="r", scene=""), named(scene="s"):
            inside = pool.submit(names).result()
        assert inside == {"run": "r", "scene": "s"}
        assert pool.submit(names).result() == {}
