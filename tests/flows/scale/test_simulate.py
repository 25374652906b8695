"""A simulated run: closed forms where there are any, the driver's rules, what always holds."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.access import HostLimit
from deepsalt.errors import UsageError
from flows.scale.figures import Figures
from flows.scale.simulate import Crew, Outcome, simulate
from flows.scale.workload import Workload
from tests.flows.scale.virtual import seconds_of_driver

FIGURES = Figures(connection_bytes_per_s=1e6, worker_bytes_per_s=1e9)
RATE = 1e4
"""Pixels per second of a worker."""
SCENE_S = 100.0
HOST = "archive.example.org"


def alike(scenes: int, *, fetch_mb: float = 0.0) -> Workload:
    return Workload.alike(
        scenes,
        pixels=round(SCENE_S * RATE),
        fetched_bytes=round(fetch_mb * 1e6),
        hosts=(HOST,) if fetch_mb else (),
    )


def crew(workers: int, **more: float) -> Crew:
    return Crew(workers, RATE, **more)


def test_one_worker_takes_the_sum_of_its_scenes() -> None:
    assert simulate(alike(7), [crew(1, start_s=30)]).seconds == pytest.approx(30 + 7 * SCENE_S)


def test_each_scene_also_takes_its_share_of_composing() -> None:
    assert simulate(alike(7), [crew(1, scene_s=5)]).seconds == pytest.approx(7 * (SCENE_S + 5))


@pytest.mark.parametrize("fetch_s", [20, 250], ids=["mapping is slower", "fetching is slower"])
def test_one_worker_fetches_the_next_scene_while_it_maps_one(fetch_s: int) -> None:
    work = alike(9, fetch_mb=fetch_s)
    found = simulate(work, [crew(1)], lambda _: HostLimit(1), figures=FIGURES)
    assert found.seconds == pytest.approx(fetch_s + 8 * max(fetch_s, SCENE_S) + SCENE_S)


@pytest.mark.parametrize("workers", [2, 5, 10])
def test_workers_that_wait_for_nothing_divide_the_time(workers: int) -> None:
    assert simulate(alike(40), [crew(workers)]).seconds == pytest.approx(40 / workers * SCENE_S)


@pytest.mark.parametrize("limit", [HostLimit(4), HostLimit(4, 4e6)], ids=["connections", "rate"])
@pytest.mark.parametrize("workers", [4, 50])
def test_a_busy_archive_sets_the_pace(limit: HostLimit, workers: int) -> None:
    work = alike(80, fetch_mb=1000)
    found = simulate(work, [crew(workers)], lambda _: limit, figures=FIGURES)
    assert found.seconds == pytest.approx(80 * 1000 / 4 + SCENE_S)


def test_what_all_workers_share_sets_the_pace() -> None:
    assert simulate(alike(50), [crew(50)], between_s=30).seconds == pytest.approx(50 * 30 + SCENE_S)


def mean_s(outcomes: list[Outcome]) -> float:
    return statistics.fmean(each.seconds for each in outcomes)


@pytest.mark.parametrize("per_hour", [1.0, 10.0])
def test_a_worker_taken_away_again_and_again_takes_the_time_of_the_formula(per_hour: float) -> None:
    # A scene begins until none of its seconds is interrupted: (exp(rt) - 1) (1/r + start).
    start_s, rate = 60.0, per_hour / 3600
    taken = crew(1, start_s=start_s, preemptions_per_hour=per_hour, notice_s=1e-6)
    found = [simulate(alike(300), [taken], seed=seed) for seed in range(20)]
    interruptions = 300 * math.expm1(rate * SCENE_S)
    assert mean_s(found) == pytest.approx(start_s + interruptions * (1 / rate + start_s), rel=0.02)
    counted = statistics.fmean(each.preemptions for each in found)
    assert counted == pytest.approx(interruptions, rel=0.1)


def test_a_notice_longer_than_a_scene_costs_the_start_of_another_worker_alone() -> None:
    taken = crew(1, start_s=60, preemptions_per_hour=10, notice_s=SCENE_S + 1)
    found = simulate(alike(100), [taken])
    assert found.preemptions > 10
    assert found.seconds == pytest.approx(100 * SCENE_S + 60 * (1 + found.preemptions), abs=60)


def test_nothing_is_wasted_if_no_worker_is_taken_away() -> None:
    found = simulate(alike(20), [crew(3)])
    assert (found.wasted_s, found.begun_again, found.preemptions) == (0.0, 0, 0)


def test_more_preemptions_make_a_run_longer() -> None:
    def at(per_hour: float) -> float:
        taken = crew(4, start_s=60, preemptions_per_hour=per_hour)
        return mean_s([simulate(alike(200), [taken], seed=seed) for seed in range(10)])

    assert at(0) < at(2) < at(8)


def test_a_scene_whose_workers_die_three_times_is_given_up() -> None:
    dies = crew(2, start_s=10, preemptions_per_hour=60)
    found = [simulate(alike(20), [dies], seed=seed) for seed in range(5)]
    assert any(each.quarantined for each in found)


def test_a_run_whose_workers_never_live_long_enough_for_a_scene_is_refused() -> None:
    hopeless = crew(2, start_s=1, preemptions_per_hour=3600 * 20 / SCENE_S, notice_s=1)
    with pytest.raises(UsageError, match="would not end"):
        simulate(alike(3), [hopeless])


def test_interruptions_do_not_use_up_the_pace_that_all_workers_share() -> None:
    taken = crew(12, start_s=0, preemptions_per_hour=10, notice_s=30)
    found = simulate(alike(30), [taken], between_s=40)
    assert 30 * 40 <= found.seconds < 2 * 30 * 40


def test_a_lost_scheduler_costs_the_scenes_under_way() -> None:
    found = simulate(alike(100), [crew(4)], scheduler_losses_per_hour=2, scheduler_start_s=60)
    assert found.seconds > 100 / 4 * SCENE_S
    assert found.begun_again > 0
    assert set(found.done) == {1}


def test_a_seed_gives_the_same_run_again() -> None:
    taken = [crew(5, preemptions_per_hour=5, start_s=20)]
    assert simulate(alike(50), taken, seed=3) == simulate(alike(50), taken, seed=3)
    assert simulate(alike(50), taken, seed=3) != simulate(alike(50), taken, seed=4)


@pytest.mark.parametrize(
    ("workers", "limit", "fetch_mb"),
    [
        (1, HostLimit(2), 50),
        (3, HostLimit(2), 50),
        (3, HostLimit(), 50),
        (5, HostLimit(2, 1e6), 130),
        (8, HostLimit(3), 400),
        (4, HostLimit(), 0),
    ],
)
def test_the_driver_itself_takes_as_long_in_virtual_time(
    workers: int, limit: HostLimit, fetch_mb: float
) -> None:
    work = alike(41, fetch_mb=fetch_mb)
    simulated_s = simulate(work, [crew(workers)], lambda _: limit, figures=FIGURES).seconds
    driven_s = seconds_of_driver(work, crew(workers), lambda _: limit, figures=FIGURES)
    assert simulated_s == pytest.approx(driven_s)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Workload, list[Crew], HostLimit]:
    number = draw(st.integers(1, 30))
    remote = draw(st.booleans())
    sizes = st.integers(1, 200)
    pixels = [draw(sizes) * 10_000 for _ in range(number)]
    sent = [draw(sizes) * 1_000_000 if remote else 0 for _ in range(number)]
    work = Workload(pixels, sent, [(HOST,) if remote else ()] * number)
    limit = HostLimit(draw(st.integers(1, 5)), draw(st.sampled_from([None, 1e6, 1e7])))
    crews = [
        Crew(
            draw(st.integers(1, 6)),
            draw(st.sampled_from([5e3, 2e4])),
            start_s=draw(st.sampled_from([0.0, 30.0])),
            preemptions_per_hour=draw(st.sampled_from([0.0, 1.0, 10.0])),
            notice_s=draw(st.sampled_from([0.0, 30.0, 500.0])),
            silence_s=draw(st.sampled_from([0.0, 30.0])),
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    return work, crews, limit


@settings(max_examples=60, deadline=None)
@given(run=runs(), losses=st.sampled_from([0.0, 0.5]), between_s=st.sampled_from([0.0, 40.0]))
def test_a_run_ends_with_each_scene_once_and_no_sooner_than_its_resources_allow(
    run: tuple[Workload, list[Crew], HostLimit], losses: float, between_s: float
) -> None:
    work, crews, limit = run
    found = simulate(
        work,
        crews,
        lambda _: limit,
        figures=FIGURES,
        between_s=between_s,
        scheduler_losses_per_hour=losses,
    )
    given_up = [int(scene in found.quarantined) for scene in range(len(work))]
    assert [a + b for a, b in zip(found.done, given_up, strict=True)] == [1] * len(work)
    assert found.wasted_s >= 0
    assert found.begun_again >= 0
    mapped = [scene for scene, times in enumerate(found.done) if times]
    pixels = sum(work.pixels[scene] for scene in mapped)
    sent = sum(work.fetched_bytes[scene] for scene in mapped)
    of_host = limit.bytes_per_s or FIGURES.connection_bytes_per_s * (limit.connections or 0)
    latest_s = found.seconds * (1 + 1e-9)
    assert latest_s >= pixels / sum(each.workers * each.pixels_per_s for each in crews)
    assert latest_s >= sent / of_host
    assert latest_s >= len(mapped) * between_s
