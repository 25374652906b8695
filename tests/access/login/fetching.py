"""Fetching a file from an archive, as a run does."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from deepsalt.access import Reach
from deepsalt.fetch import Patience, Share
from deepsalt.fetch.objects import Session
from deepsalt.types import Asset
from tests.servers.archive import PASSWORD, USER, Archive

LOOPBACK = Reach(frozenset({"loopback"}))
HASTY = Patience(tries=30, budget=300, first_wait_s=0.01, longest_wait_s=0.05, silence_s=20.0)
NAME = "area/scene.tif"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text)


def write_profile(folder: Path, archive: Archive) -> None:
    """Write the archive's profile into the user's configuration."""
    (folder / "access.toml").write_text(archive.profile)


def write_secret(folder: Path, archive: Archive, password: str = PASSWORD) -> None:
    """Write profile and secret of the archive into the user's configuration."""
    write_profile(folder, archive)
    parts = {"user": USER, "password": password}
    if archive.kind == "bearer":
        parts = {"token": archive.token}
    lines = [f'{name} = "{value}"' for name, value in parts.items()]
    if archive.kind != "signed":
        write_private(folder / "secrets.toml", "\n".join(["[test]", *lines, ""]))


def fetch(href: str, target: Path, *, connections: int = 4, again: int = 1) -> bytes:
    """Fetch a file whole, in parts side by side; `again` copies of it at a time."""

    async def one(session: Session, number: int) -> Path:
        path = target.with_name(f"{target.name}-{number}")
        asset = Asset("image", href)
        await session.download(asset, await session.describe(asset), path)
        return path

    async def work() -> list[Path]:
        place = href.partition("://")[2].partition("/")[0]
        async with Session(HASTY, LOOPBACK, {place: Share(connections)}) as session:
            return await asyncio.gather(*(one(session, number) for number in range(again)))

    paths = asyncio.run(work())
    first, *others = (path.read_bytes() for path in paths)
    assert all(other == first for other in others)
    return first


def everything_in(folder: Path) -> bytes:
    """Return all files below a folder, one after the other."""
    return b"".join(
        path.read_bytes() + os.fsencode(path) for path in folder.rglob("*") if path.is_file()
    )


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it was raised from or beside."""
    while error is not None:
        yield error
        if error.__cause__ is not None and error.__cause__ is not error.__context__:
            yield from chain_of(error.__cause__)
        error = error.__context__
