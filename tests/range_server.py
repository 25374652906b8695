"""A loopback web server that answers byte ranges, as object stores do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Ranges(BaseHTTPRequestHandler):
    """Serves files below `root`, whole or in ranges."""

    root: Path
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.root / self.path.split("?")[0].lstrip("/")
        body = path.read_bytes() if path.is_file() else b""
        wanted = self.headers.get("Range", "")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = body[int(first or 0) : int(last) + 1 if last else None]
        self.send_response((206 if wanted else 200) if path.is_file() else 404)
        if wanted:
            end = int(first or 0) + len(part) - 1
            self.send_header("Content-Range", f"bytes {first or 0}-{end}/{len(body)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving_files(root: Path) -> Iterator[str]:
    """Serve a folder until the block ends; yields its URL."""
    handler = type("Handler", (Ranges,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
