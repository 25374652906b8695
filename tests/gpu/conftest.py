"""The table of `make test-gpu`: the machine, its figures, and what held."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from tests.gpu.device import REHEARSAL

OUT = "DEEPSALT_GPU_OUT"
"""Environment variable: the files to write, without their endings."""
UNPROVEN = "unproven: this machine has no CUDA device that torch can use"

_machine: dict[str, str] = {}
_figures: dict[str, str] = {}
_checks: dict[str, str] = {}


@pytest.hookimpl(tryfirst=True)  # before scenes are made
def pytest_runtest_setup(item: pytest.Item) -> None:
    there = torch.cuda.is_available() or os.environ.get(REHEARSAL)
    if item.get_closest_marker("gpu") and not there:
        pytest.skip(UNPROVEN)


@pytest.fixture(scope="session")
def machine() -> dict[str, str]:
    """What the machine is."""
    return _machine


@pytest.fixture(scope="session")
def figures() -> dict[str, str]:
    """What was measured."""
    return _figures


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "gpu" in report.keywords and (report.when == "call" or report.failed):
        _checks[report.nodeid.rpartition("::")[2]] = report.outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _checks or not os.environ.get(OUT):
        return
    out = Path(os.environ[OUT])
    out.parent.mkdir(parents=True, exist_ok=True)
    about = {**_machine, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    found = {"machine": about, "figures": _figures, "checks": _checks}
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    out.with_suffix(".md").write_text(table(found))
    terminalreporter.write(f"\n{table(found)}")


def table(found: dict[str, dict[str, str]]) -> str:
    """Return machine, figures and checks as a table."""
    rows = [("| what | found |", "|---|---|")]
    rows += [
        tuple(f"| {name.replace('_', ' ')} | {value} |" for name, value in part.items())
        for part in found.values()
    ]
    return "\n".join(line for lines in rows for line in lines) + "\n"
