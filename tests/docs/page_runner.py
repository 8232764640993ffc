"""Runs the code of one page of the manual, and holds it to what the page claims.

Theory of operation. All blocks of a page run in its order, in one namespace and one
empty directory. What they claim is compared, "…" standing for anything:

* `value  # -> REPR`: the value of an expression, on its last line or the next ones;
* `call()  # raises TYPE: TEXT`: the error that a statement ends with, in full;
* a `text` block: all that the `python` or `sh` block before it printed.

A block of `sh` holds commands of ours only. What prints must be shown, and what is
shown must have been printed, so that no page can promise what nobody saw.
"""

from __future__ import annotations

import ast
import io
import re
import shlex
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, TypeAlias

from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from sayiir_es.cli.app import run
from sayiir_es.cli.verb_table import PROGRAM
from sayiir_es.client.backends import Backend

if TYPE_CHECKING:
    from pathlib import Path

CLAIM = re.compile(r"#\s(->|raises)\s(.*)")
EXIT = re.compile(r"#\sexit\s(\d)$")

Claim: TypeAlias = "tuple[str, str]"


class PageRunner:
    """One page: evaluates its blocks, one after the other."""

    def __init__(self, path: Path) -> None:
        parsers = [
            CodeBlockParser("python", self._python),
            CodeBlockParser("sh", self._shell),
            CodeBlockParser("text", self._text),
        ]
        self._document: Document = Sybil(parsers, path=str(path.parent)).parse(path)
        self._printed = ""

    def run(self) -> int:
        """Run the whole page and return the number of its blocks.

        Raises:
            AssertionError: if the page claims what is not so.
        """
        count = 0
        try:
            for example in self._document.examples():
                if self._printed:
                    shown = str(example.parsed) if _is_text(example) else "nothing"
                    assert _is_text(example), _differ(example, self._printed, shown)
                example.evaluate()
                count += 1
            assert not self._printed, f"expected it to be shown, but: {self._printed}"
        finally:
            for value in self._document.namespace.values():
                if isinstance(value, Backend):
                    value.close()
        return count

    # --- blocks -----------------------------------------------------------------------

    def _python(self, example: Example) -> None:
        source = str(example.parsed)
        lines = source.splitlines()
        first = example.line + 1  # the line below the fence
        printed = io.StringIO()
        with redirect_stdout(printed):
            for statement in ast.parse(source).body:
                claim = _claim(lines, statement)
                ast.increment_lineno(statement, first - 1)
                self._statement(example, statement, claim)
        self._printed = printed.getvalue()

    def _statement(
        self, example: Example, statement: ast.stmt, claim: Claim | None
    ) -> None:
        verb, claimed = claim or ("", "")
        is_value = verb == "->"
        assert not is_value or isinstance(statement, ast.Expr), f"no value: {claimed}"
        mode = "eval" if is_value else "exec"
        tree = (
            ast.Expression(statement.value)
            if is_value and isinstance(statement, ast.Expr)
            else ast.Module([statement], type_ignores=[])
        )
        code = compile(tree, example.path, mode, dont_inherit=True)
        try:
            seen = repr(eval(code, example.namespace))  # noqa: S307 (a page of ours)
        except Exception as error:
            if verb != "raises":
                raise
            seen = f"{type(error).__name__}: {error}"
        if claim is not None:
            assert _matches(claimed, seen), _differ(example, seen, claimed)

    def _shell(self, example: Example) -> None:
        printed = io.StringIO()
        with redirect_stdout(printed):
            for line in str(example.parsed).splitlines():
                expected = EXIT.search(line)
                program, *arguments = shlex.split(line, comments=True)
                assert program == PROGRAM, f"expected {PROGRAM}, but {line}"
                code = run(arguments)
                assert code == int(expected[1] if expected else 0), f"{line}: {code}"
        self._printed = printed.getvalue()

    def _text(self, example: Example) -> None:
        printed, self._printed = self._printed, ""
        shown = str(example.parsed)
        assert _matches(shown, printed), _differ(example, printed, shown)


def _is_text(example: Example) -> bool:
    return str(example.region.lexemes["arguments"]) == "text"


def _claim(lines: list[str], statement: ast.stmt) -> Claim | None:
    """What a statement's last line, or the comments right below it, claims."""
    end = statement.end_lineno or statement.lineno
    tail = lines[end - 1].encode()[statement.end_col_offset or 0 :].decode()
    found = CLAIM.search(tail)
    if found is None:
        if end >= len(lines) or CLAIM.match(lines[end]) is None:
            return None
        found = CLAIM.match(lines[end])
        end += 1
    assert found is not None
    claimed = [found[2]]
    while end < len(lines) and lines[end].lstrip().startswith("#   "):
        claimed.append(lines[end].lstrip().removeprefix("#   "))
        end += 1
    return found[1], "\n".join(claimed)


def _matches(claimed: str, seen: str) -> bool:
    """Whether it is as claimed but for blanks; "…" stands for anything."""
    parts = [re.escape(" ".join(part.split())) for part in claimed.split("…")]
    pattern = r"\s*.*?\s*".join(parts)
    return re.fullmatch(pattern, " ".join(seen.split()), re.DOTALL) is not None


def _differ(example: Example, seen: str, claimed: str) -> str:
    return f"{example.path}:{example.line}: expected\n{claimed}\nbut\n{seen}"
