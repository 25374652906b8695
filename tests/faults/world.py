"""What a campaign of faults works on: small scenes, their catalogue, an undisturbed store.

Everything that starts threads or connects runs in forked children, so that the parent, which has
the command imported already, can fork a run within milliseconds and stop it at any moment of its
work.
"""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.servers.s3 import secret_of

GRACE_S = 10.0
"""What a scheduler waits between SIGTERM and SIGKILL."""

FAILED, BAD_INPUT, PARTIAL = 1, 2, 3
"""Exit codes."""
USER = "campaign"
_LIMIT_S = 180.0  # a run that takes longer hangs
_SECRETS = (secret_of(USER), "AWS4-HMAC", "X-Amz-Signature", "open-sesame")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is, who may write there, and where its mosaic is exported to.

    Parameters
    ----------
    uri
        Of the store.
    endpoint
        Of the server; None for folders.
    export
        Where the mosaic goes as plain Zarr.
    """

    uri: str
    export: str
    endpoint: str | None = None

    @classmethod
    def folder(cls, path: Path) -> "Place":
        return cls(str(path), str(path / "mosaic.zarr"))

    @property
    def path(self) -> Path:
        """The folder."""
        assert self.endpoint is None
        return Path(self.uri)

    @property
    def environment(self) -> dict[str, str]:
        """What a run finds in its environment."""
        if self.endpoint is None:
            return {}
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": secret_of(USER),
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def arguments(self) -> tuple[str, ...]:
        """Where a run writes to."""
        export = () if self.endpoint is None else ("--export", self.export)
        return ("--out", self.uri, *export)


@dataclass(frozen=True, slots=True)
class World:
    """Scenes and what an undisturbed run makes of them.

    Parameters
    ----------
    scenes
        Product folders and files, in a folder that a fault may damage and has to mend.
    catalogue
        Folder of the catalogue.
    server
        Endpoint of an S3 server; None where all stores are folders.
    wanted
        What the undisturbed store holds, see `contents`.
    seconds
        How long the undisturbed run took.
    stages
        How often an undisturbed run came to each stage, and how long one of them takes at most.
    requests
        How many an undisturbed run sends to its server.
    """

    scenes: tuple[Path, ...]
    catalogue: Path
    server: str | None = None
    wanted: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stages: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    requests: int = 0

    @property
    def port(self) -> int:
        """Of the S3 server."""
        assert self.server is not None
        return int(self.server.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Parameters
    ----------
    code
        Its exit code, minus the signal where one ended it.
    said
        What it printed.
    seconds
        How long it took.
    """

    code: int
    said: str
    seconds: float

    def fault(self, *allowed: int, says: str = "") -> str:
        """Return what is wrong with the end of a disturbed command; "" when nothing is.

        Parameters
        ----------
        allowed
            Exit codes that it may have.
        says
            What its sentence has to hold where it failed.
        """
        if self.code not in allowed:
            return f"exit code {self.code}: {self.said.strip()[-400:]}"
        if self.code not in (FAILED, BAD_INPUT):
            return "a traceback was shown" if "Traceback" in self.said else ""
        lines = [line for line in self.said.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("deepsalt: ")]
        # Of a run that mapped nothing, or whose mosaic is there and its export is not.
        reasons = [line for line in lines if re.match("(failed|quarantined|not exported) ", line)]
        if "Traceback" in self.said or "panicked" in self.said:
            return f"a traceback was shown: {self.said.strip()[-400:]}"
        if len(errors) != 1 and not reasons:
            return f"not one sentence: {lines[-3:]}"
        if says and says not in "\n".join(errors + reasons):
            return f"it does not say {says!r}: {errors}"
        return ""


@dataclass
class Trial:
    """One disturbance: a store that is empty in the beginning, and what was run on it."""

    world: World
    place: Place
    work: Path
    rng: Random
    ended: list[Ended] = field(default_factory=list)
    _logs: dict[int, tuple[Path, float]] = field(default_factory=dict)

    def start(
        self,
        *more: str,
        before: Callable[[], None] | None = None,
        catalogue: str | None = None,
        endpoint: str | None = None,
    ) -> int:
        """Begin a run on all scenes in a child; return its process id.

        `before` is called in the child; the server is spoken to at `endpoint`.
        """
        arguments = ("run", "--catalogue", catalogue or str(self.world.catalogue))
        return self.command(
            *arguments, *self.place.arguments, *more, before=before, endpoint=endpoint
        )

    def command(
        self,
        *arguments: str,
        before: Callable[[], None] | None = None,
        endpoint: str | None = None,
    ) -> int:
        """Begin a command in a child; return its process id."""
        environment = dict(self.place.environment)
        if endpoint is not None:
            environment["AWS_ENDPOINT_URL"] = endpoint
        log = self.work / f"run-{len(self._logs)}.log"

        def work() -> int:
            os.environ.update(environment)
            if before is not None:
                before()
            return command(*arguments)

        pid = forked(work, log)
        self._logs[pid] = (log, time.monotonic())
        return pid

    def is_over(self, pid: int) -> bool:
        """Return whether a command has ended, and leave it to `wait`."""
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, pid: int) -> Ended:
        """Wait for a command."""
        code = finished(pid)
        log, began = self._logs[pid]
        said = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace"))
        self.ended.append(Ended(code, said, time.monotonic() - began))
        return self.ended[-1]

    def run(self, *more: str, **options: object) -> Ended:
        """Run to the end on all scenes."""
        return self.wait(self.start(*more, **options))  # type: ignore[arg-type]

    def prune(self, **options: object) -> Ended:
        """Remove all versions but the published one, as it would be done in a month."""
        return self.wait(
            self.command("mosaic", "prune", self.place.uri, "--keep", "1", "--yes", **options)  # type: ignore[arg-type]
        )

    def leaks(self) -> str:
        """Return where a secret was shown; "" where none was."""
        for each in self.ended:
            if any(secret in each.said for secret in _SECRETS):
                return f"a credential was shown: {each.said[-400:]}"
        return ""


def simulate(folder: Path) -> World:
    """Simulate the scenes."""
    catalogue, made = folder / "catalogue", folder / "scenes.txt"
    if finished(forked(lambda: _simulate(folder / "scenes", catalogue, made), folder / "log")):
        raise RuntimeError(f"the scenes could not be simulated: {(folder / 'log').read_text()}")
    return World(tuple(map(Path, made.read_text().splitlines())), catalogue)


def _simulate(folder: Path, catalogue: Path, made: Path) -> int:
    from catalog.items import to_item
    from catalog.local import add_items
    from deepsalt.fetch.checksums import with_checksums
    from deepsalt.scenes.base import read_acquisition
    from tests.flows.conftest import simulate_scenes

    folder.mkdir()
    scenes = simulate_scenes(folder).all
    found = [with_checksums(read_acquisition(path)) for path in scenes]
    add_items(catalogue, [to_item(acquisition) for acquisition in found])
    made.write_text("\n".join(map(str, scenes)))
    return 0


def command(*arguments: str) -> int:
    """Run the deepsalt command in this process; return its exit code."""
    import sys

    from flows.command import main

    sys.argv = ["deepsalt", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1


def forked(work: Callable[[], int], log: Path) -> int:
    """Run a function in a forked child, its output in `log`; return the process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        with log.open("ab") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        code = work()
    except BaseException as error:  # noqa: BLE001 (nothing may reach the parent's code)
        os.write(2, f"Traceback: {type(error).__name__}: {error}\n".encode())
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    import sys

    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def finished(pid: int) -> int:
    """Wait for a child; return its exit code, minus the signal where one ended it.

    A child that takes too long is killed, with all it started.
    """
    begin = time.monotonic()
    while time.monotonic() - begin < _LIMIT_S:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -signal.SIGALRM


def contents(trial: Trial) -> dict[str, str]:
    """Return what a store holds, by name: of arrays and objects a digest, of others that they are.

    Whatever depends on the moment alone (dates, ids of versions) is left out.
    """
    found = trial.work / "contents.json"
    found.unlink(missing_ok=True)
    log = trial.work / "contents.log"

    def work() -> int:
        from tests.faults.contents import contents_of

        os.environ.update(trial.place.environment)
        found.write_text(json.dumps(contents_of(trial.place.uri, trial.place.export, _SECRETS)))
        return 0

    if finished(forked(work, log)):
        return {"store that can be read": log.read_text(errors="replace")[-400:]}
    known: dict[str, str] = json.loads(found.read_text())
    return known


def differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the names that only one side has, and those with another value."""
    lost = sorted({*found} ^ {*wanted})
    wrong = sorted(name for name in {*found} & {*wanted} if found[name] != wanted[name])
    return lost, wrong


def named(names: Sequence[str]) -> str:
    """Return the first of some names."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
