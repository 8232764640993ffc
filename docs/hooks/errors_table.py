"""The table of all error codes, of the classes that have them."""

from __future__ import annotations

import inspect

from markdown_text import code, plain, table

from sayiir_es.core.model import errors


def errors_reference(argument: str) -> str:
    """Each code with its class, what it means, and whether trying again can help."""
    del argument
    classes = {
        one.code: one
        for one in vars(errors).values()
        if inspect.isclass(one) and issubclass(one, errors.WorkflowError)
    }
    return table(
        ("code", "class", "says", "trying again can help"),
        (
            (
                f"[{code(name)}](../errors/{name}.md)",
                code(one.__name__),
                plain((inspect.getdoc(one) or "").partition("\n\n")[0]),
                "yes" if one.retriable else "no",
            )
            for name, one in sorted(classes.items())
        ),
    )
