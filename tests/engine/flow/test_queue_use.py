"""The use of the start queues of a workflow is their sum, however often it is told."""

from __future__ import annotations

from sayiir_es.core.model.rows import DictRows, StartQueueState
from sayiir_es.engine.flow.queue_use import QueueUse


def rows(in_use: int, waiting: int) -> DictRows:
    state = StartQueueState(in_use=in_use, waiting=waiting, first=1, last=2, limit=9)
    return DictRows({"U": state})


def test_queues_of_a_workflow_are_added_up_and_none_twice() -> None:
    use = QueueUse()
    for _ in range(2):
        use.note("$queue/a%2Fb/x", rows(3, 2))
        use.note("$queue/a%2Fb/y", rows(1, 0))
        use.note("$queue/c", rows(0, 7))
        assert use.by_workflow == {"a/b": (4, 2), "c": (0, 7)}
    use.note("$queue/a%2Fb/x", rows(0, 1))
    use.note("$queue/c", DictRows({}))
    assert use.by_workflow == {"a/b": (1, 1), "c": (0, 0)}


def test_what_is_forgotten_is_counted_anew() -> None:
    use = QueueUse()
    use.note("$queue/a", rows(3, 2))
    use.clear()
    assert use.by_workflow == {}
    use.note("$queue/a", rows(2, 0))
    assert use.by_workflow == {"a": (2, 0)}
