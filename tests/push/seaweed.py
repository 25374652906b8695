"""A real S3 server on loopback: SeaweedFS, in a folder of the test."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_S = 60.0
_GRPC = 10_000  # SeaweedFS listens there as well, above each of its ports


@contextmanager
def serving_s3(folder: Path, bucket: str) -> Iterator[str]:
    """Serve an empty bucket; the endpoint's URL."""
    master, volume, filer, s3 = _free_ports(4)
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={s3}", f"-master.port={master}",
        f"-volume.port={volume}", f"-filer.port={filer}", "-master.volumeSizeLimitMB=64",
        "-volume.max=50", "-s3.port.iceberg=0", "-s3.port.lance=0",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _make_bucket(s3, bucket, server)
            yield f"http://127.0.0.1:{s3}"
        finally:
            server.kill()
            server.wait()


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        # Below the ports that the system gives to clients.
        port = 11_000 + int.from_bytes(os.urandom(2), "big") % 9_000
        if port not in found and _is_free(port) and _is_free(port + _GRPC):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _make_bucket(port: int, bucket: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        assert server.poll() is None, "the S3 server ended; see its log"
        # The bucket answers before there is a volume to write to.
        if _put(port, f"/{bucket}") in (200, 409) and _put(port, f"/{bucket}/probe") == 200:
            return
        assert time.monotonic() < until, "the S3 server does not answer"
        time.sleep(0.2)


def _put(port: int, path: str) -> int | None:
    """Put an object of one byte; the answer's status, None without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("PUT", path, body=b"1" if path.count("/") > 1 else None)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
