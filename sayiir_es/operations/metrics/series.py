"""Counters and histograms as plain numbers, cheap to add to.

One thread adds, any thread reads: what is read may be of a moment between two
additions, and is never torn.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sayiir_es.operations.metrics.catalogue import Metric

OTHER: Final = "other"
"""The value of a label beyond the first `LABEL_VALUES_MAX`."""

LABEL_VALUES_MAX = 100
"""How many values a label takes that is not ours to choose: names of workflows."""

LABEL_LENGTH_MAX = 120
"""The longest value of a label, in characters; of a longer one the head is kept."""

SHORT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds for what takes milliseconds, in seconds."""

LONG_S: Final = (0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0)
"""Upper bounds for what may take an hour, in seconds."""

Labels: TypeAlias = tuple[str, ...]
"""The values of a metric's labels, in the order of its names."""


class Family:
    """The series of one metric, by the values of its labels."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        """Count something."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def snapshot(self) -> Mapping[Labels, float]:
        """The values as they are now."""
        return dict(self.values)


class NestedFamily:
    """The series of a metric with two labels, by the first and then by the second."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._by_first: dict[str, dict[str, float]] = {}

    def of(self, first: str) -> dict[str, float]:
        """The values with this first label, by the second; to be added to."""
        return self._by_first.setdefault(first, {})

    @property
    def values(self) -> dict[Labels, float]:
        """The values as they are now."""
        return {
            (first, second): value
            for first, by_second in self._by_first.copy().items()
            for second, value in by_second.copy().items()
        }

    def snapshot(self) -> Mapping[Labels, float]:
        """The values as they are now."""
        return self.values


class Buckets:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many fell into each bucket; the last one has no upper bound."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Note one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def cumulated(self) -> list[tuple[float, int]]:
        """(upper bound, how many are not above it), up to infinity."""
        total, cumulated = 0, list[tuple[float, int]]()
        for bound, count in zip(
            (*self._bounds, float("inf")), tuple(self.counts), strict=True
        ):
            total += count
            cumulated.append((bound, total))
        return cumulated


class Histogram:
    """The series of one histogram, by the values of its labels."""

    def __init__(self, metric: Metric, bounds: Sequence[float]) -> None:
        self.metric = metric
        self._bounds = bounds
        self._buckets: dict[Labels, Buckets] = {}

    def of(self, labels: Labels = ()) -> Buckets:
        """The series with these values of the labels."""
        buckets = self._buckets.get(labels)
        if buckets is None:
            buckets = self._buckets[labels] = Buckets(self._bounds)
        return buckets

    def observe(self, value: float, labels: Labels = ()) -> None:
        """Note one value."""
        self.of(labels).observe(value)

    def snapshot(self) -> Mapping[Labels, Buckets]:
        """The series as they are now."""
        return dict(self._buckets)


class BoundedLabel:
    """Values of a label that others choose: the first hundred, and `other`."""

    def __init__(self, values_max: int = LABEL_VALUES_MAX) -> None:
        self._values_max = values_max
        self._values: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The value for a name."""
        value = self._values.get(name)
        if value is not None:
            return value
        if len(self._values) >= self._values_max:
            return OTHER
        # A lone surrogate, which JSON can hold, cannot be written as UTF-8.
        value = name[:LABEL_LENGTH_MAX].encode("utf-8", "replace").decode()
        self._values[name] = value
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The series of a counter or a gauge, to be published."""

    metric: Metric
    values: Mapping[Labels, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramSeries:
    """The series of a histogram, to be published."""

    metric: Metric
    buckets: Mapping[Labels, Buckets]


Series: TypeAlias = Numbers | HistogramSeries


def series_of(
    families: Iterable[Family | NestedFamily], histograms: Iterable[Histogram]
) -> Iterator[Series]:
    """What was counted, to be published.

    A metric without labels is there from the start; one with labels when its first
    series is.
    """
    for family in families:
        values = family.snapshot() or ({} if family.metric.labels else {(): 0.0})
        yield Numbers(metric=family.metric, values=values)
    for histogram in histograms:
        if not histogram.metric.labels:
            histogram.of()
        yield HistogramSeries(metric=histogram.metric, buckets=histogram.snapshot())
