"""What the flows of upkeep do around the functions that they call."""

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepsalt.errors import StoreMissingError
from deepsalt.naming import names
from flows.config import Selection, TrainingConfig, UpkeepConfig, ValidateConfig, WatchConfig
from flows.logs import Discreet
from flows.prefect import maintain, train, validate
from flows.watch.alerts import Alert, open_alerts
from flows.watch.database import URL_VARIABLE, Database
from tests.store.builders import make_store

RUN = "8f0ff9a1-3d10-4f6f-8f5b-0d4d3b2f6c11"


class EnoughError(Exception):
    """Ends a flow once it was seen what its lines are named."""


def see_names(*_: object, **__: object) -> None:
    raise EnoughError(names().get("run"))


def train_a_model(folder: Path) -> None:
    train.train_model.fn(TrainingConfig(out=folder, laboratory=("lab.csv",)))


def keep_up(_: Path) -> None:
    maintain.maintain.fn(UpkeepConfig())


def judge(folder: Path) -> dict[str, Any]:
    watch = WatchConfig(
        name="all",
        selection=Selection(catalogue=str(folder)),
        out=str(folder / "store"),
        ledger=f"sqlite:///{folder}/ledger.sqlite",
    )
    return validate.validate.fn(ValidateConfig(watch=watch))


@pytest.mark.parametrize(
    ("flow", "place", "first"),
    [
        (train_a_model, "flows.training", "training_of"),
        (keep_up, "flows.prefect.maintain", "keep_up"),
        (judge, "flows.prefect.validate", "Database"),
    ],
    ids=["train-model", "maintain", "validate"],
)
def test_lines_name_the_run_and_prefect_gets_no_secret(
    flow: Callable[[Path], object],
    place: str,
    first: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", RUN)
    monkeypatch.setattr(f"{place}.{first}", see_names)
    monkeypatch.setattr(f"{place}.get_client", lambda **_: nullcontext(), raising=False)
    handler = logging.NullHandler()
    monkeypatch.setattr(logging.getLogger("prefect.flow_runs"), "handlers", [handler])
    with pytest.raises(EnoughError, match=RUN):
        flow(tmp_path)
    assert [type(each) for each in handler.filters] == [Discreet]


def runs_that(verdict: Alert | Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server say one thing of the last runs."""

    def last_runs(*_: object) -> Iterator[Alert]:
        if isinstance(verdict, Exception):
            raise verdict
        yield verdict

    monkeypatch.setattr(validate, "get_client", lambda **_: nullcontext())
    monkeypatch.setattr(validate, "last_runs", last_runs)
    monkeypatch.setattr(validate, "show_judgement", lambda *_: None)  # it needs a server


def open_in(folder: Path) -> dict[str, str]:
    with Database(f"sqlite:///{folder}/ledger.sqlite") as database:
        return {each.kind: each.sentence for each in open_alerts(database)}


FAILED = Alert("run", "build-mosaic", "the last run of build-mosaic failed", "failure")


def test_a_failed_run_is_told_where_the_store_cannot_be_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_that(FAILED, monkeypatch)
    with pytest.raises(StoreMissingError):
        judge(tmp_path)
    assert open_in(tmp_path)["run"] == FAILED.sentence


def test_a_store_that_cannot_be_judged_is_told_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_that(replace(FAILED, severity="well"), monkeypatch)
    with pytest.raises(StoreMissingError):
        judge(tmp_path)
    assert f"{tmp_path}/store cannot be judged: " in open_in(tmp_path)["unjudged"]
    make_store(tmp_path / "store")
    judge(tmp_path)
    assert {"unjudged", "run"}.isdisjoint(open_in(tmp_path))


def test_a_store_is_judged_where_the_server_does_not_say_how_runs_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_that(httpx.ReadTimeout("away"), monkeypatch)
    make_store(tmp_path / "store")
    with pytest.raises(httpx.ReadTimeout):
        judge(tmp_path)
    assert {"unjudged", "run"}.isdisjoint(open_in(tmp_path))


def test_a_service_without_a_watch_is_told_of_failed_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, f"sqlite:///{tmp_path}/ledger.sqlite")
    runs_that(FAILED, monkeypatch)
    assert validate.validate.fn(ValidateConfig()) == {"told": [asdict(FAILED)]}
