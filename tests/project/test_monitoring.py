"""The dashboard and the alerts ask for metrics that there are, and have their pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sayiir_es.operations.metrics.catalogue import METRICS
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHBOARD = ROOT / "deploy" / "grafana" / "sayiir_es.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
PAGES = ROOT / "docs" / "alerts"
RULE_TESTS = Path(__file__).with_name("alerts_test.yaml")
HANDBOOK = ROOT / "docs" / "operating.md"
PROMTOOL = shutil.which("promtool")

SAMPLES = {
    name: metric
    for metric in METRICS
    for name in (
        (f"{metric.name}_bucket", f"{metric.name}_sum", f"{metric.name}_count")
        if metric.kind == "histogram"
        else (metric.name,)
    )
}
"""What can be asked for, by the name of the sample."""

OF_THE_SCRAPE = {"job", "instance", "le"}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for rule in rules():
        yield rule["expr"]


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    names = re.findall(r"\bsayiir_[a-z_]+", query)
    assert names
    assert set(names) <= SAMPLES.keys()
    labels = {label for name in names for label in SAMPLES[name].labels}
    asked = set[str]()
    for group in re.findall(r"by \(([^)]*)\)", query):
        asked |= {label.strip() for label in group.split(",")}
    for selector in re.findall(r"\{([^}]*)\}", query):
        asked |= set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", selector))
    assert asked <= labels | OF_THE_SCRAPE
    assert query.count("(") == query.count(")")


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    loaded = dashboard()
    assert loaded["schemaVersion"] >= 36
    assert loaded["title"]
    assert re.fullmatch(r"[a-z0-9-]{1,40}", loaded["uid"])
    ids = [panel["id"] for panel in loaded["panels"]]
    assert len(ids) == len(set(ids))
    for panel in loaded["panels"]:
        assert panel["type"] in ("row", "timeseries", "stat")
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) > 0
    names = {variable["name"] for variable in loaded["templating"]["list"]}
    assert set(re.findall(r"\$(?!__)(\w+)", json.dumps(loaded["panels"]))) <= names
    assert "datasource" in names


def test_no_panel_covers_another_and_none_is_outside() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                covered = taken.setdefault((x, y), panel["title"])
                assert covered == panel["title"], (panel["title"], covered)


def test_every_alert_has_a_page_of_what_to_do_and_every_page_an_alert() -> None:
    names = [rule["alert"] for rule in rules()]
    assert sorted(names) == sorted(page.stem for page in PAGES.glob("*.md"))
    for rule in rules():
        page = (PAGES / f"{rule['alert']}.md").read_text()
        assert page.startswith(f"# {rule['alert']}\n")
        assert "## What to do" in page
        assert rule["expr"] in page
        assert f"({rule['labels']['severity']})" in page
        assert rule["annotations"]["runbook_url"].endswith(
            f"/docs/alerts/{rule['alert']}.md"
        )


def test_the_handbook_has_a_row_for_each_alert_that_links_its_page() -> None:
    text = HANDBOOK.read_text().partition("\n## When an alert fires\n")[2]
    linked = re.findall(r"^\| \[(\w+)\]\(alerts/(\w+)\.md\) \|", text, re.MULTILINE)
    names = [rule["alert"] for rule in rules()]
    assert linked == [(name, name) for name in names]


def test_each_alert_is_tried_where_it_must_fire_and_where_it_must_not() -> None:
    tried = [
        (one["alertname"], bool(one.get("exp_alerts")))
        for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]
        for one in test["alert_rule_test"]
    ]
    wanted = {(rule["alert"], fires) for rule in rules() for fires in (True, False)}
    assert set(tried) == wanted


@pytest.mark.skipif(
    PROMTOOL is None,
    reason="NO PROMTOOL: the alert rules are neither checked nor tried; "
    "it is in Debian's package prometheus",
)
@pytest.mark.parametrize(
    "arguments", [("check", "rules", str(ALERTS)), ("test", "rules", str(RULE_TESTS))]
)
def test_promtool_finds_the_rules_sound_and_that_they_fire_when_they_should(
    arguments: tuple[str, ...],
) -> None:
    assert PROMTOOL is not None
    checked = subprocess.run(  # noqa: S603 (ours)
        [PROMTOOL, *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
