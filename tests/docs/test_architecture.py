"""Holds the architecture's lists of files to what the tree has of each example."""

from __future__ import annotations

import re

import pytest

from tests import tree
from tests.tree import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
SCOPE = re.compile(
    r"^(sayiir_es/|schemas/(?!frozen/)|asyncapi\.yaml|docs/guides/|docs/operating)"
)
SECTIONS = dict(
    re.findall(r"^### (a[n]? .+?)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL)
)
FILE = re.compile(r"`((?:sayiir_es|schemas|docs)/[\w/.-]+|asyncapi\.yaml)`")


def test_the_page_tells_how_to_add_each_kind_of_thing() -> None:
    assert list(SECTIONS) == [
        "a construct",
        "an event kind",
        "a setting",
        "a verb of the command line",
        "a log adapter",
    ]


@pytest.mark.parametrize("name", SECTIONS)
def test_the_files_that_an_example_touches_are_those_of_the_list(name: str) -> None:
    text = SECTIONS[name]
    pattern = re.search(r"^Found by: `(.+)`$", text, re.MULTILINE)
    assert pattern is not None
    example = re.compile(pattern[1])
    bullets = text[text.index("\n* ") :]
    listed = FILE.findall(bullets)
    touched = [
        file
        for file in tree.files()
        if SCOPE.match(file) and example.search((ROOT / file).read_text())
    ]
    assert sorted(listed) == sorted(touched)


def test_every_module_that_the_page_names_is_there() -> None:
    names = re.findall(r"`((?:core|engine|wire|log|client)/[\w/.]+)`", PAGE)
    assert names
    missing = [name for name in names if not (ROOT / "sayiir_es" / name).exists()]
    assert not missing
