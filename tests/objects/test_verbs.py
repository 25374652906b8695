"""The five verbs do the same on every kind of store."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepsalt.errors import MissingObjectError, UsageError
from deepsalt.objects import Objects


def keys(objects: Objects, prefix: str = "", offset: str | None = None) -> list[str]:
    return sorted(entry.key for entry in objects.list(prefix, offset=offset))


def test_what_was_written_is_read(objects: Objects) -> None:
    objects.write("a/b.json", b"one")
    objects.write("a/b.json", b"two")
    assert objects.read("a/b.json") == b"two"


def test_an_empty_object_is_an_object(objects: Objects) -> None:
    assert objects.create("a", b"")
    assert objects.read("a") == b""


def test_large_bytes_come_back_as_they_were(objects: Objects) -> None:
    data = bytes(range(256)) * 2**13
    objects.write("large", data)
    assert objects.read("large") == data


def test_the_first_to_create_wins_and_the_second_is_told(objects: Objects) -> None:
    assert objects.create("a", b"one")
    assert not objects.create("a", b"two")
    assert objects.read("a") == b"one"


def test_equal_bytes_do_not_make_two_creators(objects: Objects) -> None:
    assert objects.create("a", b"one")
    assert not objects.create("a", b"one")


def test_of_many_creators_one_wins(objects: Objects) -> None:
    start = threading.Barrier(8)

    def create(who: int) -> bool:
        start.wait()
        return objects.create("a", b"%d" % who)

    with ThreadPoolExecutor(8) as pool:
        won = [*pool.map(create, range(8))]
    assert won.count(True) == 1
    assert objects.read("a") == b"%d" % won.index(True)


def test_what_is_not_there_cannot_be_read(objects: Objects) -> None:
    with pytest.raises(
        MissingObjectError, match=r"store/a/b does not exist|test_.*/a/b does not exist"
    ):
        objects.read("a/b")


def test_an_empty_store_lists_nothing(objects: Objects) -> None:
    assert keys(objects) == keys(objects, "a") == []
    assert objects.folders() == ()


def test_listing_takes_whole_parts_of_keys(objects: Objects) -> None:
    for key in ("a/b", "a/c/d", "ab", "b/a/x"):
        objects.write(key, b"")
    assert keys(objects, "a") == ["a/b", "a/c/d"]


def test_listing_says_size_and_time(objects: Objects) -> None:
    objects.write("a/b", b"123")
    (entry,) = objects.list()
    assert (entry.key, entry.size, entry.modified.utcoffset() is not None) == ("a/b", 3, True)


def test_listing_goes_on_behind_a_key(objects: Objects) -> None:
    for key in ("a/1", "a/2", "a/3"):
        objects.write(key, b"")
    assert keys(objects, "a", offset="a/1") == ["a/2", "a/3"]


def test_folders_are_the_next_parts_of_keys(objects: Objects) -> None:
    for key in ("x/a/1", "x/b/2/3", "x/c", "y/d/1"):
        objects.write(key, b"")
    assert objects.folders("x") == ("a", "b")


def test_deleting_passes_over_what_is_not_there(objects: Objects) -> None:
    objects.write("a/b", b"")
    objects.write("a/c", b"")
    objects.delete(["a/none", "a/b"])
    assert keys(objects) == ["a/c"]


def test_deleting_no_object_changes_nothing(objects: Objects) -> None:
    objects.delete([])
    assert keys(objects) == []


def test_a_deleted_key_can_be_created_again(objects: Objects) -> None:
    objects.create("a/b", b"1")
    objects.delete(["a/b"])
    assert objects.create("a/b", b"2")


def test_objects_below_a_prefix_are_the_same_objects(objects: Objects) -> None:
    below = objects.below("x/y")
    below.write("a/b", b"1")
    assert objects.read("x/y/a/b") == b"1"
    assert keys(below) == ["a/b"]
    assert keys(below, "a") == ["a/b"]
    assert below.folders() == ("a",)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/..",
        "./a",
        "a\\b",
        "a\nb",
        "a\0b",
        "a#1",
        "a%2Fb",
        "a?b",
        "a*",
        "x" * 201,
        "ü" * 101,
        "a/" * 500 + "a",
        "\ud800",
    ],
)
def test_a_key_that_is_none_is_refused_by_every_verb(key: str, objects: Objects) -> None:
    for verb in (
        lambda: objects.read(key),
        lambda: objects.write(key, b""),
        lambda: objects.create(key, b""),
        lambda: objects.delete([key]),
        lambda: objects.below(key),
        lambda: objects.zarr_store(key, read_only=True),
    ):
        with pytest.raises(UsageError, match="is not a valid key"):
            verb()


@pytest.mark.parametrize("key", ["a b", "ä/ö", "a+b&c=d", "~a", "a:b", "a@b", "(a)", "x" * 200])
def test_a_key_comes_back_from_a_listing_as_it_was(key: str, objects: Objects) -> None:
    assert objects.create(key, b"1")
    assert keys(objects) == [key]
    assert objects.read(key) == b"1"
