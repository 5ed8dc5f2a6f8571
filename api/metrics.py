"""What a monitoring system may watch: how far the log is behind the city, in the Prometheus text format.

Source
------
https://prometheus.io/docs/instrumenting/exposition_formats/, names after
https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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


class Metrics:
    """All metrics of one served city; others register with `registry`."""

    def __init__(self, city: City, sequencing: Sequencing) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(LogMetrics(city, sequencing))

    def exposition(self) -> bytes:
        """Return every metric as text; raises what the collectors do."""
        return generate_latest(self.registry)
