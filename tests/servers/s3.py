"""A real S3 server on loopback: SeaweedFS, in a folder of the test, open or with identities."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import wait_until

_GRPC = 10_000  # SeaweedFS listens there as well, above each of its ports


@contextmanager
def serving_s3(
    folder: Path, bucket: str, identities: Mapping[str, Sequence[str]] | None = None
) -> Iterator[str]:
    """Serve an empty bucket; the endpoint's URL.

    `identities` names access keys and what each may do (``"Read:bucket"``, ``"List"``); the secret
    key of each is `secret_of` it. Without identities everyone may do everything.
    """
    master, volume, filer, s3 = _free_ports(4)
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.port={s3}",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=50",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
    ]
    if identities is not None:
        config = folder / "identities.json"
        config.write_text(
            json.dumps({"identities": [_identity(*each) for each in identities.items()]})
        )
        command.append(f"-s3.config={config}")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _make_bucket(filer, bucket, server)
            _wait_for(lambda: _ask(s3, "GET", "/") is not None, server)
            yield f"http://127.0.0.1:{s3}"
        finally:
            server.kill()
            server.wait()


def secret_of(name: str) -> str:
    """Return the secret key of an identity."""
    return f"open-sesame-{name}"


def _identity(name: str, actions: Sequence[str]) -> dict[str, object]:
    keys = [{"accessKey": name, "secretKey": secret_of(name)}]
    return {"name": name, "credentials": keys, "actions": [*actions]}


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
    """Make the bucket where the server keeps buckets, which asks for no signature."""

    def takes_objects() -> bool:
        # The folder is made before there is a volume to write to.
        made = _ask(port, "POST", f"/buckets/{bucket}/") in (200, 201, 409)
        return made and _ask(port, "PUT", f"/buckets/{bucket}/probe", b"1") in (200, 201)

    _wait_for(takes_objects, server)
    _ask(port, "DELETE", f"/buckets/{bucket}/probe")


def _wait_for(true: Callable[[], object], server: "subprocess.Popen[bytes]") -> None:
    wait_until(true, "no S3 server answers; see its log", alive=lambda: server.poll() is None)


def _ask(port: int, method: str, path: str, body: bytes | None = None) -> int | None:
    """Send a request; the answer's status, None without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=body)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
