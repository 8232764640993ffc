"""Keys of limits: what a template may name, and what a value must be for one."""

from __future__ import annotations

import json

import pytest

from sayiir_es.core.graph.key_templates import (
    KEY_BYTES_MAX,
    READ_BYTES_MAX,
    UnreadableKeyError,
    check_template,
    render,
)

VALUES = {
    "workflow_input": b'{"tenant":{"id":42},"name":"caf\\u00e9","flag":true,"n":1.5}',
    "input": b'[{"sku":"a-7"},""]',
}


def key_of(template: str) -> str:
    return render(check_template(template, "key"), "orders", VALUES.__getitem__)


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("fixed", "fixed"),
        ("{workflow}:payments", "orders:payments"),
        ("tenant:{workflow_input.tenant.id}", "tenant:42"),
        ("{workflow_input.name}/{input.0.sku}", "café/a-7"),
    ],
)
def test_a_template_makes_a_key(template: str, key: str) -> None:
    assert key_of(template) == key


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{workflow_input.absent}", "a text or a whole number .* but nothing"),
        ("{workflow_input.tenant}", "but a dict"),
        ("{workflow_input.flag}", "but a bool"),
        ("{workflow_input.n}", "but a float"),
        ("{input.7.sku}", "but nothing"),
        ("{input.x}", "but nothing"),
        ("{input.1}", "but an empty text"),
    ],
)
def test_what_is_no_part_of_a_key_is_refused(template: str, why: str) -> None:
    with pytest.raises(UnreadableKeyError, match=why):
        key_of(template)


@pytest.mark.parametrize(
    "data",
    [b"{", b"\xff", b'{"a":NaN}', b"[" * 100_000, b'"' + b"x" * READ_BYTES_MAX + b'"'],
)
def test_a_value_that_is_not_read_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableKeyError, match="expected"):
        render("{input.a}", "w", lambda _: data)


@pytest.mark.parametrize("text", ["x" * (KEY_BYTES_MAX + 1), "a\0b", "\ud800"])
def test_a_key_that_is_no_id_is_refused(text: str) -> None:
    data = json.dumps({"a": text}).encode()
    with pytest.raises(UnreadableKeyError, match="expected"):
        render("{input.a}", "w", lambda _: data)


@pytest.mark.parametrize(
    "template",
    ["", "x" * 201, "{", "a}", "{tenant}", "{workflow.x}", "{input.}", "{input..a}"],
)
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"expected key"):
        check_template(template, "key")
