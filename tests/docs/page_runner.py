"""Runs the code of one page of the manual, and compares it with the page's claims.

Theory of operation. All blocks of a page run in its order, in one namespace and one
empty directory. Their claims are compared with the results; "…" stands for anything:

* `value  # -> REPR`: the value of an expression, on its last line or the next ones;
* `call()  # raises TYPE: TEXT`: the error that a statement ends with, in full;
* a `text` block: all that the `python` or `sh` block before it printed.

A block of `sh` has commands of `sayiir-es`, and of `curl` where one serves. Output must
be shown on the page, and what is shown must have been printed, so that a page cannot
promise what does not happen.
"""

from __future__ import annotations

import ast
import io
import re
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, TypeAlias

from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from sayiir_es.client.backends import Backend
from tests.docs.shell_blocks import Shell

if TYPE_CHECKING:
    from pathlib import Path

CLAIM = re.compile(r"#\s(->|raises)\s(.*)")

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
        self._output = ""
        self._commands = Shell()

    def run(self) -> int:
        """Run the whole page and return the number of its blocks.

        Raises:
            AssertionError: if a claim of the page is wrong.
        """
        count = 0
        try:
            for example in self._document.examples():
                if self._output:
                    page_text = str(example.parsed) if _is_text(example) else "nothing"
                    assert _is_text(example), _differ(example, self._output, page_text)
                example.evaluate()
                count += 1
            assert not self._output, f"expected it to be shown, but: {self._output}"
        finally:
            self._commands.close()
            for value in self._document.namespace.values():
                if isinstance(value, Backend):
                    value.close()
        return count

    # --- blocks -----------------------------------------------------------------------

    def _python(self, example: Example) -> None:
        source = str(example.parsed)
        lines = source.splitlines()
        first = example.line + 1  # the line below the fence
        output = io.StringIO()
        with redirect_stdout(output):
            for statement in ast.parse(source).body:
                claim = _claim(lines, statement)
                ast.increment_lineno(statement, first - 1)
                self._statement(example, statement, claim)
        self._output = output.getvalue()

    def _statement(
        self, example: Example, statement: ast.stmt, claim: Claim | None
    ) -> None:
        verb, claim_text = claim or ("", "")
        is_value = verb == "->"
        assert not is_value or isinstance(statement, ast.Expr), (
            f"no value: {claim_text}"
        )
        mode = "eval" if is_value else "exec"
        tree = (
            ast.Expression(statement.value)
            if is_value and isinstance(statement, ast.Expr)
            else ast.Module([statement], type_ignores=[])
        )
        code = compile(tree, example.path, mode, dont_inherit=True)
        try:
            result = repr(eval(code, example.namespace))  # noqa: S307 (a page of ours)
        except Exception as error:
            if verb != "raises":
                raise
            result = f"{type(error).__name__}: {error}"
        if claim is not None:
            assert is_like(claim_text, result), _differ(example, result, claim_text)

    def _shell(self, example: Example) -> None:
        self._output = self._commands.run(str(example.parsed))

    def _text(self, example: Example) -> None:
        output, self._output = self._output, ""
        page_text = str(example.parsed)
        assert is_like(page_text, output), _differ(example, output, page_text)


def _is_text(example: Example) -> bool:
    return str(example.region.lexemes["arguments"]) == "text"


def _claim(lines: list[str], statement: ast.stmt) -> Claim | None:
    """Return the claim on a statement's last line or in the comments right below."""
    end = statement.end_lineno or statement.lineno
    tail = lines[end - 1].encode()[statement.end_col_offset or 0 :].decode()
    match = CLAIM.search(tail)
    if match is None:
        if end >= len(lines) or CLAIM.match(lines[end]) is None:
            return None
        match = CLAIM.match(lines[end])
        end += 1
    assert match is not None
    lines_of_claim = [match[2]]
    while end < len(lines) and lines[end].lstrip().startswith("#   "):
        lines_of_claim.append(lines[end].lstrip().removeprefix("#   "))
        end += 1
    return match[1], "\n".join(lines_of_claim)


def is_like(claim: str, result: str) -> bool:
    """Return whether they are the same except for blanks; "…" matches anything."""
    parts = [re.escape(" ".join(part.split())) for part in claim.split("…")]
    pattern = r"\s*.*?\s*".join(parts)
    return re.fullmatch(pattern, " ".join(result.split()), re.DOTALL) is not None


def _differ(example: Example, result: str, claim: str) -> str:
    return f"{example.path}:{example.line}: expected\n{claim}\nbut\n{result}"
