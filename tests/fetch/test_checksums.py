"""Files against the checksums that their catalogue has of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from deepsalt.errors import ReadError
from deepsalt.fetch.checksums import fits, verified, with_checksums
from deepsalt.types import Acquisition, Asset
from tests.store.builders import acquisition

OF_ABC = {
    "sha256": "1220ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha1": "1114a9993e364706816aba3e25717850c26c9cd0d89d",
    "md5": "d50110900150983cd24fb0d6963f7d28e17f72",
}
"""Test vectors of FIPS 180 and RFC 1321, as multihashes."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "image.tif"
    path.write_bytes(b"abc")
    return path


def scene(file: Path) -> Acquisition:
    remote = Asset("quality", "https://example.com/quality.tif")
    return replace(acquisition(), assets=(Asset("image", str(file)), remote))


@pytest.mark.parametrize("name", OF_ABC)
def test_a_published_test_vector_fits(file: Path, name: str) -> None:
    assert fits(file, OF_ABC[name])


@pytest.mark.parametrize("name", OF_ABC)
def test_a_published_test_vector_with_another_last_digit_does_not_fit(
    file: Path, name: str
) -> None:
    assert not fits(file, OF_ABC[name][:-1] + "0")


@pytest.mark.parametrize("checksum", [None, "", "ff01abcd"], ids=["none", "empty", "unknown"])
def test_what_cannot_be_compared_fits(file: Path, checksum: str | None) -> None:
    assert fits(file, checksum)


def test_local_files_get_their_checksum_and_remote_ones_none(file: Path) -> None:
    local, remote = with_checksums(scene(file)).assets
    assert local.checksum == OF_ABC["sha256"]
    assert remote.checksum is None


def test_a_changed_file_is_refused_at_the_end_of_the_work(file: Path) -> None:
    known = with_checksums(scene(file))
    with verified(known):
        pass
    file.write_bytes(b"abd")
    with pytest.raises(ReadError, match=r"image.tif does not have the checksum"), verified(known):
        pass


def test_a_file_that_is_gone_is_one_sentence(file: Path) -> None:
    known = with_checksums(scene(file))
    file.unlink()
    with pytest.raises(ReadError, match="No such file"):
        with_checksums(known)
    with pytest.raises(ReadError, match="No such file"), verified(known):
        pass


def test_what_stops_the_work_is_not_hidden_by_a_checksum(file: Path) -> None:
    known = with_checksums(scene(file))
    file.write_bytes(b"abd")
    with pytest.raises(ZeroDivisionError), verified(known):
        raise ZeroDivisionError
