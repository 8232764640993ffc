"""The use of the limits of a partition is their sum, however often it is told."""

from __future__ import annotations

from sayiir_es.core.model.rows import DictRows, Limit
from sayiir_es.engine.flow.limit_use import LimitUse


def rows(in_use: int, waiting: int) -> DictRows:
    return DictRows({"L": Limit(in_use=in_use, head=5, tail=5 + waiting)})


def test_limits_are_added_up_and_none_twice() -> None:
    use = LimitUse()
    for _ in range(2):
        use.note("$limit/a", rows(3, 2))
        use.note("$limit/b", rows(1, 0))
        assert (use.in_use, use.waiting) == (4, 2)
    use.note("$limit/a", rows(0, 1))
    assert (use.in_use, use.waiting) == (1, 1)
    use.note("$limit/a", rows(0, 0))
    use.note("$limit/b", DictRows({}))
    assert (use.in_use, use.waiting) == (0, 0)


def test_what_is_forgotten_is_counted_anew() -> None:
    use = LimitUse()
    use.note("$limit/a", rows(3, 2))
    use.clear()
    assert (use.in_use, use.waiting) == (0, 0)
    use.note("$limit/a", rows(2, 0))
    assert (use.in_use, use.waiting) == (2, 0)
