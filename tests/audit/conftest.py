"""Histories that several tests change."""

from __future__ import annotations

import pytest

from sayiir_es.core.commands import PauseWorkflow
from sayiir_es.core.definition import Graph
from sayiir_es.core.graph import DelayNode, TaskNode
from tests.audit.changing import History, history
from tests.core.play import Play


@pytest.fixture
def chain() -> History:
    """Two tasks and, behind the end, three refused commands."""
    play = Play(Graph(name="w", chain=(TaskNode(id="a"), TaskNode(id="b"))))
    play.start(b"1")
    play.run()
    for _ in range(3):
        play.command(PauseWorkflow(instance_id="i", command_id=""))
    return History.of(play)


@pytest.fixture
def slept() -> History:
    """A delay, then a task."""
    return history(DelayNode(id="d", duration_ms=700), TaskNode(id="a"))
