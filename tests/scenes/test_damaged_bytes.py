"""Products with damaged bytes: they are read, or refused in a sentence of ours, within seconds."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.items import parse_item, to_item
from deepsalt.errors import DeepsaltError
from deepsalt.scenes.base import open_reader, read_acquisition
from tests.made.enmap import write_enmap
from tests.made.generic import cube, envi
from tests.made.prisma import NAME, write_prisma

PRODUCTS: dict[str, Callable[[Path], Path]] = {
    "EnMAP": lambda folder: write_enmap(folder, shape=(8, 8), block=16),
    "PRISMA": lambda folder: write_prisma(folder / NAME, shape=(4, 5)),
    "PRISMA in chunks": lambda folder: write_prisma(folder / NAME, shape=(4, 5), chunks=(2, 8, 5)),
    "GeoTIFF": lambda folder: cube(folder / "cube.tif", dtype="int16"),
    "ENVI": lambda folder: envi(folder / "cube.img"),
}
_NUMBERS = (
    b"\0" * 8,
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"9" * 8,
    b"-1e300",
    b"nan",
    b"<!--",
    b"\0",
)
_HEAD = 6000  # where formats keep what they say about themselves; some keep it at the end


def flipped(content: bytearray, at: int, chance: random.Random) -> None:
    content[at] ^= 1 << chance.randrange(8)


def replaced(content: bytearray, at: int, chance: random.Random) -> None:
    number = chance.choice(_NUMBERS)
    content[at : at + len(number)] = number


def scrambled(content: bytearray, at: int, chance: random.Random) -> None:
    content[at : at + 32] = chance.randbytes(len(content[at : at + 32]))


def cut(content: bytearray, at: int, _: random.Random) -> None:
    del content[at:]


def without_some(content: bytearray, at: int, chance: random.Random) -> None:
    del content[at : at + chance.randrange(1, 20)]


DAMAGES = (flipped, flipped, replaced, replaced, scrambled, cut, without_some)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the content with some damage, more often at its ends than in the middle."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        ends = (
            chance.randrange(min(_HEAD, len(found))),
            -1 - chance.randrange(min(_HEAD, len(found))),
        )
        at = chance.choice((*ends, chance.randrange(len(found)))) % len(found)
        chance.choice(DAMAGES)(found, at, chance)
        if not found:
            break
    return bytes(found)


def read_all(path: Path) -> None:
    """Do with a product what an ingest and a run do."""
    scene = read_acquisition(path, scale=None if path.suffix in {"", ".he5"} else 1e-4)
    parse_item(to_item(scene))
    reader = open_reader(scene)
    try:
        height, width = min(8, scene.grid.height), min(8, scene.grid.width)
        reader.read_window(0, 0, height, width)
        reader.read_quality(0, 0, height, width)
    finally:
        reader.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("product", PRODUCTS)
def test_damaged_bytes_are_read_or_refused(tmp_path: Path, product: str) -> None:
    path = PRODUCTS[product](tmp_path)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    headers = [file for file in files if file.suffix.lower() in {".xml", ".hdr"}]
    sound = {file: file.read_bytes() for file in files}
    chance = random.Random(1)
    sentences = []
    for turn in range(60):
        file = chance.choice(headers if headers and turn % 2 else files)
        file.write_bytes(damaged(sound[file], chance))
        begin = time.perf_counter()
        try:
            read_all(path)
        except DeepsaltError as error:
            sentences.append(str(error))
        assert time.perf_counter() - begin < 10
        file.write_bytes(sound[file])
    read_all(path)
    assert sentences
    assert not any("\n" in sentence for sentence in sentences)
