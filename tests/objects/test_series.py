"""Numbered series: many writers, each word lands once, only the highest counts."""

import multiprocessing
import os
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deepsalt.errors import MissingObjectError, StoreError, UsageError
from deepsalt.objects import (
    Objects,
    append,
    heads,
    history,
    latest,
    read_number,
    series,
    trim,
)
from tests.objects.conftest import become
from tests.objects.loopback import Loopback


def adding(word: str) -> "series.Make":
    """Return a step from the words so far to those and one more."""
    return lambda number, before: (before or b"") + f"{number}:{word} ".encode()


def test_a_series_begins_with_nothing(objects: Objects) -> None:
    assert latest(objects, "a/b") is None
    assert [*history(objects, "a/b")] == []
    assert heads(objects, "a") == {}


def test_each_word_follows_the_one_before(objects: Objects) -> None:
    assert append(objects, "a/b", adding("x")) == (1, b"1:x ")
    assert append(objects, "a/b", adding("y")) == (2, b"1:x 2:y ")
    assert latest(objects, "a/b") == (2, b"1:x 2:y ")
    assert read_number(objects, "a/b", 1) == b"1:x "
    assert [*history(objects, "a/b")] == [(1, b"1:x "), (2, b"1:x 2:y ")]


def test_series_do_not_mix(objects: Objects) -> None:
    for name, times in (("a/b", 2), ("a/bc", 1), ("a/b/c", 3)):
        for _ in range(times):
            append(objects, name, adding("x"))
    assert heads(objects, "a") == {"b": 2, "bc": 1, "b/c": 3}
    assert latest(objects, "a/b") == (2, b"1:x 2:x ")


def test_what_is_no_number_is_passed_over(objects: Objects) -> None:
    append(objects, "a", adding("x"))
    for name in ("notes.txt", "2.json", "0000000009.json.bak", "deep/0000000009.json"):
        objects.write(f"a/{name}", b"")
    assert latest(objects, "a") == (1, b"1:x ")


def test_entries_are_in_the_order_of_their_numbers_beyond_nine(objects: Objects) -> None:
    for _ in range(11):
        append(objects, "a", adding("x"))
    assert [number for number, _ in history(objects, "a")] == [*range(1, 12)]


def test_who_makes_nothing_adds_nothing(objects: Objects) -> None:
    def refuse(number: int, before: bytes | None) -> bytes:
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        append(objects, "a", refuse)
    assert latest(objects, "a") is None


def test_who_is_overtaken_sees_what_the_other_said(objects: Objects) -> None:
    seen: list[bytes | None] = []

    def make(number: int, before: bytes | None) -> bytes:
        seen.append(before)
        if len(seen) == 1:
            append(objects, "a", adding("other"))
        return adding("mine")(number, before)

    assert append(objects, "a", make) == (2, b"1:other 2:mine ")
    assert seen == [None, b"1:other "]


def test_a_number_that_is_not_there_is_missing(objects: Objects) -> None:
    with pytest.raises(MissingObjectError):
        read_number(objects, "a", 1)


def test_threads_that_append_lose_nothing(objects: Objects) -> None:
    start = threading.Barrier(6)

    def work(who: int) -> None:
        start.wait()
        for each in range(3):
            append(objects, "a", adding(f"{who}.{each}"))

    with ThreadPoolExecutor(6) as pool:
        [*pool.map(work, range(6))]
    check(objects, 6, 3)


@pytest.mark.parametrize("fault", ["lose", "drop", (503, "SlowDown")])
def test_a_word_lands_once_although_an_answer_was_lost(fault: str, loopback: Loopback) -> None:
    objects = Objects.of("s3://salt/store")
    append(objects, "a", adding("x"))
    loopback.faults = [None, None, fault]  # list, read, create
    assert append(objects, "a", adding("y")) == (2, b"1:x 2:y ")


def check(objects: Objects, writers: int, words: int) -> None:
    """Each word is there once, and every number is there."""
    found = latest(objects, "a")
    assert found is not None
    said = found[1].decode().split()
    assert [int(each.partition(":")[0]) for each in said] == [*range(1, writers * words + 1)]
    count = Counter(each.partition(":")[2] for each in said)
    assert count == {f"{who}.{each}": 1 for who in range(writers) for each in range(words)}


def race(where: str, who: int, words: int, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    for each in range(words):
        append(Objects.of(where), "a", adding(f"{who}.{each}"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "s3"])
def test_processes_that_append_lose_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(tmp_path / "store")
    if kind == "s3":
        become(monkeypatch, "admin", request.getfixturevalue("seaweed"))
        where = f"s3://salt/{tmp_path.name}"
    environment = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    with ProcessPoolExecutor(6, multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(race, where, who, 10, environment) for who in range(6)]:
            done.result()
    check(Objects.of(where), 6, 10)


def age(objects: Objects, number: int, by: timedelta) -> None:
    path = objects.path / f"a/{number:010d}.json"
    then = path.stat().st_mtime - by.total_seconds()
    os.utime(path, (then, then))


def test_trim_removes_what_no_writer_can_take_for_the_next(tmp_path: Path) -> None:
    objects = Objects.of(tmp_path)
    for _ in range(4):
        append(objects, "a", adding("x"))
    for number in (1, 3):
        age(objects, number, series.WRITER_PATIENCE + timedelta(minutes=1))
    assert trim(objects, "a", keep=1) == 2
    assert [number for number, _ in history(objects, "a")] == [2, 4]


@pytest.mark.parametrize(("keep", "left"), [(0, [3]), (1, [3]), (2, [2, 3]), (9, [1, 2, 3])])
def test_trim_never_removes_the_highest(keep: int, left: list[int], tmp_path: Path) -> None:
    objects = Objects.of(tmp_path)
    for number in range(1, 4):
        append(objects, "a", adding("x"))
        age(objects, number, timedelta(days=10 - number))
    trim(objects, "a", keep=keep)
    assert [number for number, _ in history(objects, "a")] == left
    assert append(objects, "a", adding("y"))[0] == 4


def test_trimming_an_empty_series_removes_nothing(objects: Objects) -> None:
    assert trim(objects, "a") == 0


def test_who_slept_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "WRITER_PATIENCE", timedelta(seconds=-1))
    with pytest.raises(StoreError, match="while this machine slept"):
        append(Objects.of(tmp_path), "a", adding("x"))


class Writers(RuleBasedStateMachine):
    """Writers that look, stop, and go on later, and somebody who trims, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = Objects.of(f"memory://machine-{id(self)}-{os.urandom(4).hex()}")
        self.said: list[str] = []
        self.words = 0

    @rule(others=st.integers(0, 3))
    def append(self, others: int) -> None:
        """Append while others do so between the look and the creation."""
        self.words += 1
        word, left = f"w{self.words}", [others]

        def make(number: int, before: bytes | None) -> bytes:
            if left[0]:
                left[0] -= 1
                self.words += 1
                append(self.objects, "a", adding(f"w{self.words}"))
                self.said.append(f"w{self.words}")
            return adding(word)(number, before)

        append(self.objects, "a", make)
        self.said.append(word)

    @rule(keep=st.integers(0, 3))
    def trim(self, keep: int) -> None:
        trim(self.objects, "a", keep=keep)

    @invariant()
    def every_word_is_there_once_in_order(self) -> None:
        found = latest(self.objects, "a")
        text = "" if found is None else found[1].decode()
        assert [each.partition(":")[2] for each in text.split()] == self.said


Writers.TestCase.settings = settings(max_examples=15, stateful_step_count=8, deadline=None)
TestWriters = Writers.TestCase
