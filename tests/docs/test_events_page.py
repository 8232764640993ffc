"""The page of the event contract names every kind, its fields, and every code."""

from __future__ import annotations

import ast
import re

from sayiir_es.wire.events import COMMON_FIELDS
from sayiir_es.wire.schema import EVENT_NAMESPACE, load_schemas
from tests.tree import ROOT

PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| ((?:`\w+` ?)+) \|", PAGE, re.MULTILINE)


def test_each_kind_has_a_row_with_its_own_fields_in_their_order() -> None:
    told = {kind: re.findall(r"`(\w+)`", names) for kind, names in ROWS}
    assert len(told) == len(ROWS)
    assert told == {
        name: [field.name for field in schema.fields if field.name not in COMMON_FIELDS]
        for name, schema in load_schemas(EVENT_NAMESPACE).items()
    }


def test_the_common_fields_stand_in_their_order() -> None:
    section = PAGE.partition("## Common fields")[2].partition("\n\n**")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \| ", section, re.MULTILINE)) == COMMON_FIELDS


def test_each_code_of_a_rejection_is_told() -> None:
    section = PAGE.partition("| code of `CommandRejected` |")[2].partition("###")[0]
    told = set(re.findall(r"`(\w+)`", section))
    assert codes_in_core() <= told, codes_in_core() - told


def codes_in_core() -> set[str]:
    """The codes that the core rejects commands with, where they stand in a call."""
    codes = {"not_found", "terminal", "too_large"}
    for path in (ROOT / "sayiir_es" / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="reject"),
                    args=[_, _, ast.Constant(value=str(code)), *_],
                ):
                    codes.add(code)
                case _:
                    pass
    assert len(codes) > 8
    return codes
