"""A loopback web server that answers byte ranges, as object stores do, and fails as they do."""

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer; the defaults are a sound one.

    Parameters
    ----------
    status
        Answered instead of the file, when not 0.
    headers
        Sent beside it.
    cut
        Bytes of the body after which the connection ends; None means never.
    reset
        Whether it ends with a TCP reset rather than in order.
    longer
        How much larger than the body Content-Length claims to be.
    total
        Size of the object in Content-Range; None is the truth.
    drip_s
        Seconds between bytes that come one by one.
    silent_s
        Seconds of nothing before the answer.
    whole
        Whether the range is ignored and the whole file sent.
    flip
        Whether one bit of the body is another.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    longer: int = 0
    total: int | None = None
    drip_s: float = 0.0
    silent_s: float = 0.0
    whole: bool = False
    flip: bool = False


SOUND = Fault()

PIECE_BYTES = 64 * 2**10


@dataclass
class Served:
    """A running server.

    Parameters
    ----------
    url
        Address of its root.
    asked
        Path and range of each request so far.
    signed
        Authorization header of each request that had one.
    open_now, open_most
        Requests that are being answered, and the most there were at a time.
    clients
        Address of each connection that asked for something.
    sent
        Moment (monotonic, seconds) and size of each piece of a body.
    """

    url: str
    asked: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0
    clients: set[tuple[str, int]] = field(default_factory=set)
    sent: list[tuple[float, int]] = field(default_factory=list)


class Ranges(BaseHTTPRequestHandler):
    """Serves files below `root`, whole or in ranges; `faults` decides how, request by request."""

    root: Path
    latency_s: float
    faults: Callable[[int, str], Fault]
    served: Served
    counting: threading.Lock
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        served = self.served
        with self.counting:
            number = len(served.asked)
            served.asked.append(f"{self.path} {self.headers.get('Range', '')}".rstrip())
            served.clients.add(self.client_address)
            served.signed += self.headers.get_all("Authorization", [])
            served.open_now += 1
            served.open_most = max(served.open_most, served.open_now)
        try:
            self._answer(self.faults(number, self.path))
        finally:
            with self.counting:
                served.open_now -= 1

    def _answer(self, fault: Fault) -> None:
        time.sleep(self.latency_s + fault.silent_s)
        path = self.root / self.path.split("?")[0].lstrip("/")
        wanted = "" if fault.whole else self.headers.get("Range", "")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        size, part, changed_s = 0, b"", 0.0
        if path.is_file():
            changed_s = path.stat().st_mtime
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(int(first or 0))
                part = file.read(int(last) + 1 - int(first or 0) if last else -1)
        status = fault.status or ((206 if wanted else 200) if path.is_file() else 404)
        if fault.status:
            part = b"no"
        self.send_response(status)
        if status == 206:
            end = int(first or 0) + len(part) - 1
            total = size if fault.total is None else fault.total
            self.send_header("Content-Range", f"bytes {first or 0}-{end}/{total}")
        sent = {
            "ETag": f'"{changed_s}-{size}"',
            "Last-Modified": formatdate(changed_s, usegmt=True),
            **fault.headers,
        }
        for name, value in sent.items():
            self.send_header(name, value)
        claimed = fault.longer if self.command == "GET" else 0
        self.send_header("Content-Length", str(len(part) + claimed))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self._send(part, fault)

    def _send(self, part: bytes, fault: Fault) -> None:
        if fault.flip:
            part = bytes([part[0] ^ 1]) + part[1:]
        part = part[: fault.cut]
        try:
            if fault.drip_s:
                for byte in part:
                    self.wfile.write(bytes([byte]))
                    time.sleep(fault.drip_s)
            else:
                for start in range(0, len(part), PIECE_BYTES):
                    piece = part[start : start + PIECE_BYTES]
                    self.wfile.write(piece)
                    self.served.sent.append((time.monotonic(), len(piece)))
        except OSError:  # the client had enough
            self.close_connection = True
        if fault.cut is not None or fault.longer:
            self.close_connection = True
        if fault.reset:  # closing with data unsent and no time to linger is a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are part of the tests."""


def never(number: int, path: str) -> Fault:
    """Answer every request well."""
    return SOUND


@contextmanager
def file_server(
    root: Path, *, latency_s: float = 0.0, faults: Callable[[int, str], Fault] = never
) -> Iterator[Served]:
    """Serve a folder until the block ends.

    Parameters
    ----------
    root
        The folder.
    latency_s
        Seconds before each answer.
    faults
        Given the number of the request (from 0) and its path, says what goes wrong with it.
    """
    served = Served("")
    members = {
        "root": root,
        "latency_s": latency_s,
        "faults": staticmethod(faults),
        "served": served,
        "counting": threading.Lock(),
    }
    server = _Server(("127.0.0.1", 0), type("Handler", (Ranges,), members))
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def bucket_server(root: Path, *, faults: Callable[[int, str], Fault] = never) -> Iterator[Served]:
    """Serve a folder of buckets until the block ends, as the S3 server of the environment."""
    with file_server(root, faults=faults) as served:
        named = {
            "AWS_ENDPOINT_URL": served.url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "KEYID",
            "AWS_SECRET_ACCESS_KEY": "open-sesame",
        }
        with patch.dict(os.environ, named):
            yield served


@contextmanager
def serving_files(root: Path) -> Iterator[str]:
    """Serve a folder until the block ends; yields its URL."""
    with file_server(root) as served:
        yield served.url
