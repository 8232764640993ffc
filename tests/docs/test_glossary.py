"""Holds names to the glossary: a word is defined there, or it is an ordinary one."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.tree import ROOT, modules

GLOSSARY = ROOT / "docs" / "glossary.md"
ORDINARY = ROOT / "tests" / "docs" / "ordinary_words.txt"

WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


@cache
def defined() -> frozenset[str]:
    """The words of the terms that the glossary defines."""
    terms = re.findall(r"\*\*([^*]+)\*\*", GLOSSARY.read_text())
    return frozenset(word for term in terms for word in words(term))


@cache
def ordinary() -> frozenset[str]:
    """Words that any engineer reads as they stand in a dictionary."""
    return frozenset(ORDINARY.read_text().split())


@cache
def used() -> dict[str, str]:
    """Each word of a module's or a public class's name, and one that has it."""
    places: dict[str, str] = {}
    for module in modules("sayiir_es/"):
        path = module.name.removeprefix("sayiir_es/").removesuffix(".py")
        for word in words(path):
            places.setdefault(word, module.name)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for word in words(node.name):
                    places.setdefault(word, f"{module.name}: {node.name}")
    return places


def words(name: str) -> list[str]:
    """The words of a name or a term, in small letters."""
    return [word.lower() for word in WORD.findall(name)]


def forms(word: str) -> set[str]:
    """The word itself, and what it may be a form of: `slots` of slot."""
    stems = {word}
    for ending in ("s", "es", "d", "ed", "ing", "er", "r", "or"):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            stem = word.removesuffix(ending)
            stems |= {stem, stem + "e"}
            if len(stem) > 2 and stem[-1] == stem[-2]:
                stems.add(stem[:-1])
    if word.endswith("ies"):
        stems.add(word.removesuffix("ies") + "y")
    return stems


def test_each_word_of_a_name_is_defined_or_ordinary() -> None:
    known = defined() | ordinary()
    problems = [
        f"{place}: expected {word!r} in docs/glossary.md, or an ordinary word"
        for word, place in sorted(used().items())
        if not forms(word) & known
    ]
    assert not problems, "\n  ".join(["", *problems])


def test_no_word_is_both_defined_and_ordinary() -> None:
    assert not defined() & ordinary()


def test_each_ordinary_word_is_used_by_a_name() -> None:
    needed = {form for word in used() for form in forms(word)}
    assert not ordinary() - needed


def test_each_term_is_a_word_of_the_code() -> None:
    text = "\n".join(module.text for module in modules("sayiir_es/")).lower()
    terms = re.findall(r"\*\*([^*]+)\*\*", GLOSSARY.read_text())
    unused = [
        term
        for term in terms
        if not any(
            form in text for form in (term.lower(), term.lower().replace(" ", "_"))
        )
    ]
    assert not unused
