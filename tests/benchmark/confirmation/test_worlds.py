"""The confirmation worlds: fixed, within published ranges, unlike each other and the others."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from deepsalt.benchmark.confirmation.protocol import Protocol, grounds
from deepsalt.benchmark.confirmation.worlds import (
    RANGES,
    WORLDS,
    confirmation_digest,
    confirmation_worlds,
    draw_worlds,
)
from deepsalt.benchmark.data import Design, simulate_world
from deepsalt.benchmark.world.config import LAWS, SimulationConfig

DOCS = Path(__file__).resolve().parents[3] / "docs" / "benchmark" / "confirmation.md"
SMALL = Design(regions=2, sites=9, library=1)


@pytest.fixture(scope="module")
def simulated():
    worlds = confirmation_worlds()
    return [simulate_world(SMALL, world.seed, "enmap", world.config()) for world in worlds]


def test_the_docs_state_the_digest_of_the_file():
    assert f"`{confirmation_digest()}`" in DOCS.read_text()


def test_the_file_holds_what_is_drawn():
    assert confirmation_worlds() == draw_worlds()


@pytest.mark.parametrize("name", RANGES)
def test_parameters_lie_within_their_ranges_and_cover_them(name):
    low, high = RANGES[name]
    values = [getattr(world, name) for world in confirmation_worlds()]
    if name == "interaction":
        values = [w.interaction for w in confirmation_worlds() if w.law == "bilinear"]
    assert all(low <= value <= high for value in values)
    assert len(set(values)) == len(values)
    assert max(values) - min(values) > 0.6 * (high - low)


def test_each_law_has_as_many_worlds():
    laws = [world.law for world in confirmation_worlds()]
    assert {law: laws.count(law) for law in LAWS} == dict.fromkeys(LAWS, WORLDS // len(LAWS))


def test_worlds_differ_in_ground_and_spectra(simulated):
    for one, other in combinations(simulated, 2):
        assert not set(one.unseen.ec) & set(other.unseen.ec)
        assert not set(one.unseen.satellite[:, 20]) & set(other.unseen.satellite[:, 20])


def test_worlds_have_no_seed_and_no_specimen_of_the_development_worlds():
    rehearsed = grounds(Protocol(Path("x"), rehearsal=True))
    confirmed = grounds(Protocol(Path("x")))
    assert not {g.seed for g in rehearsed} & {g.seed for g in confirmed}
    assert {g.config.use for g in rehearsed} == {"train"}
    assert {g.config.use for g in confirmed} == {"demo"}


def test_development_worlds_are_as_they_were():
    world = simulate_world(Design(regions=2, sites=12, library=2), 0)
    found = [world.library.lab.mean(), np.nanmean(world.unseen.satellite), world.unseen.ec.mean()]
    # Taken before worlds could differ in law and salts.
    assert found == pytest.approx([0.38279837143, 0.38111463816, 1.4161681704], rel=1e-9)


def test_a_library_has_regions_of_its_own_in_every_world(simulated):
    for world in simulated:
        sites = {*world.pool.region, *world.known.region, *world.unseen.region}
        assert not set(world.library.region) & sites
        assert not set(world.pool.region) & set(world.unseen.region)


def test_another_sensor_sees_the_same_ground():
    world = confirmation_worlds()[0]
    one, other = (
        simulate_world(SMALL, world.seed, sensor, world.config()) for sensor in ("enmap", "prisma")
    )
    assert np.array_equal(one.unseen.ec, other.unseen.ec)
    assert (one.unseen.sensor, other.unseen.sensor) == ("enmap", "prisma")


def test_a_world_says_how_it_mixes():
    config = replace(SimulationConfig(), law="bilinear")
    assert simulate_world(SMALL, 0, "enmap", config).digest() != simulate_world(SMALL, 0).digest()
