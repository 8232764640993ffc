"""The checker: records in, violations out; it touches no log and decides nothing.

Theory of operation. It shares the bytes of events and the graph with the engine, and
nothing else: not `decide`, not `evolve`, nothing of the nodes (import-linter holds it),
since a checker that shares the code that it checks proves little. It is fed each
partition's records in order, from anywhere: a log, an export, a test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.chain import PartitionChain
from sayiir_es.audit.rules.graph_model import GraphModel
from sayiir_es.audit.rules.partition import PartitionRules
from sayiir_es.core.graph.record import graph_of_record
from sayiir_es.core.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.audit.chain import Proof
    from sayiir_es.audit.violation import Violation
    from sayiir_es.log.port import Record
    from sayiir_es.wire.signing import PublicKeys


class Checker:
    """Checks I1–I20, I22, I23 and the checkpoints over the records of all partitions.

    With `instance_id` only that instance is checked, and I3, which needs every answer,
    is not; no checkpoint, either. With `keys` checkpoints must be signed. Give it the
    definitions first: an event whose definition is unknown breaks I18.
    """

    def __init__(
        self,
        *,
        partitions: int,
        instance_id: str | None = None,
        keys: PublicKeys | None = None,
    ) -> None:
        self._graphs: dict[str, GraphModel] = {}
        self._partitions = [
            PartitionRules(number, partitions, self._graphs, instance_id)
            for number in range(partitions)
        ]
        self._chains = [
            PartitionChain(number, keys)
            for number in range(partitions)
            if instance_id is None
        ]

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """How far each partition is proved by its checkpoints."""
        return tuple(chain.proof for chain in self._chains)

    @property
    def events(self) -> int:
        """How many valid events were checked so far."""
        return sum(rules.valid for rules in self._partitions)

    @property
    def live(self) -> int:
        """How many instances are held in memory: those that have not ended."""
        return sum(len(rules.instances.live) for rules in self._partitions)

    def take_definition(self, value: bytes | None) -> None:
        """Take the value of a record of the definitions topic; no graph, no matter."""
        if not value:
            return
        try:
            graph = graph_of_record(value)
        except DecodeError:
            return  # of another build, or no definition: whoever names it breaks I18
        # By its own digest: a changed graph is another one, whatever its key says.
        if graph.digest not in self._graphs:
            self._graphs[graph.digest] = GraphModel(graph)

    def take(self, partition: int, record: Record) -> list[Violation]:
        """Check the next record of a partition of the events topic."""
        violations = self._partitions[partition].take(record)
        if self._chains:
            violations += self._chains[partition].take(record)
        return violations

    def take_gap(self, partition: int, first: int, past: int) -> None:
        """Pass offsets [first, past) of which the log reports that they hold nothing.

        In order with the records around them.
        """
        self._partitions[partition].take_gap(first, past)

    def commands_wanted(self, partition: int) -> int:
        """Up to which offset, exclusive, the commands of a partition are needed."""
        return self._partitions[partition].answers.commands_wanted

    def take_commands(
        self, partition: int, offsets: Sequence[int], *, past: int, start: int = 0
    ) -> list[Violation]:
        """Take the offsets of the commands that follow, all of those below `past`.

        `start` is the first offset that the topic has kept.
        """
        return self._partitions[partition].answers.take_commands(offsets, past, start)

    def finish(self) -> list[Violation]:
        """What the end of the log leaves open and may not."""
        violations = [one for rules in self._partitions for one in rules.finish()]
        return violations + [one for chain in self._chains for one in chain.finish()]
