"""Two drivers in two processes at the same moment, and readers beside them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from deepsalt.objects import Objects
from deepsalt.store.periods import Period
from deepsalt.versions import Mosaic
from deepsalt.versions.records import slots_of
from tests.versions.processes import drivers
from tests.versions.processes.apart import CONTEXT, in_two_processes, running
from tests.versions.world import (
    YEAR,
    build_of,
    check,
    names_of,
    new,
    period_tile_of,
    product,
    put,
    somewhere,
    tile,
)

slow = pytest.mark.slow


def names_in(mosaic: Mosaic) -> list[str]:
    """Names of products that versions added, with repetitions."""
    return [name for version in mosaic.history() for name in version.added]


@pytest.mark.parametrize(
    ("rounds", "every"), [(4, 2), pytest.param(50, 5, marks=slow)], ids=["few", "many"]
)
def test_of_two_drivers_that_build_at_once_nothing_is_lost_and_nothing_there_twice(
    shared_place: str, rounds: int, every: int
) -> None:
    mosaic = new(shared_place)
    told = in_two_processes(drivers.build_at_once, shared_place, rounds=rounds, every=every)
    products = [
        name for number in range(rounds) for name in drivers.products_of_round(number, every)
    ]
    check(mosaic, products)
    assert sorted(names_in(mosaic)) == sorted(products)
    refused, overtaken, dropped = (sum(counts) for counts in zip(*told, strict=True))
    print(f"{rounds} rounds: {refused} refused, {overtaken} overtaken, {dropped} composed again")
    # One of two comes second in every round; to a tile of both it comes with nothing of use.
    same_tile = len(range(0, rounds, every))
    assert dropped >= same_tile
    assert overtaken + dropped >= rounds
    assert refused >= (0 if mosaic.objects.is_local else rounds)


@pytest.mark.parametrize("rounds", [10, pytest.param(200, marks=slow)])
def test_no_commit_of_two_into_one_folder_is_lost(tmp_path: Path, rounds: int) -> None:
    mosaic = new(tmp_path)
    in_two_processes(drivers.commit_at_once, str(tmp_path), rounds=rounds, locked=True)
    products = [drivers.name_of(n, me) for n in range(rounds) for me in (0, 1)]
    check(mosaic, products)
    assert sorted(names_in(mosaic)) == sorted(products)


@slow
def test_without_the_lock_commits_into_one_folder_are_lost(tmp_path: Path) -> None:
    new(tmp_path)
    told = in_two_processes(drivers.commit_at_once, str(tmp_path), rounds=400, locked=False)
    (rounds, kept), _ = told
    print(f"a commit was lost without the lock in round {rounds}")
    assert kept < 2 * rounds


@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=slow)])
def test_what_a_roll_back_and_a_commit_at_once_leave_can_all_be_found(
    bucket: str, rounds: int
) -> None:
    mosaic = new(bucket)
    for value in (500, 501, 502):
        put(mosaic, product(19, value, y=9))
        build_of(mosaic)([(YEAR, tile(19, 9))])
    committer, roller = in_two_processes(drivers.roll_back_beside_commits, bucket, rounds=rounds)
    (committed, commits_refused), (seen, rolls_refused) = committer, roller
    print(f"{rounds} rounds: {commits_refused} commits and {rolls_refused} roll-backs were refused")
    reachable = {version.id for version in mosaic.history()}
    for tag in mosaic.tagged("left-"):
        reachable |= {each.id for each in mosaic.repository.ancestry(tag=tag)}
    # Whatever was published is so still, or was left under a tag.
    assert {*committed, *seen} <= reachable
    assert len({*committed}) >= rounds
    assert commits_refused + rolls_refused >= rounds
    assert min(commits_refused, rolls_refused) > 0
    # The rest is a matter of the next build.
    names = names_of(mosaic)
    build_of(mosaic)({period_tile_of(name) for name in names})
    check(mosaic, names)


def test_drivers_in_threads_of_one_memory_lose_nothing() -> None:
    mosaic = new()
    products = [product(n % 4, 1 + n, shard=n % 3) for n in range(12)]

    def drive(mine: list[str]) -> None:
        for name in mine:
            put(mosaic, name)
            build_of(mosaic)([period_tile_of(name)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(drive, [products[n::4] for n in range(4)]))
    check(mosaic, products)


def test_first_builds_of_many_periods_do_not_share_a_slot() -> None:
    objects = Objects.of(somewhere())
    years = [Period(date(year, 1, 1), date(year, 12, 31)) for year in range(2000, 2020)]
    with ThreadPoolExecutor(4) as pool:
        turned = [years[n:] + years[:n] for n in range(4)]
        found = list(pool.map(lambda mine: slots_of(objects, mine), turned))
    assert all(each == found[0] for each in found)
    assert sorted(found[0].values()) == list(range(20))


def test_a_reader_sees_one_version_in_one_dataset(tmp_path: Path) -> None:
    read_while_publishing(str(tmp_path), publications=5, readers=1)


@slow
def test_two_readers_of_twenty_publications_see_one_version_in_one_dataset(
    shared_place: str,
) -> None:
    read_while_publishing(shared_place, publications=20, readers=2)


def read_while_publishing(where: str, publications: int, readers: int) -> None:
    """Publish while others read, each time all of a row of tiles."""
    mosaic, over = new(where), CONTEXT.Event()
    made: dict[str, frozenset[float]] = {}

    def publish(value: int) -> None:
        put(mosaic, *(product(x, value) for x in range(4)))
        (version,) = build_of(mosaic)([period_tile_of(product(x, 0)) for x in range(4)]).versions
        made[version.short] = frozenset({float(sum(range(value + 1)))})

    publish(1)
    with running(drivers.read_until, readers, over, where, tiles=4) as told:
        for value in range(2, 2 + publications):
            publish(value)
        over.set()
        seen = [each for reader in told.by_all() for each in reader]
    print(f"{len(seen)} readings of {len({version for version, _ in seen})} versions")
    assert [(version, values) for version, values in seen if values != made[version]] == []
