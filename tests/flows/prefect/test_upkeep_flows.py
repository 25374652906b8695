"""What the flows of upkeep do around the functions that they call."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from deepsalt.naming import names
from flows.config import Selection, TrainingConfig, UpkeepConfig, ValidateConfig, WatchConfig
from flows.logs import Discreet
from flows.prefect import maintain, train, validate

RUN = "8f0ff9a1-3d10-4f6f-8f5b-0d4d3b2f6c11"


class EnoughError(Exception):
    """Ends a flow once it was seen what its lines are named."""


def see_names(*_: object, **__: object) -> None:
    raise EnoughError(names().get("run"))


def train_a_model(folder: Path) -> None:
    train.train_model.fn(TrainingConfig(out=folder, laboratory=("lab.csv",)))


def keep_up(_: Path) -> None:
    maintain.maintain.fn(UpkeepConfig())


def judge(folder: Path) -> None:
    watch = WatchConfig(
        name="all",
        selection=Selection(catalogue=str(folder)),
        out=str(folder / "store"),
        ledger=f"sqlite:///{folder}/ledger.sqlite",
    )
    validate.validate.fn(ValidateConfig(watch=watch))


@pytest.mark.parametrize(
    ("flow", "place", "first"),
    [
        (train_a_model, "flows.prefect.train", "training_of"),
        (keep_up, "flows.prefect.maintain", "keep_up"),
        (judge, "flows.prefect.validate", "Database"),
    ],
    ids=["train-model", "maintain", "validate"],
)
def test_lines_name_the_run_and_prefect_gets_no_secret(
    flow: Callable[[Path], None],
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
