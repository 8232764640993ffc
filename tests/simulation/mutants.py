"""Planted bugs: `python -m tests.simulation.mutants [NAME …]` counts seeds to find one.

A mutant is a change of one module's source, applied when the module is imported, in a
process of its own: no production module knows of it. Each is an example of a class of
bugs; if the simulation does not find one, it lacks an invariant.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
SEEDS_MOST = 2_000
FIRST_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A planted bug: in `module`, the one text `old` becomes `new`."""

    name: str
    module: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        """The module's source with the bug.

        Raises:
            ValueError: if the source has the text not exactly once.
        """
        count = source.count(self.old)
        if count != 1:
            raise ValueError(
                f"expected the text of mutant {self.name!r} once in {self.module}, but "
                f"{count} times"
            )
        return source.replace(self.old, self.new)

    @property
    def path(self) -> Path:
        """The module's file."""
        return ROOT / (self.module.replace(".", "/") + ".py")


class Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module with the bug in it."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> ModuleSpec | None:
        """The mutated module's spec; None for every other."""
        del path, target
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_loader(
            fullname, self, origin=str(self._mutant.path)
        )

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed source."""
        source = self._mutant.applied(self._mutant.path.read_text())
        code = compile(source, str(self._mutant.path), "exec")
        exec(code, vars(module))  # noqa: S102 (our own source, with a bug)


def seeds_to_find(mutant: Mutant, most: int = SEEDS_MOST) -> int | None:
    """How many seeds it takes; None if it is not found. Runs in this process."""
    sys.meta_path.insert(0, Planter(mutant))
    from tests.simulation.run import simulate  # noqa: PLC0415 (behind the planting)

    for number in range(most):
        if simulate(FIRST_SEED + number).problems:
            return number + 1
    return None


def found_elsewhere(name: str, most: int = SEEDS_MOST) -> str:
    """`seeds_to_find` in a process of its own: a number, or `not found`."""
    command = [sys.executable, "-m", "tests.simulation.mutants", "--here", name]
    ran = subprocess.run(  # noqa: S603 (ourselves)
        [*command, "--most", str(most)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    return ran.stdout.strip() or ran.stderr[-2000:]


def main(arguments: Sequence[str]) -> int:
    """Print for each mutant how many seeds it takes to find it."""
    from tests.simulation.mutant_list import MUTANTS  # noqa: PLC0415 (it imports us)

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--most", type=int, default=SEEDS_MOST)
    options = parser.parse_args(arguments)
    not_found_count = 0
    for mutant in MUTANTS:
        if options.names and mutant.name not in options.names:
            continue
        if options.here:
            result = str(seeds_to_find(mutant, options.most) or "not found")
            print(result)  # noqa: T201 (a command)
            return 0
        result = found_elsewhere(mutant.name, options.most)
        not_found_count += not result.isdigit()
        print(f"{result:>10}  {mutant.name}", flush=True)  # noqa: T201 (a command)
    return 1 if not_found_count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
