"""A PostgreSQL server of a test, on loopback, from Debian's package (tests/servers/install.sh)."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.ports import free_port

USER = "postgres" if os.geteuid() == 0 else None
"""Who runs the server: PostgreSQL refuses root."""


def programs() -> Path:
    """Return the folder of `initdb` and `pg_ctl`."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    assert folders, "PostgreSQL is not installed; run tests/servers/install.sh"
    return folders[0]


@dataclass
class Postgres:
    """A server that a test starts and stops."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        told = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self.folder}"
        self._call("pg_ctl", "-D", str(self.folder), "-o", told, "-w", "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", str(self.folder), "-m", "immediate", "-w", "stop")

    def _call(self, program: str, *args: str) -> None:
        command = [str(programs() / program), *args]
        with (self.folder / "log").open("a") as log:
            subprocess.run(
                command, user=USER, cwd=self.folder, stdout=log, stderr=log, check=True, timeout=60
            )


@contextmanager
def postgres() -> Iterator[Postgres]:
    # Not pytest's folder: the server's own user may not enter it.
    folder = Path(tempfile.mkdtemp(prefix="deepsalt-postgres-"))
    data = folder / "data"
    data.mkdir()
    if USER:
        shutil.chown(data, USER)
        folder.chmod(0o755)
    server = Postgres(data, free_port())
    subprocess.run(
        [programs() / "initdb", "-D", data, "-U", "postgres", "-A", "trust"],
        user=USER,
        cwd=folder,
        capture_output=True,
        check=True,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
