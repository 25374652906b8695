"""Two drivers in two processes, at the same moment."""

import multiprocessing as mp
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from deepsalt.store.periods import Period
from deepsalt.versions import Mosaic, open_mosaic
from deepsalt.versions.records import slots_of
from tests.versions import drivers
from tests.versions.world import (
    PX,
    YEAR,
    FolderRecords,
    MemoryRecords,
    build_of,
    check,
    names_of,
    new,
    place_of,
    product,
    put,
    tile,
)

slow = pytest.mark.slow


def in_two_processes(work: Callable[..., None], *args: Any, **options: Any) -> list[Any]:
    """Run it twice at once; what each told, in the order of the processes."""
    context = mp.get_context("spawn")
    barrier, queue = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=work, args=(me, barrier, queue, *args), kwargs=options)
        for me in (0, 1)
    ]
    for process in processes:
        process.start()
    told: list[Any] = []
    while len(told) < 2:
        try:
            told.append(queue.get(timeout=1))
        except Empty:
            # Its traceback is in the captured output.
            assert not any(process.exitcode for process in processes), "a driver failed"
    for process in processes:
        process.join()
    return sorted(told)


def names_in(mosaic: Mosaic) -> list[str]:
    """Names of products that versions added, with repetitions."""
    return [name for version in mosaic.history() for name in version.added]


@pytest.mark.parametrize(
    ("rounds", "every"), [(6, 3), pytest.param(50, 5, marks=slow)], ids=["few", "many"]
)
def test_of_two_drivers_that_build_at_once_nothing_is_lost_and_nothing_there_twice(
    shared_place: str, tmp_path: Path, rounds: int, every: int
) -> None:
    mosaic = new(shared_place)
    told = in_two_processes(
        drivers.build_at_once, shared_place, tmp_path / "records", rounds=rounds, every=every
    )
    products = [
        name for number in range(rounds) for name in drivers.products_of_round(number, every)
    ]
    check(mosaic, products)
    assert sorted(names_in(mosaic)) == sorted(products)
    conflicts, dropped = (sum(each[index] for each in told) for index in (1, 2))
    # Who comes second to a tile composes it again; in a bucket every round has a refused commit.
    same_tile = len(range(0, rounds, every))
    assert dropped >= same_tile
    if shared_place.startswith("s3"):
        assert conflicts >= rounds
    print(f"{rounds} rounds: {conflicts} commits refused, {dropped} tiles composed again")


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=slow)])
def test_no_commit_of_two_into_one_folder_is_lost(tmp_path: Path, rounds: int) -> None:
    mosaic = new(tmp_path / "mosaic")
    in_two_processes(
        drivers.commit_at_once, mosaic.place, tmp_path / "records", rounds=rounds, locked=True
    )
    products = [drivers.name_of(n, me) for n in range(rounds) for me in (0, 1)]
    check(mosaic, products)
    assert sorted(names_in(mosaic)) == sorted(products)


def test_without_the_lock_commits_into_one_folder_are_lost(tmp_path: Path) -> None:
    mosaic = new(tmp_path / "mosaic")
    told = in_two_processes(
        drivers.commit_at_once, mosaic.place, tmp_path / "records", rounds=400, locked=False
    )
    (_, rounds, kept), _ = told
    print(f"a commit was lost without the lock in round {rounds}")
    assert kept < 2 * rounds


@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=slow)])
def test_what_a_roll_back_and_a_commit_at_once_leave_can_all_be_found(
    bucket: str, tmp_path: Path, rounds: int
) -> None:
    mosaic, records = new(bucket), FolderRecords(tmp_path / "records")
    for value in (500, 501, 502):
        put(records, product(19, value, y=9))
        build_of(mosaic, records)([(YEAR, tile(19, 9))])
    told = in_two_processes(
        drivers.roll_back_beside_commits, bucket, tmp_path / "records", rounds=rounds
    )
    (_, committed), (_, rolled) = told
    kept = {version.id for version in mosaic.history()}
    left = {version.id for version in mosaic.tagged("left-").values()}
    reachable = kept | left
    for tag in mosaic.tagged("left-"):
        reachable |= {each.id for each in mosaic.repository.ancestry(tag=tag)}
    assert {id for _, id in committed} <= reachable
    assert {id for what, id in rolled if what == "from"} <= left
    outcomes = [what for what, _ in rolled]
    print(f"{rounds} rounds: {outcomes.count('overtaken')} roll-backs were refused")
    # The rest is a matter of the next build.
    names = names_of(records)
    build_of(mosaic, records)(sorted({place_of(name) for name in names}))
    check(mosaic, names)


def test_drivers_in_threads_of_one_memory_lose_nothing() -> None:
    mosaic, records = new("memory://threads"), MemoryRecords()
    products = [product(n % 4, 1 + n, shard=n % 3) for n in range(24)]

    def drive(mine: list[str]) -> None:
        for name in mine:
            put(records, name)
            build_of(mosaic, records)([place_of(name)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(drive, [products[n::4] for n in range(4)]))
    check(mosaic, products)


def test_two_first_builds_of_two_periods_do_not_share_a_slot(tmp_path: Path) -> None:
    records = FolderRecords(tmp_path)
    years = [Period(date(year, 1, 1), date(year, 12, 31)) for year in range(2000, 2020)]
    with ThreadPoolExecutor(4) as pool:
        turned = [years[n:] + years[:n] for n in range(4)]
        found = list(pool.map(lambda mine: slots_of(records, mine), turned))
    assert all(each == found[0] for each in found)
    assert sorted(found[0].values()) == list(range(20))


def test_a_reader_sees_one_version_in_one_dataset(shared_place: str) -> None:
    mosaic, records = new(shared_place), MemoryRecords()
    tiles = [place_of(product(x, 0)) for x in range(4)]
    over = threading.Event()

    def publish(value: int) -> str:
        put(records, *(product(x, value) for x in range(4)))
        (version,) = build_of(mosaic, records)(tiles).versions
        return version.short

    def read() -> list[tuple[str, set[float]]]:
        seen = []
        while not over.is_set():
            ds = open_mosaic(shared_place, chunks=None)
            corners = [(row, 2 * PX * x + row) for x in range(4) for row in (0, PX - 1)]
            values = {float(ds.salinity[0, row, column].values) for row, column in corners}
            seen.append((ds.attrs["version_id"], values))
        return seen

    made, total = {}, 0
    with ThreadPoolExecutor(2) as pool:
        made[publish(1)] = {1.0}
        total += 1
        readers = [pool.submit(read) for _ in range(2)]
        for value in range(2, 22):
            total += value
            made[publish(value)] = {float(total)}
        over.set()
        seen = [each for reader in readers for each in reader.result()]
    assert len({version for version, _ in seen}) > 3
    assert [(version, values) for version, values in seen if values != made[version]] == []
