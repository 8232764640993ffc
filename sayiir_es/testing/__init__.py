"""The kit for tests of one's own workflows: no broker, no waiting, crashes on demand.

from sayiir_es.testing import given

def test_an_order_is_shipped_once_it_is_approved() -> None:
    order = given(flow, {"id": 7}).signal("approved", True).after("24h")
    assert order.result.output == "shipped"
    order.survives_crashes()
"""

from sayiir_es.testing.result import Result
from sayiir_es.testing.scenario import Scenario, given

__all__ = ["Result", "Scenario", "given"]
