"""What anyone can prove from the topics: histories, checks, exports."""

from sayiir_es.audit.checker import Checker
from sayiir_es.audit.verify import Verdict, verify
from sayiir_es.audit.verify_records import verify_records
from sayiir_es.audit.violation import Violation

__all__ = ["Checker", "Verdict", "Violation", "verify", "verify_records"]
