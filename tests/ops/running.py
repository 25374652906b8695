"""A service that a test runs: `deepsalt serve` in a process of its own, and what it is asked."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pystac

from catalog.items import to_item
from catalog.local import add_items
from deepsalt.scenes.base import read_acquisition
from deepsalt.types import Acquisition
from flows.service.environment import PASSWORD_VARIABLE
from tests.servers.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
HOOKS = Path(__file__).parent / "hooks"
OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def many(path: Path, count: int, *, first: int = 0) -> list[Acquisition]:
    """Return acquisitions of one product's pixels, each with an id and a day of its own."""
    one = read_acquisition(path)
    made = []
    for number in range(first, first + count):
        name = f"DT{number:010d}_001"
        start = datetime(2024, 4, 1, 5, 20, tzinfo=UTC) + timedelta(hours=number)
        made.append(
            replace(
                one,
                acquisition_id=name,
                scene_id=f"ENMAP01-____L2A-{name}",
                start=start,
                end=start + timedelta(seconds=4),
            )
        )
    return made


def item_of(each: Acquisition, **properties: object) -> pystac.Item:
    item = to_item(each)
    item.properties["updated"] = datetime.now(UTC).isoformat()
    item.properties |= properties
    return item


@dataclass
class Running:
    """`deepsalt serve` in a folder; its watch is named `all` and watches `catalogue`."""

    folder: Path
    database: str | None = None
    every: str = "0 0 1 1 *"
    settings: str = ""
    watched: str = ""
    wait_min: float = 30.0
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def state(self) -> Path:
        return self.folder / "service"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def file(self) -> Path:
        return self.folder / "service.toml"

    def write(self) -> None:
        database = f'database = "{self.database}"\n' if self.database else ""
        self.file.write_text(
            f'store = "{self.store}"\nfolder = "{self.state}"\n{database}port = {self.port}\n'
            f"metrics_port = {self.metrics_port}\n{self.settings}\n"
            f'[[watch]]\nname = "all"\nevery = "{self.every}"\nwait_min = {self.wait_min}\n'
            f'selection = {{catalogue = "{self.watched or self.catalogue}"}}\n'
        )

    def command(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows", *args],
            env=self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )

    @property
    def env(self) -> dict[str, str]:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        own = {
            "HOME": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HOOKS)]),
            "DEEPSALT_TEST_HOOK": str(self.left_the_machine),
        }
        return plain | own | self.environment

    @property
    def left_the_machine(self) -> Path:
        """File of the addresses off this machine that were asked for."""
        return self.folder / "left-the-machine"

    @property
    def hooked(self) -> set[int]:
        """Process ids of all Python processes of the service that write such addresses down."""
        return {int(each) for each in (self.folder / "left-the-machine.by").read_text().split()}

    def __enter__(self) -> "Running":
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.catalogue.exists():
            add_items(self.catalogue, [])
        self.start()
        return self

    def start(self) -> None:
        self.write()
        with (self.folder / "serve.out").open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows", "serve", "--config", str(self.file)],
                env=self.env,
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        wait_until(self._ready, "the service did not start", alive=self.alive, patience_s=120)

    def _ready(self) -> bool:
        return "next  " in (self.folder / "serve.out").read_text()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, number: int = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=90)
        (self.folder / "serve.out").rename(self.folder / "serve.before.out")
        return code

    def __exit__(self, *_: object) -> None:
        if self.alive():
            self.stop()

    def children(self, name: str) -> list[int]:
        """Return the process ids of a child of the service: server, worker or listener."""
        words = {
            "server": "prefect server",
            "worker": "prefect worker",
            "listener": "deepsalt listen",
        }
        assert self.process is not None
        return children(self.process.pid, words[name])

    def publish(self, scenes: Iterable[Acquisition]) -> list[str]:
        """Put scenes into the catalogue; return the paths of their Items."""
        items = [item_of(each) for each in scenes]
        add_items(self.catalogue, items)
        return [str(next(self.catalogue.rglob(f"{item.id}.json"))) for item in items]

    def post(self, *payloads: dict[str, Any]) -> None:
        """Announce by HTTP, as anyone can who reaches the server."""
        events = [
            {
                "id": str(uuid4()),
                "occurred": datetime.now(UTC).isoformat(),
                "event": "deepsalt.scene.arrived",
                "resource": {"prefect.resource.id": "deepsalt.scene"},
                "payload": payload,
            }
            for payload in payloads
        ]
        answer = httpx.post(f"{self.api}/events", json=events, timeout=60, auth=self._login)
        assert answer.status_code == 204, answer.text

    def run(
        self, deployment: str, *, job_variables: dict[str, str] | None = None, **parameters: object
    ) -> str:
        """Start a run of a deployment; return its id."""
        found = self._get(f"deployments/name/{deployment}")
        told: dict[str, Any] = {"parameters": parameters} if parameters else {}
        if job_variables:
            told["job_variables"] = job_variables
        return str(self._post(f"deployments/{found['id']}/create_flow_run", told)["id"])

    def runs(self, flow: str, *types: str) -> list[dict[str, Any]]:
        """Return the runs of a flow, those in states of some types if given."""
        asked: dict[str, Any] = {"flows": {"name": {"any_": [flow]}}, "limit": 200}
        if types:
            asked["flow_runs"] = {"state": {"type": {"any_": list(types)}}}
        found: list[dict[str, Any]] = []
        while page := self._post("flow_runs/filter", asked | {"offset": len(found)}):
            found += page
        return found

    def wait_for(self, run: str, *types: str, patience_s: float = 120) -> dict[str, Any]:
        """Wait until a run is over, or in a state of one of the types; return it."""

        def there() -> bool:
            return self._get(f"flow_runs/{run}")["state_type"] in (types or OVER)

        wait_until(there, f"run {run} did not end", alive=self.alive, patience_s=patience_s)
        return self._get(f"flow_runs/{run}")

    def complete(self, run: str, *, patience_s: float = 120) -> None:
        """Wait until a run is over; it must be completed."""
        ended = self.wait_for(run, patience_s=patience_s)
        assert ended["state_type"] == "COMPLETED", ended["state"]["message"]

    def cancel(self, run: str) -> None:
        """Ask for the end of a run, as the button on its page does."""
        answer = self._post(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
        assert answer["status"] == "ACCEPT", answer

    def answers(self) -> bool:
        """Return whether the server answers."""
        try:
            return httpx.get(f"{self.api}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def products(self) -> set[str]:
        """Return the names of the complete products."""
        return {path.stem for path in self.store.glob("records/done/*.json")}

    def begun(self) -> set[str]:
        """Return the names of the products of which the store has a part."""
        return {path.stem for path in self.store.glob("scenes/*.zarr")}

    def logs(self, name: str) -> str:
        return (self.state / "logs" / f"{name}.log").read_text()

    @property
    def _login(self) -> tuple[str, str] | None:
        user, _, password = self.environment.get(PASSWORD_VARIABLE, "").partition(":")
        return (user, password) if user else None

    def _get(self, path: str) -> Any:
        answer = httpx.get(f"{self.api}/{path}", timeout=60, auth=self._login)
        answer.raise_for_status()
        return answer.json()

    def _post(self, path: str, document: dict[str, Any]) -> Any:
        answer = httpx.post(f"{self.api}/{path}", json=document, timeout=60, auth=self._login)
        answer.raise_for_status()
        return answer.json()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(parent: int, words: str) -> list[int]:
    """Return the ids of the child processes whose command has some words."""
    asked = ["pgrep", "-f", "-P", str(parent), words]
    found = subprocess.run(asked, capture_output=True, text=True)
    return [int(each) for each in found.stdout.split()]


def pid_of(run: dict[str, Any]) -> int:
    """Return the process id of a flow run."""
    return int(run["infrastructure_pid"].rpartition(":")[2])


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that nobody has let go of yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
