"""Publishing what was held, rolling back, and builds before, between and after."""

from contextlib import nullcontext

import pytest
from icechunk import Repository

from deepsalt.errors import OvertakenError, UsageError, VersionMissingError
from deepsalt.versions import drop, held, open_mosaic, publish, roll_back
from deepsalt.versions.commit import HELD
from tests.versions.world import PX, build_of, check, new, period_tile_of, product, put, withdraw

A, B, C = product(0, 3), product(1, 5, shard=2), product(0, 7, shard=3)
PERIOD_TILES = [period_tile_of(A), period_tile_of(B)]


def test_a_held_version_is_published_when_it_is_asked_for(place: str) -> None:
    mosaic = new(place)
    put(mosaic, A)
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, B)
    (version,) = build_of(mosaic)(PERIOD_TILES, hold=True).versions
    check(mosaic, [A], [B])
    assert held(mosaic) == (version,)
    assert open_mosaic(mosaic, version=version.short).sizes["x"] == 4 * PX
    publish(mosaic, version.short)
    check(mosaic, [A, B])
    assert held(mosaic) == ()
    assert next(mosaic.history()) == version


def test_the_first_version_may_be_held() -> None:
    mosaic = new()
    put(mosaic, A)
    (version,) = build_of(mosaic)(PERIOD_TILES, hold=True).versions
    assert mosaic.head() is None
    publish(mosaic, version.id)
    check(mosaic, [A])


def test_a_held_version_that_was_overtaken_has_to_be_built_again() -> None:
    mosaic = new()
    put(mosaic, A)
    (version,) = build_of(mosaic)(PERIOD_TILES, hold=True).versions
    put(mosaic, B)
    build_of(mosaic)(PERIOD_TILES)
    with pytest.raises(OvertakenError, match="build again"):
        publish(mosaic, version.short)
    check(mosaic, [A, B])


def test_a_held_version_can_be_dropped() -> None:
    mosaic = new()
    put(mosaic, A)
    (version,) = build_of(mosaic)(PERIOD_TILES, hold=True).versions
    drop(mosaic, version.short)
    assert held(mosaic) == ()
    assert mosaic.tagged(HELD) == {}


def test_a_roll_back_can_be_taken_back(place: str) -> None:
    mosaic = new(place)
    put(mosaic, A)
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, B)
    (bad,) = build_of(mosaic)(PERIOD_TILES).versions
    roll_back(mosaic)
    check(mosaic, [A], [B])
    roll_back(mosaic, bad.short)
    check(mosaic, [A, B])
    roll_back(mosaic)
    check(mosaic, [A], [B])


def test_a_build_after_a_roll_back_makes_what_is_wanted_now() -> None:
    mosaic = new()
    put(mosaic, A)
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, B)
    build_of(mosaic)(PERIOD_TILES)
    roll_back(mosaic)
    withdraw(mosaic, B)
    put(mosaic, C)
    build_of(mosaic)(PERIOD_TILES)
    check(mosaic, [A, C], [B])


def test_a_build_that_a_roll_back_overtakes_publishes_what_is_wanted() -> None:
    mosaic = new()
    put(mosaic, A)
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, B)
    build_of(mosaic)(PERIOD_TILES)

    moved = []

    def rolled(work, items):  # type: ignore[no-untyped-def]
        done = [work(item) for item in items]
        if not moved:
            moved.append(roll_back(mosaic))
        return done

    put(mosaic, C)
    build_of(mosaic, run=rolled)(PERIOD_TILES)
    check(mosaic, [A, B, C])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda m, v: roll_back(m), UsageError, "no version before"),
        (lambda m, v: roll_back(m, v.short), UsageError, "already published"),
        (lambda m, v: roll_back(m, "ZZZ"), VersionMissingError, "no version 'ZZZ'"),
        (lambda m, v: publish(m, v.short), UsageError, "not held back"),
        (lambda m, v: drop(m, v.short), UsageError, "not held back"),
        (lambda m, v: open_mosaic(m, version="ZZZ"), VersionMissingError, "the newest are"),
        (lambda m, v: m.find(""), VersionMissingError, "no version"),
    ],
    ids=["no-parent", "same", "unknown", "publish", "drop", "open", "nothing"],
)
def test_changes_that_cannot_be_are_refused(change, error, said) -> None:  # type: ignore[no-untyped-def]
    mosaic = new()
    put(mosaic, A)
    build_of(mosaic)(PERIOD_TILES)
    version = mosaic.head()
    with pytest.raises(error, match=said):
        change(mosaic, version)
    check(mosaic, [A])


def test_a_held_version_is_not_rolled_back_to() -> None:
    mosaic = new()
    put(mosaic, A)
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, B)
    (version,) = build_of(mosaic)(PERIOD_TILES, hold=True).versions
    with pytest.raises(UsageError, match="publish it instead"):
        roll_back(mosaic, version.short)


@pytest.mark.parametrize("change", ["roll_back", "publish"])
def test_a_change_that_a_build_overtakes_at_the_last_moment_changes_nothing(
    place: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaic = new(place)
    put(mosaic, A)
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, B)
    build_of(mosaic)(PERIOD_TILES)
    put(mosaic, C)
    waiting = build_of(mosaic)(PERIOD_TILES, hold=True).versions[0]
    original = Repository.reset_branch

    def overtaken(repository, *args, **options):  # type: ignore[no-untyped-def]
        build_of(mosaic, why="faster")(PERIOD_TILES)
        original(repository, *args, **options)

    monkeypatch.setattr(Repository, "reset_branch", overtaken)
    monkeypatch.setattr("deepsalt.versions.storage.locked", lambda folder: nullcontext())
    with pytest.raises(OvertakenError, match="nothing changed"):
        roll_back(mosaic) if change == "roll_back" else publish(mosaic, waiting.id)
    head = mosaic.head()
    assert head is not None
    assert head.why == "faster"
    check(mosaic, [A, B, C])
