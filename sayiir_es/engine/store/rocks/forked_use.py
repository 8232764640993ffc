"""RocksDB and forks: a child whose parent has used it cannot use it.

It stands apart from `database`, whose import takes 8 MiB: clients that own no partition
need no RocksDB.
"""

from __future__ import annotations

from sayiir_es.core.model.errors import StoreError
from sayiir_es.log.forked_child import end_without_clean_up, leave_at_fork


class _Use:
    """Of RocksDB, by this process and the one that forked it."""

    is_used = False
    is_inherited = False
    """Whether a parent has used it: its threads are not in this process, and it would
    wait for them."""

    def leave_to_parent(self) -> None:
        if self.is_used:
            self.is_inherited = True
            end_without_clean_up()


_use = _Use()
leave_at_fork(_use)


def note_use() -> None:
    """This process uses RocksDB from now on."""
    _use.is_used = True


def refuse_after_fork() -> None:
    """Refuse RocksDB in a process whose parent had used it.

    Raises:
        StoreError: if it had.
    """
    if _use.is_inherited:
        raise StoreError(
            "expected a process that may use RocksDB, but its parent did so before it "
            "forked: fork before the first worker or helper runs, or start the child "
            "by `spawn`"
        )
