"""The dashboard and the alert rules speak of metrics that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.engines.counters import COUNTERS as OF_WORKERS
from flows.service.metrics import COUNTERS, GAUGES

FOLDER = Path(__file__).resolve().parents[3] / "infra" / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
GIVEN = {f"{name}_total": labels for name, (labels, _) in COUNTERS.items()} | {
    name: labels for name, (labels, _) in GAUGES.items()
}
SELECTED = re.compile(r"(deepsalt_\w+)(?:\{([^}]*)\})?")


def test_the_document_lists_every_metric_as_it_is_given() -> None:
    text = (FOLDER.parents[1] / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(deepsalt_\w+)` \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    helps = {f"{name}_total": help for name, (_, help) in COUNTERS.items()}
    helps |= {name: help for name, (_, help) in GAUGES.items()}
    helps |= {f"{name}_total": help for name, (_, help) in OF_WORKERS.items()}
    assert {name: help for name, _, help in rows} == helps
    given = {f"{name}_total": labels for name, (labels, _) in OF_WORKERS.items()}
    for name, labels, _ in rows:
        told = re.findall(r"`(\w+)`", labels)
        assert ("store", *told) == GIVEN[name] if name in GIVEN else tuple(told) == given[name]


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (rule["expr"] for rule in RULES)


def test_every_metric_of_an_expression_is_given_with_its_labels() -> None:
    found = [match for each in expressions() for match in SELECTED.findall(each)]
    assert found
    for name, selectors in found:
        assert name in GIVEN
        assert {*re.findall(r"(\w+)=", selectors)} <= {*GIVEN[name]}


def test_every_metric_is_shown_or_watched() -> None:
    shown = {name for each in expressions() for name, _ in SELECTED.findall(each)}
    assert shown == {*GIVEN}


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_every_panel_has_title_unit_description_and_source(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_variables_of_the_dashboard_exist() -> None:
    named = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert used == named


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_rule_waits_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
