"""Histories that several tests change."""

from __future__ import annotations

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, TaskNode
from sayiir_es.core.model.commands import PauseWorkflow
from tests.audit.mutations import History, history
from tests.core.instance_runner import InstanceRunner


@pytest.fixture
def chain() -> History:
    """Two tasks and, behind the end, three refused commands."""
    runner = InstanceRunner(Graph(name="w", chain=(TaskNode(id="a"), TaskNode(id="b"))))
    runner.start(b"1")
    runner.run()
    for _ in range(3):
        runner.command(PauseWorkflow(instance_id="i", command_id=""))
    return History.of(runner)


@pytest.fixture
def slept() -> History:
    """A delay, then a task."""
    return history(DelayNode(id="d", duration_ms=700), TaskNode(id="a"))
