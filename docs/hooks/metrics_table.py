"""The reference of the metrics, of their catalogue."""

from __future__ import annotations

from markdown_text import code, plain, table

from sayiir_es.operations.metrics.catalogue import (
    METRICS,
    SERVE_METRICS,
    WORKER_METRICS,
)


def metrics_reference(argument: str) -> str:
    """Each metric with its kind, its labels, and who publishes it."""
    del argument
    publishers = (("worker", WORKER_METRICS), ("serve", SERVE_METRICS))
    return table(
        ("metric", "kind", "labels", "of", "is"),
        (
            (
                code(one.name),
                one.kind,
                ", ".join(code(label) for label in one.labels),
                ", ".join(name for name, metrics in publishers if one in metrics),
                plain(one.meaning),
            )
            for one in METRICS
        ),
    )
