"""The processes of a service: started in order, again when they die, taken down together."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import httpx

from deepsalt.errors import RunError
from deepsalt.objects import Objects
from flows.service.config import ServiceConfig
from flows.service.environment import LISTENING, PODS, POOL, environment, worker_environment
from flows.service.metrics import ServiceCollector
from flows.service.pages import serve_pages
from flows.watch.database import URL_VARIABLE, Database

START_S = 120.0
"""Seconds that the server may take to answer for the first time."""

STOP_S = 30.0
"""Seconds that a process has to end after SIGTERM."""

_TIED = """
import ctypes, os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
try:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
except AttributeError:
    pass  # not Linux
if os.getppid() != parent:
    sys.exit(1)
os.execv(command[0], command)
"""
"""Becomes a command that is asked to end when `serve` dies, even of SIGKILL."""

_LOG_BYTES = 10 * 2**20
_LOG_FILES = 3
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_STEADY_S = 300.0  # a process that ran so long starts again at once


@dataclass
class Process:
    """A process that is kept alive, and its log.

    Parameters
    ----------
    name
        Its name in messages and of its log file.
    command
        Program and arguments.
    environment
        Its environment, whole.
    log
        File for what it writes; a few old ones are kept beside it.
    ready_line
        The line by which it says that it is ready; empty if it says nothing.
    shown
        Whether what it writes is also written here, as who reads the log of a pod expects.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready_line: str = ""
    shown: bool = False
    _running: subprocess.Popen[bytes] | None = None
    _since: float = 0.0
    _wait_s: float = _FIRST_WAIT_S
    _retry_at: float = 0.0
    _writers: list[threading.Thread] = field(default_factory=list)
    _said_ready: threading.Event = field(default_factory=threading.Event)
    _orphaned: list[int] = field(default_factory=list)  # groups of dead ones that have members

    def start(self) -> None:
        """Start it, in a process group of its own: Ctrl-C is for us, who end it in order."""
        self._running = subprocess.Popen(
            [sys.executable, "-c", _TIED, str(os.getpid()), *self.command],
            env=dict(self.environment),
            cwd=self.log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._since = time.monotonic()
        writer = threading.Thread(target=self._write_log, args=(self._running,), daemon=True)
        writer.start()
        self._writers = [writer]

    def revive(self) -> str | None:
        """Start it again if it died, after a wait that doubles; return what happened, or None."""
        self._orphaned = [group for group in self._orphaned if _signalled(group, 0)]
        if self._running is None:
            if time.monotonic() < self._retry_at:
                return None
            self.start()
            return f"{self.name} was started again"
        code = self._running.poll()
        if code is None:
            return None
        lived_s = time.monotonic() - self._since
        self._wait_s = (
            _FIRST_WAIT_S if lived_s > _STEADY_S else min(self._wait_s * 2, _LONGEST_WAIT_S)
        )
        self._retry_at = time.monotonic() + self._wait_s
        self._orphaned.append(self._running.pid)  # a scene at work goes on
        self._running = None
        return f"{self.name} ended with code {code}; it starts again in {self._wait_s:.0f} s"

    @property
    def ended(self) -> bool:
        """Whether it is not running."""
        return self._running is None or self._running.poll() is not None

    @property
    def is_ready(self) -> bool:
        """Whether it has said that it is ready."""
        return self._said_ready.is_set()

    def stop(self) -> None:
        """End it with its children, also those of earlier ones: politely, then by force."""
        for group in self._orphaned:
            _signalled(group, signal.SIGKILL)
        self._orphaned.clear()
        process = self._running
        if process is None:
            return
        self._running = None
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_S)
        _signalled(
            process.pid, signal.SIGKILL
        )  # children that outlived it, such as a scene at work
        process.wait()

    def _write_log(self, process: subprocess.Popen[bytes]) -> None:
        handler = RotatingFileHandler(self.log, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)
        with cast("IO[bytes]", process.stdout) as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                if text and text == self.ready_line:
                    self._said_ready.set()
                handler.emit(logging.LogRecord(self.name, logging.INFO, "", 0, text, None, None))
                if self.shown:
                    sys.stdout.write(f"{self.name}: {text}\n")
                    sys.stdout.flush()
        handler.close()

    def last_line(self) -> str:
        """Return the last line that it wrote; empty if there is none."""
        if self.ended:
            for writer in self._writers:
                writer.join(timeout=2)
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def _signalled(group: int, number: int) -> bool:
    """Send a signal to a process group; return whether there is one. 0 only asks."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


class Service:
    """The processes of a service on this machine; a context manager that takes them down.

    Parameters
    ----------
    config
        What it keeps.
    say
        Receives one line on each thing that happens.

    Raises
    ------
    RunError
        A port is taken, or a process does not start.
    """

    def __init__(self, config: ServiceConfig, say: Callable[[str], None]) -> None:
        self._config = config
        self._tell = say
        self._environment = environment(config)
        self._processes: list[Process] = []
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as unfinished:
            unfinished.callback(self._stop)
            self._start()
            unfinished.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def watch_over(self) -> None:
        """Start again what died since the last call."""
        for each in self._processes:
            said = each.revive()
            if said:
                self._say(said)

    def _start(self) -> None:
        config = self._config
        refuse_taken(config.host, config.port)
        refuse_taken(config.host, config.metrics_port)
        (config.folder / "logs").mkdir(parents=True, exist_ok=True)
        database = self._opened.enter_context(Database(self._environment[URL_VARIABLE]))
        self._say("starting the server")
        server = self._launch(
            "server",
            ["prefect", "server", "start", "--host", config.host, "--port", str(config.port)],
        )
        self._await(server, self._answers)
        self._say("applying the deployments")
        self._apply()
        limit = str(config.scenes_at_once + 2)  # watchers and builds do not wait for scenes
        pool, kind = (PODS, "kubernetes") if config.kubernetes else (POOL, "process")
        worker = ["prefect", "worker", "start", "--pool", pool, "--type", kind]
        self._launch("worker", [*worker, "--limit", limit, "--install-policy", "never"])
        listener = self._launch(
            "listener",
            [sys.executable, "-m", "deepsalt", "listen", config.model_dump_json()],
            ready_line=LISTENING,
        )
        self._await(listener, lambda: listener.is_ready)
        collector = ServiceCollector(database, [config.store])
        pages = serve_pages(
            collector, Objects.of(config.store), config.metrics_port, host=config.host
        )
        self._opened.enter_context(pages)

    def _say(self, line: str) -> None:
        with suppress(OSError):  # the terminal was closed
            self._tell(line)

    def _launch(self, name: str, command: list[str], *, ready_line: str = "") -> Process:
        if command[0] == "prefect":
            command = [sys.executable, "-m", *command]
        log = self._config.folder / "logs" / f"{name}.log"
        told = self._environment
        if name == "worker":
            told = worker_environment(self._config, told)
        shown = self._config.kubernetes is not None
        process = Process(name, command, told, log, ready_line, shown)
        self._processes.append(process)
        process.start()
        return process

    def _await(self, process: Process, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + START_S
        while not ready():
            if process.ended:
                raise RunError(
                    f"the {process.name} did not start ({process.last_line()[:300]}); see "
                    f"{process.log}"
                )
            if time.monotonic() > until:
                raise RunError(
                    f"the {process.name} was not ready within {START_S:.0f} s; see {process.log}"
                )
            time.sleep(0.2)

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self._config.api}/health", timeout=2).status_code == 200
        return False

    def _apply(self) -> None:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "deepsalt", "deploy", self._config.model_dump_json()],
                env=self._environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=START_S,
            )
        except subprocess.TimeoutExpired:
            raise RunError(
                f"the deployments were not applied within {START_S:.0f} s; see "
                f"{self._config.folder / 'logs' / 'server.log'}"
            ) from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [""]
            raise RunError(f"the deployments could not be applied ({lines[-1][:300]})")

    def _stop(self) -> None:
        # A second signal would leave processes behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._opened.close()
        # The server last: the others tell it what became of their work.
        for each in reversed(self._processes):
            if not each.ended:
                self._say(f"stopping the {each.name}")
            each.stop()
        self._processes.clear()


def refuse_taken(host: str, port: int) -> None:
    """Refuse a port that another program listens on.

    Raises
    ------
    RunError
        The port is taken, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RunError(
                f"{host} port {port} cannot be used ({error.strerror}); stop what listens there, "
                "such as another service, or give another port"
            ) from None
