"""A web server with ranges and a latency, in a process of its own so that its work is not counted.

`tests.servers.ranges` reads a file whole for each request, which is too slow for scenes.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Distant(BaseHTTPRequestHandler):
    """Answers each request, whole files or one range, after `latency_s`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *args: object, root: Path, latency_s: float) -> None:
        self.root, self.latency_s = root, latency_s
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        time.sleep(self.latency_s)
        path = self.root / self.path.split("?")[0].lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = path.stat().st_size
        wanted = self.headers.get("Range", "")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first or 0), min(int(last) + 1, size) if last else size
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            with path.open("rb") as file:
                self.connection.sendfile(file, start, stop - start)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(root: Path, latency_s: float) -> Iterator[str]:
    """Serve a folder from another process until the block ends; yields its URL."""
    command = [sys.executable, "-m", "tests.benchmarks.serve", str(root), str(latency_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description="serve a folder with ranges and a latency")
    parser.add_argument("root", type=Path)
    parser.add_argument("latency_s", type=float)
    args = parser.parse_args()
    handler = partial(Distant, root=args.root, latency_s=args.latency_s)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
