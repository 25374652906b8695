"""An HTTP proxy on loopback that breaks what goes through it, in front of a server of objects.

Requests are passed on as they came, their Host with them, so that signatures still hold. A rule
decides what becomes of each.
"""

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

_BODILESS = (204, 304)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came.

    Parameters
    ----------
    number
        How many came before it.
    method, target
        As in its first line.
    headers
        By lower-case name.
    raw
        All its bytes.
    """

    number: int
    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def key(self) -> str:
        """The key it names; the bucket alone where it lists or deletes many."""
        return unquote(urlsplit(self.target).path).lstrip("/").partition("/")[2]

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def is_listing(self) -> bool:
        return self.method == "GET" and "list-type" in self.query

    @property
    def writes(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE")

    @property
    def is_conditional(self) -> bool:
        return self.writes and ("if-none-match" in self.headers or "if-match" in self.headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, its headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    def rendered(self, *, without_body: bool) -> bytes:
        headers = {name: text for name, text in self.headers.items() if name != "transfer-encoding"}
        if not without_body:
            headers["content-length"] = str(len(self.body))
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        head = f"HTTP/1.1 {self.status} -\r\n{lines}\r\n".encode("latin-1")
        return head if without_body else head + self.body


Forward = Callable[[], Awaitable[Answer]]
"""Sends the request on and returns the true answer."""
Rule = Callable[[Request, Forward], Awaitable[Answer | None]]
"""Decides upon a request; None resets the connection."""


def refusal(status: int, code: str) -> Answer:
    """Return how S3 says no."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return Answer(status, {"content-type": "application/xml"}, body.encode())


def serve(rule: Rule, port: int, told: Path) -> int:
    """Stand before the server on a port until killed.

    The address is written to `told` when connections are taken, and a line for each request to a
    file beside it: its number, method, key, and what it was answered.
    """
    asyncio.run(_serve(rule, port, told))
    return 0


async def _serve(rule: Rule, port: int, told: Path) -> None:
    numbers = iter(range(10**9))
    with told.with_suffix(".requests").open("a", buffering=1) as log:

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while request := await _read_request(reader, writer, numbers):
                    forwarded: list[Answer] = []
                    forward = partial(_forward, port, request, forwarded)
                    answer = await rule(request, forward)
                    is_true = answer is not None and any(answer is each for each in forwarded)
                    log.write(
                        f"{request.number} {request.method} {request.key or '-'} "
                        f"{answer.status if answer else 'reset'} {'' if is_true else 'FAULT'}\n"
                    )
                    if answer is None:
                        _reset(writer)
                        return
                    bodiless = request.method == "HEAD" or answer.status in _BODILESS
                    writer.write(answer.rendered(without_body=bodiless))
                    await writer.drain()
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # who asked is gone
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", limit=2**24)
        fresh = told.with_suffix(".new")
        fresh.write_text(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        fresh.rename(told)
        await server.serve_forever()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, numbers: "object"
) -> Request | None:
    """Read a request whole; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, headers = _parse(head)
    if "expect" in headers:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = re.sub(rb"(?i)\r\nexpect:[^\r]*", b"", head)
    body, _ = await _read_body(reader, headers)
    method, target, _ = first.split(" ", 2)
    return Request(next(numbers), method, target, headers, head + body)  # type: ignore[call-overload]


async def _forward(port: int, request: Request, forwarded: list[Answer]) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        writer.write(request.raw)
        await writer.drain()
        status = 100
        while status < 200:
            first, headers = _parse(await reader.readuntil(b"\r\n\r\n"))
            status = int(first.split(" ")[1])
        bodiless = request.method == "HEAD" or status in _BODILESS
        body = b"" if bodiless else (await _read_body(reader, headers))[1]
    finally:
        writer.close()
    answer = Answer(status, headers, body)
    forwarded.append(answer)
    return answer


def _parse(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return first, {name.strip().lower(): text.strip() for name, _, text in pairs}


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> tuple[bytes, bytes]:
    """Return a body as it was sent, and without the frames of chunks."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return body, body
    raw, plain = b"", b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        piece = await reader.readexactly(size + 2)
        raw, plain = raw + line + piece, plain + piece[:-2]
        if size == 0:
            return raw, plain
