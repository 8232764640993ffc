"""Holds the pages to the code: each error has one, and every link leads somewhere."""

from __future__ import annotations

import ast
import inspect
import re
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model import errors
from tests.tree import ROOT, files, modules

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = {
    "sayiir_es/wire/errors.py: UnreadableError": "adds a reason, has no code",
}

ERROR_CLASSES = [
    error
    for error in vars(errors).values()
    if inspect.isclass(error) and issubclass(error, errors.WorkflowError)
]
_ERROR_NAMES = {error.__name__ for error in ERROR_CLASSES}


@pytest.mark.parametrize("error", ERROR_CLASSES, ids=lambda error: error.__name__)
def test_each_error_says_what_an_operator_does_and_has_a_page(
    error: type[errors.WorkflowError],
) -> None:
    assert "Operator action:" in (error.__doc__ or "")
    page = (ROOT / "docs" / "errors" / f"{error.code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# `{error.code}`\n")
    assert f"`{error.__name__}`" in page
    retriable = "yes" if error.retriable else "no"
    assert f"Trying again can help: {retriable}." in page
    assert "## Cause" in page
    assert "## What to do" in page


def test_no_two_errors_share_a_code_and_no_page_is_left_over() -> None:
    codes = [error.code for error in ERROR_CLASSES]
    assert len(codes) == len(set(codes))
    pages = {path.stem for path in (ROOT / "docs" / "errors").glob("*.md")}
    assert pages - {"README"} == set(codes)


def test_error_classes_stand_in_one_module() -> None:
    elsewhere = {
        f"{module.name}: {node.name}"
        for module in modules("sayiir_es/")
        if module.name != "sayiir_es/core/model/errors.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(b).rpartition(".")[2] in _ERROR_NAMES for b in node.bases)
    }
    assert elsewhere == set(ELSEWHERE)


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def test_links_between_pages_lead_somewhere() -> None:
    broken: list[str] = []
    pages = [name for name in files() if name.endswith(".md")]
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in LINK.findall(CODE.sub("", text)):
            address, _, heading = target.partition("#")
            if ":" in address:
                continue  # another place's page
            path = (ROOT / page).parent / address if address else ROOT / page
            if not path.exists() or (heading and heading not in _headings(path)):
                broken.append(f"{page}: {target}")
    assert "README.md" in pages
    assert not broken


def _headings(page: Path) -> set[str]:
    """The anchors of a page, as forges make them of its headings."""
    lines = page.read_text(encoding="utf-8").splitlines()
    titles = (line.lstrip("#").strip().lower() for line in lines if line[:1] == "#")
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}
