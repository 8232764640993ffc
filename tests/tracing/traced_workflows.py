"""Workflows whose tasks log and make spans of their own, for `worker run`."""

from __future__ import annotations

import logging

from opentelemetry import trace

from sayiir_es import Flow, task


@task
def charge(amount: int) -> int:
    with trace.get_tracer("the task's library").start_as_current_span("call the bank"):
        logging.getLogger("shop").warning("charged")
    return amount


paying = Flow("paying").then(charge).build()
