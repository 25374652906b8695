"""What a person sees of long work: bytes, rate, and an end that can be believed."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress

from flows.progress import Bars, Stage, bars, clock

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def stage(done: int, *, done_mb: int = 0, of_mb: int = 0) -> Stage:
    found = Stage(RichProgress().add_task(""), 10, of_mb * 10**6, began_s=0.0)
    found.done, found.done_bytes = done, done_mb * 10**6
    return found


def test_the_end_follows_from_bytes_where_these_are_known() -> None:
    """Nine of ten scenes are done, and the last one is as large as all of them."""
    said = stage(9, done_mb=50, of_mb=100).rate(NOON, now_s=600.0)
    assert said == "50 of 100 MB, 0.1 MB/s, ends about 12:10"


def test_the_end_follows_from_units_where_bytes_are_not_known() -> None:
    assert stage(5).rate(NOON, now_s=3600.0) == "ends about 13:00"


def test_no_end_is_told_before_anything_is_done() -> None:
    assert stage(0).rate(NOON, now_s=60.0) == ""


def test_no_end_is_told_when_it_is_there() -> None:
    assert stage(10, done_mb=100, of_mb=100).rate(NOON, now_s=100.0) == "100 of 100 MB, 1.0 MB/s"


def test_an_end_on_another_day_says_which() -> None:
    assert clock(NOON, NOON + timedelta(hours=30)) == "Sat 02 May 18:00"


def test_a_stage_that_is_announced_again_grows() -> None:
    shown = RichProgress(console=Console(file=StringIO()), disable=True)
    progress = Bars(shown)
    progress.start("tiles", 3)
    progress.advance("tiles", 3)
    progress.start("tiles", 2)
    (task,) = shown.tasks
    assert (task.completed, task.total) == (3, 5)


def test_an_error_before_any_stage_is_all_that_is_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="none"), bars():
        raise ValueError("none")
    assert capsys.readouterr().err == ""


def test_a_note_is_text_whatever_stands_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    with bars() as progress:
        progress.note("r15[oo] of folder [/x] \x1b[31mred")
    assert capsys.readouterr().err == "r15[oo] of folder [/x] \N{REPLACEMENT CHARACTER}[31mred\n"
