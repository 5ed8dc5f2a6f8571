"""What a monitoring system may watch, in the Prometheus text format: how far the log is behind the city, and requests.

Source
------
https://prometheus.io/docs/instrumenting/exposition_formats/, names after
https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from api.sequencing import Sequencing
from cim.city import City
from cim.errors import CimError
from cim.log.tiles import CHECKPOINT


class LogMetrics(Collector):
    """The state of the change log, read when it is asked for."""

    def __init__(self, city: City, sequencing: Sequencing) -> None:
        self._city = city
        self._sequencing = sequencing

    def describe(self) -> list[Metric]:
        """Name nothing beforehand, so that registering asks the database nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. What was never published has no checkpoint metrics.

        Raises
        ------
        DatabaseError, sqlalchemy.exc.SQLAlchemyError : the database cannot be reached.
        """
        lag, size = self._city.lag(), self._city.tree_head().size
        yield _gauge("cim_log_tree_size", "Leaves of the change log.", size)
        yield _gauge("cim_log_unsequenced_revisions", "Committed revisions without a leaf.", lag.revisions)
        yield _gauge("cim_log_lag_seconds", "Age of the oldest committed revision without a leaf.", lag.seconds)
        held = "Whether an open transaction holds revisions back."
        yield _gauge("cim_log_held_back", held, lag.held_back_by is not None)
        failing = "Whether the sequencer of this process failed the last time."
        yield _gauge("cim_log_sequencer_failing", failing, self._sequencing.failure is not None)
        try:
            published = self._city.publisher.published().size
            age = time.time() - (self._city.settings.log_dir / CHECKPOINT).stat().st_mtime
        except (CimError, OSError):
            return
        yield _gauge("cim_log_checkpoint_size", "Leaves under the published checkpoint.", published)
        yield _gauge("cim_log_checkpoint_age_seconds", "Time since the checkpoint was published.", max(age, 0.0))


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value=float(value))


class RequestMetrics(Collector):
    """What this process answered, and how long it took. Kept in plain numbers: it is counted with every request."""

    # Seconds: from an item out of the cache to an export.
    BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, int]] = Counter()
        self._slower = [0] * (len(self.BUCKETS) + 1)
        self._seconds = 0.0

    def note(self, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._answers[method, status] += 1
        self._slower[bisect_left(self.BUCKETS, seconds)] += 1
        self._seconds += seconds

    def describe(self) -> list[Metric]:
        """Name nothing beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        answers = CounterMetricFamily("cim_http_requests", "Requests answered.", labels=("method", "status"))
        for (method, status), count in sorted(self._answers.items()):
            answers.add_metric((method, str(status)), count)
        yield answers
        bounds = (*map(floatToGoString, self.BUCKETS), "+Inf")
        buckets = list(zip(bounds, accumulate(self._slower), strict=True))
        told = "Time from a request to the end of its answer."
        yield HistogramMetricFamily("cim_http_request_seconds", told, buckets=buckets, sum_value=self._seconds)


class Metrics:
    """All metrics of one served city; others register with `registry`."""

    def __init__(self, city: City, sequencing: Sequencing) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics()
        self.registry.register(LogMetrics(city, sequencing))
        self.registry.register(self.requests)

    def exposition(self) -> bytes:
        """Return every metric as text; raises what the collectors do."""
        return generate_latest(self.registry)
