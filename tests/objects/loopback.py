"""A little S3 on loopback that remembers who asked for what, and fails when it is told to."""

import hashlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import ClassVar, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

Fault = tuple[int, str] | Literal["drop", "lose", "stall"]
"""A status with S3's code; drop the connection unheard or with the answer lost; say nothing."""

_ROLE = b"""{"AccessKeyId": "role", "SecretAccessKey": "open-sesame", "Token": "token",
"Expiration": "2100-01-01T00:00:00Z"}"""
_PAGE = 1000
_KEY = re.compile(r"Credential=([^/]+)/")


@dataclass
class Loopback:
    """What the server holds and saw."""

    url: str = ""
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    users: list[tuple[str, str | None]] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)
    always: Fault | None = None
    lock: Lock = field(default_factory=Lock)


@contextmanager
def serving() -> Iterator[Loopback]:
    state = Loopback()

    class Handler(_Handler):
        seen = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    seen: ClassVar[Loopback]

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = self.seen
        if self.path == "/role":
            self._send(200, {}, _ROLE)
            return
        authorization = self.headers.get("Authorization", "")
        user = _KEY.search(authorization)
        with seen.lock:
            seen.asked.append(f"{self.command} {key or '?' + parts.query.partition('&')[0]}")
            seen.users.append((user[1] if user else "", self.headers.get("x-amz-security-token")))
            seen.regions += authorization.split("/")[2:3]
            fault = seen.faults.pop(0) if seen.faults else seen.always
        if fault == "stall":
            time.sleep(3)
        if fault in ("drop", "stall"):
            self._hang_up()
        elif isinstance(fault, tuple):
            self._fail(*fault)
        else:
            status, headers, answer = self._answer(key, parse_qs(parts.query), body)
            if fault == "lose":
                self._hang_up()
            else:
                self._send(status, headers, answer)

    def _answer(
        self, key: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        objects = self.seen.objects
        with self.seen.lock:
            if not key and self.command == "GET":
                return 200, {"Content-Type": "application/xml"}, self._listing(query)
            if self.command == "POST":
                gone = re.findall(r"<Key>(.*?)</Key>", body.decode())
                for each in gone:
                    objects.pop(each, None)
                rows = "".join(f"<Deleted><Key>{each}</Key></Deleted>" for each in gone)
                return 200, {}, f"<DeleteResult>{rows}</DeleteResult>".encode()
            if self.command == "PUT":
                if self.headers.get("If-None-Match") == "*" and key in objects:
                    return 412, {}, _error("PreconditionFailed")
                kept = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower().startswith("x-amz-meta-") or name.lower() == "content-type"
                }
                if self.headers.get("If-Match", tag := _tag(key, objects)) != tag:
                    return 412, {}, _error("PreconditionFailed")
                objects[key] = body, kept
                return 200, {"ETag": _tag(key, objects)}, b""
            if self.command == "DELETE":
                objects.pop(key, None)
                return 204, {}, b""
            if key not in objects:
                return 404, {}, _error("NoSuchKey")
            data, kept = objects[key]
            stamp = {"ETag": _tag(key, objects), "Last-Modified": formatdate(usegmt=True)}
            return 200, {**kept, **stamp}, data

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        found = [key for key in sorted(self.seen.objects) if key.startswith(prefix) and key > after]
        page = [] if "delimiter" in query else found[:_PAGE]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.seen.objects[key][0])}</Size>"
            "<LastModified>2026-11-29T06:00:00.000Z</LastModified><ETag>e</ETag></Contents>"
            for key in page
        )
        folders = {
            prefix + key[len(prefix) :].split("/")[0]
            for key in self.seen.objects
            if key.startswith(prefix) and "/" in key[len(prefix) :]
        }
        if "delimiter" in query:
            rows = "".join(
                f"<CommonPrefixes><Prefix>{escape(each)}/</Prefix></CommonPrefixes>"
                for each in sorted(folders)
            )
        end = "<IsTruncated>false</IsTruncated>"
        if page and len(page) < len(found):
            token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
            end = f"<IsTruncated>true</IsTruncated>{token}"
        return f"<ListBucketResult>{rows}{end}</ListBucketResult>".encode()

    def _fail(self, status: int, code: str) -> None:
        self._send(status, {"Content-Type": "application/xml"}, _error(code) if code else b"")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _tag(key: str, objects: dict[str, tuple[bytes, dict[str, str]]]) -> str:
    return f'"{hashlib.md5(objects[key][0]).hexdigest()}"' if key in objects else ""


def _error(code: str) -> bytes:
    # Real servers repeat what was signed, hence the secret that no sentence may repeat.
    return (
        f"<Error><Code>{code}</Code><Message>open-sesame</Message>"
        "<StringToSign>open-sesame</StringToSign></Error>"
    ).encode()
