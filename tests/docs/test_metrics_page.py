"""The page of metrics and health lists what there is."""

from __future__ import annotations

import re

from sayiir_es.operations import worker_health
from sayiir_es.operations.metrics.catalogue import METRICS
from tests.tree import ROOT

PAGE = ROOT / "docs" / "guides" / "metrics-and-health.md"


def rows(first: str) -> list[list[str]]:
    """The cells of the rows whose first cell is code that matches."""
    lines = PAGE.read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if re.match(rf"\| `{first}` \|", line)
    ]


def test_the_table_has_each_metric_as_the_catalogue_has_it() -> None:
    assert rows("sayiir_[a-z_]+") == [
        [
            f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels) or "–",
            metric.meaning,
        ]
        for metric in METRICS
    ]


def test_the_table_has_each_problem_that_health_names() -> None:
    source = (ROOT / "sayiir_es/operations/worker_health.py").read_text()
    named = set(re.findall(r'code="([a-z_]+)"', source))
    named |= {"store_failed", "refused", "stopped"}  # from codes of refusals
    assert {row[0].strip("`") for row in rows("[a-z_]+") if len(row) == 2} == named


def test_the_page_says_the_limits_of_health() -> None:
    text = PAGE.read_text()
    for limit_s, words in (
        (worker_health.LOOP_AGE_MAX_S, "for 10 seconds"),
        (worker_health.TURN_AGE_MAX_S, "for 15 seconds"),
        (worker_health.HEARTBEAT_AGE_MAX_S, "for 20 seconds"),
        (worker_health.STUCK_S, "for a minute"),
    ):
        assert words in text
        assert words.split()[1] in (f"{limit_s:.0f}", "a")
