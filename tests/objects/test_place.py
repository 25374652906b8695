"""Paths and URIs of stores: what they mean and which are refused."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import StoreError, UsageError
from deepsalt.objects import Objects


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("/data/maps", "file:///data/maps"),
        ("/data//maps/../maps/", "file:///data/maps"),
        ("/", "file:///"),
        ("/data/a b%20#1", "file:///data/a%20b%2520%231"),
        ("file:///data/a%20b/", "file:///data/a%20b"),
        ("file://localhost/data", "file:///data"),
        ("FILE:///data", "file:///data"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b//", "s3://bucket/a/b"),
        ("S3://bucket/a", "s3://bucket/a"),
        ("s3a://bucket/a", "s3://bucket/a"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("gcs://bucket", "gs://bucket"),
        ("az://container/a", "az://container/a"),
        ("abfs://container/a", "az://container/a"),
        (
            "abfss://container@account.dfs.core.windows.net/a/",
            "abfss://container@account.dfs.core.windows.net/a",
        ),
        ("memory://x", "memory://x"),
        ("memory://x/a", "memory://x/a"),
    ],
)
def test_a_place_has_one_uri(text: str, uri: str) -> None:
    assert Objects.of(text).uri == uri
    assert Objects.of(uri) == Objects.of(text)


@pytest.mark.parametrize("path", ["maps", "./maps", "a/../maps", Path("maps"), "maps:2", "m@x"])
def test_a_path_is_from_the_working_folder_of_who_gave_it(
    path: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Objects.of(path).path.parent == tmp_path


def test_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Objects.of("~/maps").path == Path("/home/somebody/maps")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://key:open-sesame@bucket/x", "must not have credentials"),
        ("s3://bucket/x?X-Amz-Signature=open-sesame", "must not have credentials"),
        ("s3://bucket/x#open-sesame", "must not have credentials"),
        ("file:///x?open-sesame", "must not have credentials"),
        ("abfss://c@a.dfs.core.windows.net/x?sig=open-sesame", "must not have credentials"),
        ("az://c@account/x", "must not have credentials"),
        ("s3:key:open-sesame@bucket/x", "needs // after"),
        ("s3:/bucket", "needs // after"),
        ("gopher://bucket/x", "gopher:// cannot hold a store"),
        ("https://bucket.s3.amazonaws.com/x", "https:// cannot hold a store"),
        ("open sesame://x", r"\.\.\.:// cannot hold a store"),
        ("s3://[bucket/x", "is malformed"),
        ("s3://", "has no valid bucket name"),
        ("s3:///x", "has no valid bucket name"),
        ("memory://", "has no valid bucket name"),
        ("gs://buc ket", "has no valid bucket name"),
        ("s3://bucket:80/x", "has no valid bucket name"),
        ("file://data/x", "three slashes"),
        ("file://", "does not name a folder"),
        ("s3://bucket/../x", "is not a valid key"),
        ("s3://bucket/a//b", "is not a valid key"),
        ("s3://bucket/a%0Ab", "is not a valid key"),
        ("/a\0b", "is not a path"),
        ("~\0", "is not a path"),
        ("~nobody-of-that-name/x", "cannot be made absolute"),
    ],
)
def test_what_is_no_place_is_one_sentence_without_secrets(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        Objects.of(text)
    assert "open-sesame" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nothing_is_made_by_naming_or_looking(tmp_path: Path) -> None:
    objects = Objects.of(tmp_path / "store")
    assert [*objects.list()] == []
    objects.zarr_store("a", read_only=True)
    assert not (tmp_path / "store").exists()


def test_only_folders_have_a_path() -> None:
    with pytest.raises(StoreError, match="is not a folder"):
        _ = Objects.of("s3://bucket/a").path


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        "{}{}".format,
        st.sampled_from(["", "/", "~", "s3:", "s3://", "s3://b/", "az://c@", "file://", "x://"]),
        st.text(max_size=30),
    )
)
def test_any_text_is_refused_or_has_a_uri_that_means_the_same(text: str) -> None:
    with contextlib.suppress(UsageError):
        objects = Objects.of(text)
        assert Objects.of(objects.uri) == objects
