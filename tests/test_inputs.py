"""Files of others: which are opened, how much of them is read, how deep they nest."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.geometry import read_area
from deepsalt.documents import encode
from deepsalt.documents import read_json as read_stac
from deepsalt.errors import DeepsaltError, FormatError
from deepsalt.fetch.checksums import fits, with_checksums
from deepsalt.inputs import MAX_DEPTH, open_regular, parse_json, read_regular, require_regular
from deepsalt.model.card import CARD_FILE, WEIGHTS_FILE
from deepsalt.model.load import model_ref
from deepsalt.objects import Objects
from deepsalt.scenes.geotiff import open_raster
from deepsalt.scenes.prisma.file import Product
from deepsalt.spectral.table import read_table
from deepsalt.store.documents import read_document
from deepsalt.types import Asset
from tests.catalog.scenes import acquisition


@pytest.fixture(params=["pipe", "link to a pipe", "device", "socket", "folder"])
def irregular(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "irregular"
    with closing(socket.socket(socket.AF_UNIX)) as server:
        match request.param:
            case "pipe":
                os.mkfifo(path)
            case "link to a pipe":
                os.mkfifo(tmp_path / "pipe")
                path.symlink_to(tmp_path / "pipe")
            case "device":
                path.symlink_to("/dev/zero")
            case "socket":
                before = Path.cwd()
                os.chdir(tmp_path)  # the name of a socket has at most 108 bytes
                server.bind(path.name)
                os.chdir(before)
            case "folder":
                path.mkdir()
        yield path


OPENERS: dict[str, Callable[[Path], object]] = {
    "require_regular": require_regular,
    "open_regular": open_regular,
    "read_regular": read_regular,
}


@pytest.mark.parametrize("opener", OPENERS)
def test_only_regular_files_are_opened(irregular: Path, opener: str) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        OPENERS[opener](irregular)


def test_a_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link") == b"content"


def test_no_more_is_read_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        read_regular(tmp_path / "file", 4)


def _model(place: Path) -> object:
    folder = place.parent / "model"
    folder.mkdir()
    (folder / CARD_FILE).symlink_to(place)
    return model_ref(folder)


def _weights(place: Path) -> object:
    folder = place.parent / "model"
    folder.mkdir()
    shipped = Path(model_ref().path)
    (folder / CARD_FILE).write_bytes((shipped / CARD_FILE).read_bytes())
    (folder / WEIGHTS_FILE).symlink_to(place)
    return model_ref(folder)


def _table(place: Path) -> object:
    (table := place.with_name("table.csv")).symlink_to(place)
    return read_table(table)


READERS: dict[str, Callable[[Path], object]] = {
    "raster": lambda path: open_raster(str(path)),
    "ENVI": lambda path: open_raster(str(path), envi=True),
    "PRISMA": lambda path: Product(str(path)),
    "checksum": lambda path: with_checksums(acquisition(assets=(Asset("image", str(path)),))),
    "STAC document": read_stac,
    "area": read_area,
    "record of a store": lambda path: read_document(Objects.of(path.parent), path.name),
    "model card": _model,
    "weights": _weights,
    "table": _table,
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_waits_for_a_pipe(tmp_path: Path, reader: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DeepsaltError, match="not a regular file") as caught:
        READERS[reader](tmp_path / "pipe")
    assert "\n" not in str(caught.value)


def test_a_pipe_does_not_pass_for_a_file_with_a_checksum(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        fits(tmp_path / "pipe", "1220" + "0" * 64)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_json_nested_to_the_limit_is_read() -> None:
    assert parse_json(nested(MAX_DEPTH))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000, 1_000_000])
@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["list", "object"]
)
def test_json_nested_deeper_is_refused(depth: int, opening: str, closing: str) -> None:
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        parse_json(opening * depth + "1" + closing * depth)


@pytest.mark.parametrize("depth", [200, 10_000])
@pytest.mark.parametrize("reader", ["STAC document", "area", "record of a store", "model card"])
def test_every_reader_refuses_json_nested_too_deep(tmp_path: Path, reader: str, depth: int) -> None:
    (tmp_path / "deep").write_text('{"a":' + nested(depth) + "}")
    with pytest.raises(DeepsaltError, match="nested more than 100 deep"):
        READERS[reader](tmp_path / "deep")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9" * 5000, "digits"),
        (b"\xff\xfe\xfd", "codec"),
        ('{"a": ', "Expecting"),
        ("", "Expecting"),
    ],
    ids=["5000 digits", "no UTF-8", "cut off", "empty"],
)
def test_what_is_no_json_is_a_value_error(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(text)


def test_json_of_millions_of_empty_lists_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text('{"a": [' + "[]," * 20_000_000 + "1]}")
    begin = time.perf_counter()
    with pytest.raises(FormatError, match="has 20000002 lists and objects"):
        read_stac(tmp_path / "item.json")
    assert time.perf_counter() - begin < 5


def test_a_stac_document_larger_than_any_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "item.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(FormatError, match="larger than 64 MiB"):
        read_stac(tmp_path / "item.json")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["[", "{", "\\ud800"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_json_is_read_as_python_reads_it(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert repr(parse_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        b"18446744073709551616",
        b"-9223372036854775809",
        b"[9223372036854775807, 18446744073709551615]",
        b"123456789012345678901234567890.5",
        b"9" * 400,
        b"1e400",
        b"5e-324",
        b"2.2250738585072011e-308",
        b"[-0, -0.0, NaN, -Infinity]",
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf[1]",
        '{"a": "b"}'.encode("utf-16"),
        b'{"a": 1, "b": 2, "a": [3]}',
    ],
    ids=repr,
)
def test_json_of_others_is_read_as_python_reads_it(text: bytes) -> None:
    assert repr(parse_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_brackets_in_texts_do_not_hide_how_deep_json_is_nested(depth: int) -> None:
    text = '["]]", "[[", ' * depth + "1" + "]" * depth
    with pytest.raises(ValueError, match="deep") if depth > MAX_DEPTH else nullcontext():
        parse_json(text)


@pytest.mark.parametrize("size", [0, 1, 2, 99, 100, 101])
def test_a_file_that_does_not_say_its_size_is_read_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    stated = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result((*stated[:6], 0, *stated[7:])))
    if size > 100:
        with pytest.raises(OSError, match="larger than"):
            read_regular(tmp_path / "file", 100)
    else:
        assert len(read_regular(tmp_path / "file", 100)) == size


def test_what_a_store_writes_it_reads(tmp_path: Path) -> None:
    objects = Objects.of(tmp_path)
    objects.write("a.json", encode({"deep": [[[1]]]}))
    assert read_document(objects, "a.json") == {"deep": [[[1]]]}
