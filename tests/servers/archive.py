"""Archives on loopback that ask for a login as the real ones do, and are as hard to please.

An archive has three hosts, as an archive with single sign-on and a bucket has: its files lie on
127.0.0.1, its login on 127.0.0.2, and the bucket that it redirects to on 127.0.0.3. It ends
connections after some bytes, answers 429 to too many downloads at a time, ends sessions when told
to, and counts logins.
"""

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

USER, PASSWORD = "ada", "open sesame & c\u00f6"
DLR_BYTES = 75 * 10**6
"""After which DLR's archive ends a connection."""


@dataclass
class Archive:
    """A running archive; tests change it between requests.

    Parameters
    ----------
    kind
        ``basic``, ``bearer``, ``form``, ``earthdata`` or ``signed``.
    root
        Folder of its files.
    drop_bytes
        Bytes of a connection after which it ends, in the middle of an answer.
    at_once
        Downloads at a time; more are answered with status 429.
    expire_at
        Numbers of downloads, from 1, before which all sessions end.
    password, token
        What it accepts.
    logins, refused
        Passwords that were right, and that were wrong.
    policy
        Whether a policy has to be agreed to after the password.
    forbidden
        Name of a file that the user may not have.
    ill
        Logins yet to be answered with status 503.
    files, sso, bucket
        Its hosts.
    downloads, throttled, dropped
        Answers with bytes of a file, with status 429, and connections that it ended.
    asked
        Host, path and headers of each request.
    """

    kind: str
    root: Path
    drop_bytes: int | None = None
    at_once: int = 10**6
    expire_at: tuple[int, ...] = ()
    password: str = PASSWORD
    token: str = "token-0"
    logins: int = 0
    refused: int = 0
    policy: bool = False
    forbidden: str = "nothing"
    ill: int = 0
    files: str = ""
    sso: str = ""
    bucket: str = ""
    downloads: int = 0
    throttled: int = 0
    dropped: int = 0
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    age: int = 0
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def expire(self) -> None:
        """End all sessions; tokens and signatures are no longer good."""
        self.age += 1
        if self.kind == "earthdata":
            self.token = f"token-{self.age}"

    def key(self, what: str, age: int | None = None) -> str:
        """Return something secret that is good until `expire`."""
        age = self.age if age is None else age
        made = hashlib.sha256(f"{what} {age}".encode()).hexdigest()[:24]
        self.secrets.add(made)
        return made

    @property
    def profile(self) -> str:
        """This archive as a table of `access.toml`."""
        service = {
            "form": f"{self.files}/area/",
            "earthdata": f"{self.sso}/api/users/find_or_create_token",
            "signed": f"{self.sso}/sign",
        }
        lines = [
            "[test]",
            f'kind = "{self.kind}"',
            f'hosts = ["{self.files}"]',
            f'login_hosts = ["{self.sso}"]',
            'account = "https://example.org/account"',
        ]
        if self.kind in service:
            lines.append(f'login_url = "{service[self.kind]}"')
        if self.kind in {"basic", "form", "earthdata"}:
            lines += ['user = "TEST_USER"', 'password = "TEST_PASSWORD"']
        if self.kind in {"bearer", "earthdata"}:
            lines.append('token = "TEST_TOKEN"')
        return "\n".join(lines) + "\n"

    def may_log_in(self, user: str, password: str) -> bool:
        good = (user, password) == (USER, self.password)
        with self.lock:
            self.logins += good
            self.refused += not good
        return good


class _Handler(BaseHTTPRequestHandler):
    """One connection to one of the hosts."""

    archive: Archive
    host: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    sent_bytes = 0

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        archive = self.archive
        headers = {name.lower(): value for name, value in self.headers.items()}
        with archive.lock:
            archive.asked.append((self.host, self.path, headers))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.host == "sso":
            self._log_in(parts.path, query, body)
        elif self.host == "bucket":
            self._from_bucket(parts.path, query)
        else:
            self._guarded(parts.path, query)

    # What guards the files.

    def _guarded(self, path: str, query: dict[str, str]) -> None:
        archive = self.archive
        with archive.lock:
            archive.downloads += path != "/area/"
            if archive.downloads in archive.expire_at and path != "/area/":
                archive.expire_at = tuple(n for n in archive.expire_at if n != archive.downloads)
                archive.expire()
        getattr(self, f"_guard_{archive.kind}")(path, query)

    def _guard_basic(self, path: str, query: dict[str, str]) -> None:
        user, _, password = self._basic().partition(":")
        if not user:
            return self._say(401, headers={"WWW-Authenticate": 'Basic realm="files"'})
        return self._file(path) if self.archive.may_log_in(user, password) else self._say(401)

    def _guard_bearer(self, path: str, query: dict[str, str]) -> None:
        right = self.headers.get("Authorization") == f"Bearer {self.archive.token}"
        self._file(path) if right else self._say(401)

    def _guard_form(self, path: str, query: dict[str, str]) -> None:
        archive = self.archive
        if self.headers.get("Authorization"):
            return self._say(403)  # as DLR's does, without asking for anything
        if query.get("ticket") == archive.key("ticket"):
            session = f"session={archive.key('session')}; Path=/; HttpOnly; SameSite=Lax"
            return self._redirect(path, {"Set-Cookie": session})
        if self._cookies().get("session") == archive.key("session"):
            return self._file(path)
        back = urlencode({"service": f"{archive.files}{path}"})
        return self._redirect(f"{archive.sso}/eoc/auth/login?{back}")

    def _guard_earthdata(self, path: str, query: dict[str, str]) -> None:
        shown = self.headers.get("Authorization", "")
        if not shown:
            return self._redirect(f"{self.archive.sso}/oauth/authorize?client_id=1")
        if shown != f"Bearer {self.archive.token}":
            return self._say(401)
        signature = self.archive.key(f"signature {path}")
        return self._redirect(
            f"{self.archive.bucket}{path}?X-Amz-Signature={signature}", status=303
        )

    def _guard_signed(self, path: str, query: dict[str, str]) -> None:
        right = query.get("sig") == self.archive.key(f"sig {path}")
        self._file(path) if right else self._say(403)

    def _from_bucket(self, path: str, query: dict[str, str]) -> None:
        if self.headers.get("Authorization"):
            return self._say(400)  # as S3: only one way to authenticate is allowed
        # A signature outlives the token that it was got with, for a while.
        ages = (self.archive.age, self.archive.age - 1)
        good = {self.archive.key(f"signature {path}", age) for age in ages}
        return self._file(path) if query.get("X-Amz-Signature") in good else self._say(403)

    # The login.

    def _log_in(self, path: str, query: dict[str, str], body: bytes) -> None:
        archive = self.archive
        if archive.ill:
            archive.ill -= 1
            return self._say(503)
        if path == "/sign":
            href = query["href"]
            archive.logins += 1
            signed = f"{href}?sig={archive.key(f'sig {urlsplit(href).path}')}"
            return self._json({"href": signed, "msft:expiry": "2030-01-01T00:00:00Z"})
        if path == "/api/users/find_or_create_token":
            user, _, password = self._basic().partition(":")
            if self.command != "POST" or not archive.may_log_in(user, password):
                return self._say(401)
            archive.secrets.add(archive.token)
            return self._json({"access_token": archive.token, "expiration_date": "01/31/2030"})
        if path == "/eoc/auth/login":
            return self._form(query, body)
        return self._say(200, b"<html><h1>Log in</h1></html>", {"Content-Type": "text/html"})

    def _form(self, query: dict[str, str], body: bytes) -> None:
        archive = self.archive
        execution, xsrf = archive.key("execution"), archive.key("xsrf")
        page = f"""<html><body><h1>EOC Login</h1>
            <form id="other" action="/eoc/auth/delegate" method="post">
              <input type="hidden" name="_eventId" value="delegate">
              <input type="submit" name="go" value="EO-Lab"></form>
            <form id="login" action="/eoc/auth/login" method="post">
              <input name="username" value=""><input type="password" name="password">
              <input type="hidden" name="execution" value="{execution}">
              <input type="hidden" name="_eventId" value="submit">
              <input type="checkbox" name="rememberMe" value="true">
              <input type="submit" name="submit" value="Login"></form></body></html>""".encode()
        html = {"Content-Type": "text/html;charset=UTF-8"}
        if self.command == "GET":
            cookie = {"Set-Cookie": f"XSRF-TOKEN={xsrf}; Path=/eoc"}
            return self._say(200, page, html | cookie)
        given = {k: v[0] for k, v in parse_qs(body.decode(), keep_blank_values=True).items()}
        ours = {"execution": execution, "_eventId": "submit"}
        if (
            {name: given.get(name) for name in ours} != ours
            or set(given) != {*ours, "username", "password"}
            or self.headers.get("X-XSRF-TOKEN") != xsrf
            or self._cookies().get("XSRF-TOKEN") != xsrf
        ):
            return self._say(400)
        if not archive.may_log_in(given["username"], given["password"]):
            return self._say(401, page, html)
        if archive.policy:
            agree = b"<h1>Usage policy</h1><form method=post><input type=hidden name=a></form>"
            return self._say(200, agree, html)
        back = query["service"]
        ticket = f"{back}{'&' if '?' in back else '?'}ticket={quote(archive.key('ticket'))}"
        return self._redirect(ticket, {"Set-Cookie": f"TGC={archive.key('tgc')}; Path=/eoc"})

    # What is sent.

    def _file(self, path: str) -> None:
        archive = self.archive
        with archive.lock:
            archive.running += 1
            too_many = archive.running > archive.at_once
            archive.throttled += too_many
        try:
            if too_many:
                return self._say(429, headers={"Retry-After": "0"})
            time.sleep(0.02)  # so that downloads side by side meet
            return self._bytes(archive.root / path.lstrip("/"))
        finally:
            with archive.lock:
                archive.running -= 1

    def _bytes(self, path: Path) -> None:
        if path.is_dir():
            return self._say(200, b"<html>files</html>", {"Content-Type": "text/html"})
        if path.name == self.archive.forbidden:
            return self._say(403)
        if not path.is_file():
            return self._say(404)
        size = path.stat().st_size
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        first, _, last = wanted.partition("-")
        with path.open("rb") as file:
            file.seek(int(first or 0))
            part = file.read(int(last) + 1 - int(first or 0) if last else -1)
        end = int(first or 0) + len(part) - 1
        span = {"Content-Range": f"bytes {first}-{end}/{size}"} if wanted else {}
        sent = {"ETag": f'"{size}"', "Content-Type": "image/tiff", **span}
        return self._say(206 if wanted else 200, part, sent)

    def _json(self, document: dict[str, Any]) -> None:
        self._say(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _redirect(self, to: str, headers: dict[str, str] | None = None, status: int = 302) -> None:
        self._say(status, b"", {"Location": to, **(headers or {})})

    def _say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        archive = self.archive
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        left = len(body) if archive.drop_bytes is None else archive.drop_bytes - self.sent_bytes
        try:
            self.wfile.write(body[:left])
        except OSError:
            self.close_connection = True
        self.sent_bytes += len(body[:left])
        if left < len(body):
            with archive.lock:
                archive.dropped += 1
            self.close_connection = True
            linger = struct.pack("ii", 1, 5)  # what was sent arrives, then the connection ends
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _basic(self) -> str:
        shown = self.headers.get("Authorization", "").removeprefix("Basic ")
        return base64.b64decode(shown).decode()

    def _cookies(self) -> dict[str, str]:
        cookies = SimpleCookie(self.headers.get("Cookie", ""))
        return {name: morsel.value for name, morsel in cookies.items()}

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are part of the tests."""


@contextmanager
def archive(kind: str, root: Path, **options: Any) -> Iterator[Archive]:
    """Run an archive until the block ends; `options` are fields of it."""
    made = Archive(kind, root, **options)
    with ExitStack() as stack:
        for number, host in enumerate(("files", "sso", "bucket"), 1):
            handler = type("Handler", (_Handler,), {"archive": made, "host": host})
            server = _Server((f"127.0.0.{number}", 0), handler)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join, 10)
            stack.callback(server.shutdown)
            setattr(made, host, f"http://127.0.0.{number}:{server.server_address[1]}")
        yield made
