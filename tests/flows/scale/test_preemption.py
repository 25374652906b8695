"""A prediction for runs whose pods are killed, and how it is compared with them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.scale import preemption

CALM = [
    {"scenes": 8, "workers": 2, "seconds": 38.0},
    {"scenes": 24, "workers": 2, "seconds": 94.0},
]


def predicted(**more: Any) -> dict[str, Any]:
    asked = {"scenes": 40, "workers": 4, "kills_per_hour": 0.0, **more}
    return preemption.predict(CALM, **asked)


def test_runs_without_kills_give_the_seconds_of_start_and_scene() -> None:
    assert preemption.fitted(CALM) == pytest.approx((10.0, 7.0))


def test_runs_of_one_size_are_refused() -> None:
    with pytest.raises(SystemExit, match="must differ"):
        preemption.fitted(CALM[:1] * 2)


def test_without_kills_the_prediction_is_the_straight_line() -> None:
    found = predicted()
    assert found["seconds"] == found["calm_seconds"] == 80.0
    assert found["kills"] == 0


def test_kills_make_the_prediction_longer() -> None:
    few, many = (predicted(kills_per_hour=rate) for rate in (30, 120))
    assert 80 < few["seconds"] < many["seconds"]
    assert 0 < few["wasted_s"] < many["wasted_s"]


@pytest.mark.parametrize(("seconds", "code"), [([90, 100], 0), ([110, 120], 1), ([60], 1)])
def test_a_mean_more_than_a_fifth_off_fails(
    seconds: list[float], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "prediction.json", tmp_path / "measured.json"]
    paths[0].write_text(json.dumps(predicted()))
    result = {"effort": {"scenes_s": seconds[0]}, "begun_again": 3, "wasted_s": 4.0}
    paths[1].write_text(json.dumps([result, *seconds[1:]]))
    monkeypatch.setattr(sys, "argv", ["preemption", "compare", *map(str, paths)])
    with pytest.raises(SystemExit) as ended:
        preemption.main()
    assert ended.value.code == code
