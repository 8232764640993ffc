"""The seeds of what is random: the same in each run of the suite, fresh in `make long`.

So a change is judged by the same worlds as the one before it, and what fails in a run
fails in the next one. Fresh worlds are looked for by `make long`, which sets
`SAYIIR_ES_TEST_FRESH`. A run prints its seed; `SAYIIR_ES_TEST_SEED` sets it.
"""

from __future__ import annotations

import os
import secrets

from hypothesis import settings

FIXED_SEED = 20_261_130
"""Any number; another one is another set of worlds."""

IS_FRESH = bool(os.environ.get("SAYIIR_ES_TEST_FRESH"))


def first_seed() -> int:
    """The seed that is named, else a fresh or the fixed one."""
    seed_text = os.environ.get("SAYIIR_ES_TEST_SEED")
    if seed_text:
        return int(seed_text)
    return secrets.randbelow(1 << 40) if IS_FRESH else FIXED_SEED


def register_hypothesis_profiles() -> None:
    """Let properties try the same examples in each run, or fresh ones."""
    settings.register_profile("fixed", derandomize=True)
    settings.register_profile("fresh")
    settings.load_profile("fresh" if IS_FRESH else "fixed")
