"""A web server on the loopback interface that answers whatever a test makes up."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    """A request that came.

    Parameters
    ----------
    method, path
        Its first line; the path with its query.
    headers
        By lower-case name.
    body
        What came with it.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer.

    Parameters
    ----------
    status, headers
        How it begins.
    body
        Sent piece by piece; endless ones end when the client hangs up.
    wait_s
        Seconds before each piece.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Callable[[], Iterator[bytes]] = lambda: iter([b""])
    wait_s: float = 0.0


@dataclass
class Hostile:
    """A running server and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are part of the tests."""


class _Server6(_Server):
    address_family = socket.AF_INET6


def redirect(to: str, status: int = 302) -> Reply:
    """Return an answer that leads elsewhere."""
    return Reply(status, {"Location": to, "Content-Length": "0"})


@contextmanager
def hostile_server(
    answer: Callable[[Hostile, Asked], Reply], host: str = "127.0.0.1"
) -> Iterator[Hostile]:
    """Serve on `host` until the block ends; `answer` is given the server and each request."""
    known = Hostile("")

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, self.rfile.read(length))
            known.asked.append(asked)
            reply = answer(known, asked)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in reply.body():
                time.sleep(reply.wait_s)
                self.wfile.write(piece)

        def do_POST(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    http = (_Server6 if ":" in host else _Server)((host, 0), Handler)
    shown = f"[{host}]" if ":" in host else host
    known.url = f"http://{shown}:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield known
    finally:
        http.shutdown()
        thread.join(timeout=10)
        http.server_close()
