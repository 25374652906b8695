"""Leases: who may change a store that several machines share."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from deepsalt.store.lease import exclusive

from deepsalt.errors import StoreError
from deepsalt.mosaic import united_sets
from deepsalt.store import lease
from tests.store.builders import build, make_store
from tests.store.machines import elsewhere
from tests.store.scenarios import ALL, GRIDS, REF, SCENES, assert_clean, write

DOING = "is building in this store"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "records" / "build.lock"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.05)


def test_a_lease_that_another_machine_renews_is_respected(lock: Path, quick: None) -> None:
    with exclusive(lock, DOING) as held:
        with (
            elsewhere(waits_s=60.0),
            pytest.raises(StoreError, match="is building in this store"),
            exclusive(lock, DOING),
        ):
            pass
        held.check()


def test_a_lease_that_was_given_back_is_over(lock: Path) -> None:
    with exclusive(lock, DOING) as held:
        held.check()
    with pytest.raises(StoreError, match="ended without this part"):
        held.check()


def test_a_lease_that_nobody_renews_is_taken_and_its_holder_finds_out(lock: Path) -> None:
    with exclusive(lock, DOING) as asleep:
        with elsewhere(waits_s=0.2), exclusive(lock, DOING) as awake:
            awake.check()
            with pytest.raises(StoreError, match="taken over by another machine"):
                asleep.check()
        with pytest.raises(StoreError, match="taken over"):
            asleep.check()


def test_a_lease_that_ended_is_free_for_another_machine_at_once(lock: Path) -> None:
    with exclusive(lock, DOING) as first:
        pass
    with elsewhere(waits_s=60.0), exclusive(lock, DOING) as second:
        assert second.number == first.number + 1


def test_a_lease_of_a_killed_process_of_this_machine_is_free_at_once(lock: Path) -> None:
    killed = exclusive(lock, DOING)
    killed.__enter__()
    lock.unlink()  # as when the operating system drops its lock
    with exclusive(lock, DOING) as after:
        after.check()


def test_a_lease_that_says_nothing_is_waited_for(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock.parent.mkdir()
    (lock.parent / "build.lock.000007").write_bytes(b"")
    monkeypatch.setattr(lease, "EXPIRES_AFTER_S", 0.2)
    begin = time.monotonic()
    with exclusive(lock, DOING) as held:
        assert held.number == 8
    assert time.monotonic() - begin > 0.2


def test_of_many_machines_one_at_a_time_holds_it(lock: Path, quick: None) -> None:
    inside, most, won = 0, 0, 0
    counting = threading.Lock()

    def contend(_attempt: int) -> None:
        nonlocal inside, most, won
        try:
            with exclusive(lock, DOING):
                with counting:
                    inside += 1
                    most, won = max(most, inside), won + 1
                time.sleep(0.002)
                with counting:
                    inside -= 1
        except StoreError:
            return

    with elsewhere(waits_s=5.0), ThreadPoolExecutor(8) as pool:
        list(pool.map(contend, range(60)))
    assert most == 1
    assert won > 1
    assert len(list(lock.parent.glob("build.lock.*"))) == 1


@pytest.mark.parametrize(
    "step",
    [
        "deepsalt.mosaic.build._prepare",
        "deepsalt.validate.publication.check_shards",
        "deepsalt.store.journal.sync_tree",
        "deepsalt.store.journal._record",
    ],
)
def test_who_wakes_after_being_taken_over_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Another machine builds and publishes the same set while this one is stopped at a step."""
    store = make_store(tmp_path / "store", GRIDS[0], ref=REF)
    names = write(store, SCENES[:1])
    really, slept = resolve_name(step), list[str]()

    def stopped(*args: Any, **more: Any) -> Any:
        if not slept:
            slept.append(step)
            with elsewhere(waits_s=0.0):
                build(store, united_sets(store, ALL, names))
        return really(*args, **more)

    monkeypatch.setattr(step, stopped)
    with pytest.raises(StoreError, match=r"taken over|is not a Zarr group"):
        build(store, united_sets(store, ALL, names))
    assert slept
    assert_clean(store, frozenset(SCENES[:1]), tmp_path)
