"""What anyone can prove from the topics: histories, checks, exports."""

from sayiir_es.audit.chain import PartitionChain, Proof, chain_violations
from sayiir_es.audit.export.export import export
from sayiir_es.audit.export.import_export import import_export
from sayiir_es.audit.export.verifying import verify_export
from sayiir_es.audit.history import Change, History, history
from sayiir_es.audit.replay import Difference, Replay, replay
from sayiir_es.audit.snapshot import Snapshot
from sayiir_es.audit.stranding import (
    StrandedNode,
    StrandingReport,
    find_stranded,
)
from sayiir_es.audit.verify.checker import Checker
from sayiir_es.audit.verify.records import verify_records
from sayiir_es.audit.verify.verify import Verdict, verify
from sayiir_es.audit.violation import Violation

__all__ = [
    "Change",
    "Checker",
    "Difference",
    "History",
    "PartitionChain",
    "Proof",
    "Replay",
    "Snapshot",
    "StrandedNode",
    "StrandingReport",
    "Verdict",
    "Violation",
    "chain_violations",
    "export",
    "find_stranded",
    "history",
    "import_export",
    "replay",
    "verify",
    "verify_export",
    "verify_records",
]
