"""`deepsalt proposals` lists what a catalogue lost, and keeps what a person wants to keep."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.config import Grid
from flows.run.stores import open_store
from flows.service.config import read_config
from flows.service.environment import database_of
from flows.watch.database import Database
from flows.watch.ledger import Ledger, Proposal
from tests.store.builders import REF

Propose = Callable[..., Result]


@pytest.fixture
def proposals(tmp_path: Path) -> Propose:
    """The verb, for a service with two proposals."""
    file = tmp_path / "service.toml"
    file.write_text(f'store = "{tmp_path}/store"\nfolder = "{tmp_path}/service"\n')
    config = read_config(file)
    (tmp_path / "service").mkdir()
    open_store(config.store, REF, Grid(), None)
    with Database(database_of(config)) as database:
        for number in (1, 2):
            made = datetime(2026, 3, number, tzinfo=UTC)
            lost = Proposal(config.store, "enmap-l2a", f"DT{number}", "it is lost", made)
            Ledger(database).propose(lost)

    def told(*args: str) -> Result:
        return CliRunner().invoke(app, ["proposals", "--config", str(file), *args])

    return told


def test_proposals_are_listed_with_the_reason_and_what_to_do(proposals: Propose) -> None:
    lines = proposals().stdout.splitlines()
    assert lines[0] == "proposed   enmap-l2a/DT1: it is lost, 2026-03-01"
    assert "deepsalt mosaic withdraw" in lines[-1]
    assert "--keep" in lines[-1]


def test_a_scene_that_is_kept_is_listed_no_more(proposals: Propose) -> None:
    assert "kept       enmap-l2a/DT1" in proposals("--keep", "enmap-l2a/DT1").stdout
    (left,) = json.loads(proposals("--json").stdout)
    assert left["acquisition"] == "DT2"


def test_what_is_not_proposed_cannot_be_kept(proposals: Propose) -> None:
    refused = proposals("--keep", "enmap-l2a/DT9").exception
    assert "enmap-l2a/DT9 is not proposed for withdrawal" in str(refused)


def test_a_service_without_a_store_has_nothing_to_propose(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text(f'store = "{tmp_path}/store"\nfolder = "{tmp_path}/service"\n')
    refused = CliRunner().invoke(app, ["proposals", "--config", str(file)]).exception
    assert "there is no store at" in str(refused)
