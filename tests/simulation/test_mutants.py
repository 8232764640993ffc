"""The planted bugs can be planted, and the simulation finds them."""

from __future__ import annotations

import pytest

from tests.simulation.mutant_list import MUTANTS
from tests.simulation.mutants import Mutant, found_elsewhere

QUICK = (
    "an attempt that ran is handed out while its outcome waits",
    "a command on the wrong partition is decided there",
)
"""Those that are found in seconds; `make long` plants all."""

QUICK_SEEDS = 400


def names(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", MUTANTS, ids=names)
def test_a_planted_bug_still_stands_where_it_is_planted(mutant: Mutant) -> None:
    compile(mutant.applied(mutant.path.read_text()), mutant.module, "exec")


def test_there_are_enough_of_them_and_each_has_its_name() -> None:
    assert len(MUTANTS) >= 25
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found_within_minutes(name: str) -> None:
    assert found_elsewhere(name, QUICK_SEEDS).isdigit()


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mutant", MUTANTS, ids=names)
def test_each_planted_bug_is_found_within_two_thousand_seeds(mutant: Mutant) -> None:
    assert found_elsewhere(mutant.name).isdigit()
