"""No decision of the behaviour, S-01 to S-72, is without a test that names it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FIXED_OR_CHOSEN = {
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 17, 19, 24, 26, 29, 30, 33, 36),
    *(39, 40, 47, 50, 53, 54, 61, 62),
}
"""Where we build what Sayiir meant, or chose among what it could have meant."""

KEPT_IN_SIGHT = {
    *(12, 16, 18, 20, 21, 22, 23, 25, 27, 28, 31, 32, 34, 35, 37, 38, 41, 42, 43, 44),
    *(45, 46, 48, 49, 51, 52, 55, 56, 57, 58, 59, 60, 63, 64, 65, 67, 68, 69, 70, 71),
    72,
}
"""Where users see that we do as Sayiir does."""

NOT_IN_SIGHT = {66: "leases of claims: a partition has one owner, see `log.port`"}


def test_every_decision_has_a_test_of_its_number() -> None:
    tested: set[int] = set()
    for path in Path(__file__).parent.glob("test_s*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.FunctionDef) and re.match(
                r"test_s(\d\d)_", node.name
            )
            if named:
                tested.add(int(named.group(1)))
    assert tested == FIXED_OR_CHOSEN | KEPT_IN_SIGHT
    assert tested | set(NOT_IN_SIGHT) == set(range(1, 73))
