"""What anyone can prove from the topics: histories, checks, exports."""

from sayiir_es.audit.chain import PartitionChain, Proof, chain_violations
from sayiir_es.audit.checker import Checker
from sayiir_es.audit.export import export
from sayiir_es.audit.export_verifying import verify_export
from sayiir_es.audit.import_export import import_export
from sayiir_es.audit.verify import Verdict, verify
from sayiir_es.audit.verify_records import verify_records
from sayiir_es.audit.violation import Violation

__all__ = [
    "Checker",
    "PartitionChain",
    "Proof",
    "Verdict",
    "Violation",
    "chain_violations",
    "export",
    "import_export",
    "verify",
    "verify_export",
    "verify_records",
]
