"""Ctrl-C in the middle of an import."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_MODULE = """
import os, signal, time
os.kill(os.getpid(), signal.{name})
try:
    time.sleep(0.2)
except BaseException as error:
    os.write(1, b"in the import")
    raise ImportError("what compiled modules make of it") from error
os.write(1, b"imported, ")
"""
_COMMAND = """
import time
from flows.cli.shared.stopping import Stopped, stop_cleanly
stop_cleanly()
try:
    import half_imported
    time.sleep(10)
except Stopped:
    print("stopped")
"""


def _as_from_a_terminal() -> None:
    """Take signals that whoever started the tests ignores, as nohup does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def stopped_in_import(folder: Path, name: str) -> str:
    (folder / "half_imported.py").write_text(_MODULE.format(name=name))
    path = os.pathsep.join([str(folder), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", _COMMAND],
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=_as_from_a_terminal,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return run.stdout.strip()


def test_a_stop_waits_for_the_end_of_an_import(tmp_path: Path) -> None:
    assert stopped_in_import(tmp_path, "SIGINT") == "imported, stopped"
    assert stopped_in_import(tmp_path, "SIGTERM") == "imported, stopped"
    assert stopped_in_import(tmp_path, "SIGHUP") == "imported, stopped"


def test_who_asks_again_later_is_not_kept_waiting_by_an_import(tmp_path: Path) -> None:
    module = "import os, time\nos.write(1, b'importing')\ntime.sleep(30)\n"
    (tmp_path / "half_imported.py").write_text(module)
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.read(9) == b"importing"
        for _ in range(2):
            run.send_signal(signal.SIGTERM)
            time.sleep(1.2)  # within a second, who asks twice is not yet impatient
        assert run.wait(timeout=20) == -signal.SIGTERM


def test_an_import_that_fails_after_a_stop_was_asked_for_is_a_stop(tmp_path: Path) -> None:
    module = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise ImportError('half')\n"
    (tmp_path / "typer.py").write_text(module)
    run = subprocess.run(
        [sys.executable, "-c", "from flows.command import main; main()"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr.count("\n")) == (130, 1), run.stderr
