"""One object from a server that fails in every way we know of: what passes, and what never does."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepsalt.access import Reach, host_of
from deepsalt.errors import AwayError, ReadError, StoreError
from deepsalt.fetch.answers import STEP_BYTES
from deepsalt.fetch.objects import Session
from deepsalt.fetch.patience import Patience
from deepsalt.fetch.share import PART_BYTES, Share
from deepsalt.types import Asset
from tests.servers.ranges import SOUND, Fault, file_server

NAME = "image.TIF"
SIZE = 2 * PART_BYTES + 12345  # three ranges
BODY = np.random.default_rng(0).bytes(SIZE)
LOOPBACK = Reach(frozenset({"loopback"}))
HASTY = Patience(tries=3, budget=12, first_wait_s=0.01, longest_wait_s=0.05, silence_s=1.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / NAME).write_bytes(BODY)
    (folder / "small.TIF").write_bytes(BODY[:1000])
    return folder


def fetch(
    url: str,
    target: Path,
    patience: Patience = HASTY,
    reach: Reach = LOOPBACK,
    share: Share | None = None,
    **stated: object,
) -> bytes:
    """Fetch `url` as a run does; returns what lies in `target` then."""
    shares = {host_of(url): share or Share()}
    asset = Asset("image", f"{url}?signature=open-sesame", **stated)  # type: ignore[arg-type]

    async def work() -> None:
        async with Session(patience, reach, shares) as session:
            await session.download(asset, await session.describe(asset), target)

    asyncio.run(work())
    return target.read_bytes()


def once(number: int, fault: Fault) -> Callable[[int, str], Fault]:
    """Let one request go wrong."""
    return lambda n, path: fault if n == number else SOUND


def always(fault: Fault) -> Callable[[int, str], Fault]:
    return lambda n, path: fault


def test_an_object_comes_in_ranges_and_whole(root: Path, tmp_path: Path) -> None:
    with file_server(root) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out") == BODY
    assert len(server.asked) == 1 + 3  # its size, then its ranges
    assert all("bytes=" in asked for asked in server.asked)


def test_ranges_are_on_their_way_together(root: Path, tmp_path: Path) -> None:
    with file_server(root, latency_s=0.3) as server:
        fetch(f"{server.url}/{NAME}", tmp_path / "out")
    assert server.open_most >= 3  # the server may still be ending the question for the size


def test_a_connection_serves_one_range_after_the_other(root: Path, tmp_path: Path) -> None:
    with file_server(root) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out", share=Share(1)) == BODY
    assert len(server.asked) == 1 + 3
    assert len(server.clients) == 1


@pytest.mark.parametrize("fault", [SOUND, Fault(whole=True)], ids=["ranges", "whole"])
def test_an_object_takes_as_long_as_its_share_says(
    root: Path, tmp_path: Path, fault: Fault
) -> None:
    slow = Share(2, 15e6)
    with file_server(root, faults=always(fault)) as server:
        begin_s = time.monotonic()
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out", share=slow) == BODY
    assert time.monotonic() - begin_s >= SIZE / 15e6


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=503),
        Fault(status=429),
        Fault(cut=STEP_BYTES + 5),
        Fault(cut=1000, reset=True),
        Fault(longer=10),
        Fault(silent_s=2.0),
        Fault(drip_s=0.01),
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [0, 2], ids=["size", "range"])
def test_what_can_pass_is_tried_again(
    root: Path, tmp_path: Path, fault: Fault, number: int
) -> None:
    with file_server(root, faults=once(number, fault)) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out") == BODY


def test_one_answer_that_gives_another_size_is_asked_for_again(root: Path, tmp_path: Path) -> None:
    with file_server(root, faults=once(2, Fault(total=SIZE - 7))) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out") == BODY


@pytest.mark.parametrize("total", [SIZE - 7, SIZE + 7, 10], ids=["short", "long", "tiny"])
def test_a_wrong_size_is_never_a_file(root: Path, tmp_path: Path, total: int) -> None:
    with (
        file_server(root, faults=once(0, Fault(total=total))) as server,
        pytest.raises(ReadError, match=r"changes while it is fetched|HTTP status 416"),
    ):
        fetch(f"{server.url}/{NAME}", tmp_path / "out")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "gone"), (410, "gone"), (401, "refused"), (403, "expired"), (400, "status 400")],
)
@pytest.mark.parametrize("number", [0, 2], ids=["size", "range"])
def test_what_cannot_pass_is_not_tried_again(
    root: Path, tmp_path: Path, status: int, reason: str, number: int
) -> None:
    def faults(n: int, path: str) -> Fault:
        return Fault(status=status) if n >= number else SOUND

    with file_server(root, faults=faults) as server, pytest.raises(ReadError, match=reason) as said:
        fetch(f"{server.url}/{NAME}", tmp_path / "out")
    assert not isinstance(said.value, AwayError)
    assert "open-sesame" not in str(said.value)
    assert len(server.asked) <= number + 3  # the ranges on their way together, none twice
    assert len(set(server.asked)) == len(server.asked)


def test_a_storm_that_does_not_end_is_given_up(root: Path, tmp_path: Path) -> None:
    with (
        file_server(root, faults=always(Fault(status=500))) as server,
        pytest.raises(AwayError, match=r"HTTP status 500\); run again") as said,
    ):
        fetch(f"{server.url}/{NAME}", tmp_path / "out")
    assert len(server.asked) == HASTY.tries
    assert "open-sesame" not in str(said.value)


def test_the_failures_of_all_ranges_share_one_budget(root: Path, tmp_path: Path) -> None:
    tireless = Patience(tries=100, budget=12, first_wait_s=0.01, longest_wait_s=0.02)

    def faults(number: int, path: str) -> Fault:
        return Fault(cut=10) if number else SOUND

    with file_server(root, faults=faults) as server, pytest.raises(AwayError):
        fetch(f"{server.url}/{NAME}", tmp_path / "out", tireless)
    assert 12 < len(server.asked) <= 12 + 1 + 3


def test_a_range_goes_on_where_it_broke_off(root: Path, tmp_path: Path) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(cut=3 * STEP_BYTES) if number in {1, 2} else SOUND  # one is a full range

    with file_server(root, faults=faults) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out") == BODY
    begins = {int(asked.rpartition("=")[2].partition("-")[0]) for asked in server.asked}
    assert any(begin % PART_BYTES for begin in begins)


def test_a_link_that_breaks_after_every_step_still_brings_the_file(
    root: Path, tmp_path: Path
) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(cut=4 * STEP_BYTES) if number else SOUND

    with file_server(root, faults=faults) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out") == BODY
    assert len(server.asked) > HASTY.budget


def test_a_server_that_asks_to_wait_is_left_alone_so_long(root: Path, tmp_path: Path) -> None:
    storm_ends = time.monotonic() + 1.0
    moments: list[float] = []

    def faults(number: int, path: str) -> Fault:
        moments.append(time.monotonic())
        busy = moments[-1] < storm_ends
        return Fault(status=429, headers={"Retry-After": "2"}) if busy else SOUND

    with file_server(root, faults=faults) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out") == BODY
    assert len(server.asked) == 1 + 1 + 3  # refused, size, ranges
    assert moments[1] - moments[0] >= 1.9


def test_a_server_that_asks_for_hours_is_not_waited_for(root: Path, tmp_path: Path) -> None:
    fault = Fault(status=503, headers={"Retry-After": "7200"})
    with (
        file_server(root, faults=always(fault)) as server,
        pytest.raises(AwayError, match="7200 seconds"),
    ):
        fetch(f"{server.url}/{NAME}", tmp_path / "out")


def test_a_server_without_ranges_sends_the_whole(root: Path, tmp_path: Path) -> None:
    with file_server(root, faults=always(Fault(whole=True))) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out") == BODY


def test_a_server_without_ranges_may_break_off(root: Path, tmp_path: Path) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(whole=True, cut=5_000_000) if number == 2 else Fault(whole=True)

    with file_server(root, faults=faults) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out") == BODY


def test_a_login_page_is_not_taken_for_the_file(root: Path, tmp_path: Path) -> None:
    page = Fault(whole=True, headers={"Content-Type": "text/html; charset=utf-8"})
    with (
        file_server(root, faults=always(page)) as server,
        pytest.raises(ReadError, match="web page"),
    ):
        fetch(f"{server.url}/small.TIF", tmp_path / "out")


def test_another_size_than_the_catalogue_says_is_refused(root: Path, tmp_path: Path) -> None:
    with (
        file_server(root) as server,
        pytest.raises(ReadError, match="has 1000 bytes, but its catalogue says 999"),
    ):
        fetch(f"{server.url}/small.TIF", tmp_path / "out", size_bytes=999)


def test_a_flipped_bit_is_found_by_the_checksum_and_fetched_again(
    root: Path, tmp_path: Path
) -> None:
    checksum = "1220" + hashlib.sha256(BODY).hexdigest()
    with file_server(root, faults=once(2, Fault(flip=True))) as server:
        assert fetch(f"{server.url}/{NAME}", tmp_path / "out", checksum=checksum) == BODY
    assert len(server.asked) == 1 + 3 + 3


def test_a_checksum_that_never_fits_is_refused(root: Path, tmp_path: Path) -> None:
    checksum = "1220" + hashlib.sha256(b"another file").hexdigest()
    with (
        file_server(root) as server,
        pytest.raises(ReadError, match="does not have the checksum"),
    ):
        fetch(f"{server.url}/small.TIF", tmp_path / "out", checksum=checksum)


def test_nobody_there_is_given_up_after_some_tries(tmp_path: Path) -> None:
    with file_server(tmp_path) as server:
        url = server.url
    with pytest.raises(AwayError, match="run again"):
        fetch(f"{url}/{NAME}", tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_an_error_of_the_store(
    root: Path, tmp_path: Path
) -> None:
    with file_server(root) as server, pytest.raises(StoreError):
        fetch(f"{server.url}/small.TIF", tmp_path / "missing" / "out")


def test_a_file_that_is_replaced_meanwhile_is_never_mixed(root: Path, tmp_path: Path) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(headers={"ETag": '"another"'}) if number >= 3 else SOUND

    with (
        file_server(root, faults=faults) as server,
        pytest.raises(AwayError, match="changes while it is fetched"),
    ):
        fetch(f"{server.url}/{NAME}", tmp_path / "out")


def test_what_is_no_url_of_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be opened as an object"):
        fetch("ftp://host/file.TIF", tmp_path / "out")
