"""Objects of a bucket whose server fails: what obstore retries, and what we add to it."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from deepsalt.access import Reach
from deepsalt.errors import AwayError, ReadError
from deepsalt.fetch.answers import STEP_BYTES
from deepsalt.fetch.objects import Session
from deepsalt.fetch.patience import Patience
from deepsalt.fetch.share import PART_BYTES, Share
from deepsalt.types import Asset
from tests.servers.ranges import SOUND, Fault, bucket_server

SIZE = 2 * PART_BYTES + 12345  # three ranges
BODY = np.random.default_rng(0).bytes(SIZE)
NAMES = ("a.TIF", "b.TIF")
HASTY = Patience(tries=3, first_wait_s=0.01, longest_wait_s=0.05, silence_s=0.5)
Faults = Callable[[int, str], Fault]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "bucket").mkdir()
    for name in NAMES:
        (folder / "bucket" / name).write_bytes(BODY)
    return folder


async def fetch(
    folder: Path, *names: str, patience: Patience = HASTY, share: Share | None = None, **stated: str
) -> list[bytes]:
    """Fetch objects of the bucket one after the other, as one scene's."""
    found = []
    async with Session(patience, Reach(), {"s3://bucket": share or Share()}) as session:
        for name in names:
            asset = Asset("image", f"s3://bucket/{name}", **stated)  # type: ignore[arg-type]
            await session.download(asset, await session.describe(asset), folder / name)
            found.append((folder / name).read_bytes())
    return found


def once(number: int, fault: Fault) -> Faults:
    """Let one request go wrong; the first one asks for the size, the others for ranges."""
    return lambda n, path: fault if n == number else SOUND


def after_the_size(fault: Fault) -> Faults:
    return lambda n, path: fault if n else SOUND


def test_buckets_are_asked_with_the_credentials_of_the_environment(
    root: Path, tmp_path: Path
) -> None:
    with bucket_server(root) as server:
        assert asyncio.run(fetch(tmp_path, "a.TIF")) == [BODY]
    assert all("Credential=KEYID/" in header for header in server.signed)
    assert len(server.signed) == len(server.asked) == 1 + 3


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        *((n, Fault(status=status)) for n in (0, 2) for status in (500, 503, 429, 408)),
        *((n, Fault(silent_s=2.0)) for n in (0, 2)),
        (2, Fault(cut=STEP_BYTES + 5)),
        (2, Fault(cut=1000, reset=True)),
        (2, Fault(longer=10)),
        (2, Fault(drip_s=0.01)),
    ],
    ids=str,
)
def test_what_can_pass_is_tried_again(
    root: Path, tmp_path: Path, number: int, fault: Fault
) -> None:
    with bucket_server(root, faults=once(number, fault)):
        assert asyncio.run(fetch(tmp_path, "a.TIF")) == [BODY]


def test_a_range_goes_on_where_it_broke_off(root: Path, tmp_path: Path) -> None:
    with bucket_server(root, faults=once(1, Fault(cut=3_000_000))) as server:
        assert asyncio.run(fetch(tmp_path, "a.TIF", share=Share(1))) == [BODY]
    assert sum(size for _, size in server.sent) < SIZE + STEP_BYTES


def test_a_link_that_breaks_after_every_step_still_brings_the_file(
    root: Path, tmp_path: Path
) -> None:
    with bucket_server(root, faults=after_the_size(Fault(cut=2 * STEP_BYTES))) as server:
        assert asyncio.run(fetch(tmp_path, "a.TIF")) == [BODY]
    assert len(server.asked) > 3 * HASTY.tries


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

    with (
        bucket_server(root, faults=faults) as server,
        pytest.raises(ReadError, match=reason) as said,
    ):
        asyncio.run(fetch(tmp_path, "a.TIF"))
    assert not isinstance(said.value, AwayError)
    assert len(set(server.asked)) == len(server.asked)


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (lambda n, path: Fault(status=503), "HTTP status 503"),
        (after_the_size(Fault(cut=1000)), "could not be fetched"),
        (after_the_size(Fault(drip_s=0.01)), "could not be fetched"),
    ],
    ids=["storm", "cut", "byte by byte"],
)
def test_what_does_not_end_is_given_up(
    root: Path, tmp_path: Path, faults: Faults, reason: str
) -> None:
    with bucket_server(root, faults=faults) as server, pytest.raises(AwayError, match=reason):
        asyncio.run(fetch(tmp_path, "a.TIF"))
    assert len(server.asked) <= 1 + 3 * HASTY.tries


@pytest.mark.parametrize("cut", [None, 3_000_000], ids=["between ranges", "within a range"])
def test_an_object_that_is_replaced_meanwhile_is_never_mixed(
    root: Path, tmp_path: Path, cut: int | None
) -> None:
    def faults(number: int, path: str) -> Fault:
        return Fault(cut=cut) if number < 2 else Fault(headers={"ETag": '"another"'})

    with (
        bucket_server(root, faults=faults),
        pytest.raises(AwayError, match="changes while it is fetched"),
    ):
        asyncio.run(fetch(tmp_path, "a.TIF", share=Share(1)))


def test_a_flipped_bit_is_found_by_the_checksum_and_fetched_again(
    root: Path, tmp_path: Path
) -> None:
    checksum = "1220" + hashlib.sha256(BODY).hexdigest()
    with bucket_server(root, faults=once(2, Fault(flip=True))):
        assert asyncio.run(fetch(tmp_path, "a.TIF", checksum=checksum)) == [BODY]


def test_objects_of_a_bucket_come_by_the_same_connections(root: Path, tmp_path: Path) -> None:
    with bucket_server(root) as server:
        assert asyncio.run(fetch(tmp_path, *NAMES, share=Share(1))) == [BODY, BODY]
    assert len(server.asked) == 2 * (1 + 3)
    assert len(server.clients) == 1


def test_a_stop_ends_a_wait_to_ask_again_at_once(root: Path, tmp_path: Path) -> None:
    patient = Patience(first_wait_s=30.0)

    async def stopped() -> None:
        work = asyncio.create_task(fetch(tmp_path, "a.TIF", patience=patient))
        while not server.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        work.cancel()
        async with asyncio.timeout(1.0):
            with suppress(asyncio.CancelledError):
                await work

    with bucket_server(root, faults=lambda n, path: Fault(status=503)) as server:
        asyncio.run(stopped())
        assert len(server.asked) == 1
