"""`/metrics` in the text format of Prometheus; only here its client is known."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from sayiir_es.operations.metrics import catalogue
from sayiir_es.operations.metrics.series import (
    LONG_S,
    Family,
    Histogram,
    HistogramSeries,
    Numbers,
    series_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric as MetricFamily
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sayiir_es.operations.metrics.series import Series

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

INFINITY = float("inf")

UNROUTED = "none"
"""The route of a request that no route is for."""


class _Published(Collector):
    """Gives a registry of Prometheus our series."""

    def __init__(self, series: Callable[[], Iterable[Series]]) -> None:
        self._series = series

    def collect(self) -> Iterator[MetricFamily]:
        """The families of now."""
        return map(_family_of, self._series())

    def describe(self) -> Iterator[MetricFamily]:
        """None before the first look: what is asked for at its registration."""
        return iter(())


def metrics_router(series: Callable[[], Iterable[Series]]) -> APIRouter:
    """The route of `/metrics`, which publishes these series and those of the process.

    `series` is called by the thread that answers.
    """
    registry = CollectorRegistry()
    registry.register(_Published(series))
    ProcessCollector(registry=registry)
    router = APIRouter(tags=["metrics"])

    @router.get(
        "/metrics",
        summary="Metrics in the text format of Prometheus",
        response_class=Response,
    )
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _family_of(series: Series) -> MetricFamily:
    metric = series.metric
    if isinstance(series, HistogramSeries):
        histogram = HistogramMetricFamily(
            metric.name, metric.meaning, labels=metric.labels
        )
        for labels, buckets in series.buckets.items():
            bounds = [
                ("+Inf" if bound == INFINITY else str(bound), float(count))
                for bound, count in buckets.cumulated()
            ]
            histogram.add_metric(labels, bounds, sum_value=buckets.sum)
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in series.values.items():
        family.add_metric(labels, value)
    return family


class HttpMetrics:
    """Counts what an application answers (ASGI): stands before it."""

    def __init__(self, app: ASGIApp, counts: HttpCounts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            self._counts.add(scope, status, time.perf_counter() - began_s)


class HttpCounts:
    """Requests that were answered, by their routes: paths have ids in them."""

    def __init__(self) -> None:
        self._requests = Family(catalogue.HTTP_REQUESTS)
        self._seconds = Histogram(catalogue.HTTP_SECONDS, LONG_S)

    def add(self, scope: Scope, status: int, seconds: float) -> None:
        """A request was answered; a stream when it has ended."""
        method: str = scope["method"]
        route = str(getattr(scope.get("route"), "path", UNROUTED))
        known = method if method in METHODS else "other"
        self._requests.add((known, route, str(status)))
        self._seconds.observe(seconds, (route,))

    def series(self) -> Iterator[Series]:
        """The counts, to be published."""
        yield from series_of((self._requests,), (self._seconds,))


def process_series(build: str, *, is_ready: bool) -> Iterator[Series]:
    """What every process of ours publishes."""
    yield Numbers(metric=catalogue.READY, values={(): is_ready})
    yield Numbers(metric=catalogue.BUILD_INFO, values={(build,): 1})
