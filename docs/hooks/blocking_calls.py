"""What is made by `name = blocking(coroutine function)`, as the function that it is.

The reference reads the code and runs none of it: to it such a name is a value. It gets
the parameters and the docstring of the coroutine function, as `blocking` gives them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator


class BlockingCalls(griffe.Extension):
    """Puts a function in the place of each such name."""

    def on_package(
        self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any
    ) -> None:
        """Look through a package that has been read."""
        del loader
        for place, attribute in list(_attributes(pkg)):
            path = _wrapped(attribute)
            if path is not None:
                function = pkg.modules_collection[path]
                place[attribute.name] = _waiting(attribute, function)


def _attributes(
    place: griffe.Module | griffe.Class,
) -> Iterator[tuple[griffe.Module | griffe.Class, griffe.Attribute]]:
    for member in place.members.values():
        if isinstance(member, (griffe.Module, griffe.Class)):
            yield from _attributes(member)
        elif isinstance(member, griffe.Attribute):
            yield place, member


def _wrapped(attribute: griffe.Attribute) -> str | None:
    """The path of the function that an attribute waits for; None for any other."""
    call = attribute.value
    if not isinstance(call, griffe.ExprCall) or str(call.function) != "blocking":
        return None
    (argument,) = call.arguments
    return argument.canonical_path if isinstance(argument, griffe.Expr) else None


def _waiting(attribute: griffe.Attribute, function: griffe.Function) -> griffe.Function:
    return griffe.Function(
        attribute.name,
        parameters=function.parameters,
        returns=function.returns,
        docstring=function.docstring,
        lineno=attribute.lineno,
        endlineno=attribute.endlineno,
    )
