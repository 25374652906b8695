"""One request to a STAC API: bounded in bytes, time and depth, retried where that helps."""

import asyncio
import contextlib
import json
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from threading import Thread
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from catalog.hrefs import without_credentials
from deepsalt.access import is_web
from deepsalt.access.login import Logins
from deepsalt.access.reach import Reach, downgrades, same_server
from deepsalt.access.web import Answer, RefusedError, Web, WebError, advice
from deepsalt.errors import FormatError, RunError
from deepsalt.inputs import parse_json

MAX_BYTES = 64 * 2**20
"""Bytes of an answer, uncompressed; 100 Items of 224 bands take 25 MiB at most."""

ANSWER_S = 180.0
"""Seconds for a complete answer, tries and waits included."""

WAITS_S = (0.5, 1.0, 2.0, 4.0)
"""Waits before each retry, seconds."""

_PASSING = frozenset({429, 500, 502, 503, 504})
_GZIP_OR_ZLIB = 47


class Server:
    """The STAC API that the user named; used from one thread, a context manager.

    Parameters
    ----------
    url
        Its address, with user and password if needed: they go with every request to this host and
        to no other.
    reach
        Hosts that it may refer to.
    """

    def __init__(self, url: str, reach: Reach) -> None:
        self.name = without_credentials(url)
        self._origin = url
        self._reach = reach
        self._web = Web(reach, follows=lambda _, link: reach.follows(url, link), logins=Logins())
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="catalogue", daemon=True)

    def ask(self, href: str, method: str, parameters: Mapping[str, Any]) -> tuple[int, str]:
        """Return the status and text of an answer; parameters are a body, or the query of a GET.

        Raises
        ------
        FormatError
            The catalogue leads to a forbidden host, or sends something that is not STAC.
        RunError
            There is no answer in time.
        """
        if not self._reach.follows(self._origin, href):
            raise FormatError(
                f"{self.name} links to {without_credentials(href)}, {self._why_not(href)}"
            )
        work = asyncio.run_coroutine_threadsafe(self._ask(href, method, parameters), self._loop)
        try:
            return work.result()
        finally:
            work.cancel()  # where Ctrl-C ended the wait; a finished one stays finished

    def _why_not(self, href: str) -> str:
        if not is_web(href):
            return "which is not the address of a web server; tell its operator"
        if downgrades(self._origin, href):
            return "which leaves https; tell its operator"
        return f"which is another host; {advice(href)}"

    async def _ask(self, href: str, method: str, parameters: Mapping[str, Any]) -> tuple[int, str]:
        address, body = self._request(href, method, parameters)
        try:
            async with asyncio.timeout(ANSWER_S):
                for wait_s in WAITS_S:
                    with contextlib.suppress(WebError):
                        status, text = await self._once(address, method, body)
                        if status not in _PASSING:
                            return status, text
                    await asyncio.sleep(wait_s)
                return await self._once(address, method, body)
        except TimeoutError:
            raise RunError(
                f"the STAC API {self.name} did not answer within {ANSWER_S:.0f} seconds; try "
                f"again later, or narrow the search by area or time"
            ) from None
        except RefusedError as error:
            raise FormatError(f"{self.name} leads to {error}") from None
        except WebError as error:
            raise RunError(
                f"the STAC API {self.name} did not answer ({error}); check the address and try "
                "again later"
            ) from None

    def _request(
        self, href: str, method: str, parameters: Mapping[str, Any]
    ) -> tuple[str, bytes | None]:
        """Return the address and body of a request; only the user's host gets the credentials."""
        ours = urlsplit(self._origin)
        parts = urlsplit(href)
        place = parts.netloc.rpartition("@")[2]
        if "@" in ours.netloc and same_server(self._origin, href):
            place = f"{ours.netloc.rpartition('@')[0]}@{place}"
        query = parts.query
        if method != "POST":
            more = urlencode(list(_flat(parameters)))
            query = "&".join(part for part in (query, more) if part)
        address = urlunsplit((parts.scheme, place, parts.path, query, ""))
        return address, json.dumps(parameters).encode() if method == "POST" else None

    async def _once(self, address: str, method: str, body: bytes | None) -> tuple[int, str]:
        headers = {"Accept": "application/geo+json, application/json", "Accept-Encoding": "gzip"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        async with self._web.ask(method, address, headers, body) as answer:
            found = bytearray()
            async for data in _plain(answer):
                found += data
                if len(found) > MAX_BYTES:
                    raise FormatError(
                        f"{self.name} sends more than {MAX_BYTES // 2**20} MiB in one answer, "
                        f"more than any page of Items; search another catalogue or tell its "
                        f"operator"
                    )
            return answer.status, found.decode()

    def read(self, text: str) -> Any:
        """Return the JSON in an answer.

        Raises
        ------
        FormatError
            It is not JSON, or is nested deeper or wider than STAC.
        """
        try:
            return parse_json(text)
        except ValueError as error:
            raise FormatError(
                f"{self.name} did not answer with a STAC document ({error}); check the address, "
                f"search another catalogue or tell its operator"
            ) from None

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._web.__aexit__(None, None, None)


def _flat(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield parameters as a query: lists joined as the STAC API asks, geometries as JSON."""
    for name, value in parameters.items():
        if isinstance(value, (list, tuple)):
            yield name, ",".join(str(each) for each in value)
        else:
            yield name, json.dumps(value) if isinstance(value, dict) else str(value)


async def _plain(answer: Answer) -> AsyncIterator[bytes]:
    """Yield a body uncompressed, in steps that stay small even for a decompression bomb."""
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        async for data in answer.body:
            yield data
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise WebError(f"its answer is compressed as {coding[:40]!r}, which was not requested")
    unpack = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        async for data in answer.body:
            while data:
                yield unpack.decompress(data, 2**20)
                data = unpack.unconsumed_tail
    except zlib.error as error:
        raise WebError(f"its answer is damaged: {error}") from None
    if not unpack.eof:
        raise WebError("its answer breaks off")
