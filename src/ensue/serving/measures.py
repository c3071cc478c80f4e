"""What a process tells of itself to Prometheus: requests, their time, what answers and how much is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ensue.serving.carried_states import CarriedStates
from ensue.serving.served import Served

BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Measures:
    """Counters of one process; each process of a service has its own, and is asked by its own.

    Args:
        states: that networks have carried from event to event.
    """

    def __init__(self, states: CarriedStates) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Carried(states))
        held = self.registry
        ProcessCollector(registry=held)
        Gauge("ensue_process", "Which process this is.", ("id",), registry=held).labels(str(os.getpid())).set(
            1
        )
        self.requests = Counter(
            "ensue_requests", "Requests, by route and status.", ("route", "status"), registry=held
        )
        self.seconds = Histogram(
            "ensue_request_seconds", "Time of a request.", ("route",), buckets=BUCKETS, registry=held
        )
        self.refused = Counter(
            "ensue_refused", "Requests that were not begun, by reason.", ("reason",), registry=held
        )
        self.events = Counter(
            "ensue_events", "Events taken, by what became of them.", ("kind",), registry=held
        )
        self.fallbacks = Counter("ensue_fallbacks", "Answers by popularity alone.", registry=held)
        self.answers = Counter(
            "ensue_answers",
            "Recommendations, by the model that gave them.",
            ("name", "version"),
            registry=held,
        )
        self.shadow = Counter(
            "ensue_shadow", "Questions to the shadow, by what became of them.", ("end",), registry=held
        )
        self.alike = Histogram(
            "ensue_shadow_shared",
            "Share of an answer that the shadow gives too.",
            buckets=TENTHS,
            registry=held,
        )
        self.in_flight = Gauge("ensue_in_flight", "Requests that are worked on.", registry=held)
        self.model = Gauge("ensue_model", "The model that answers.", ("name", "version"), registry=held)
        self.agreement = Gauge(
            "ensue_table_agreement",
            "Share of the best 10 items that is the same as with the table as it was learnt.",
            ("table",),
            registry=held,
        )
        self.lost = Gauge("ensue_request_log_lost", "Answers that could not be written down.", registry=held)

        self._held: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts a request.

        Args:
            route: its path in the list of routes, so that there are few.
            status: of HTTP.
            seconds: that it took.
        """
        held = self._held.get((route, status))
        if held is None:
            held = self.requests.labels(route, str(status)), self.seconds.labels(route)
            self._held[route, status] = held
        held[0].inc()
        held[1].observe(seconds)

    def page(self, served: Served, lost: int = 0) -> bytes:
        """All of it as text.

        Args:
            served: the model that answers.
            lost: answers that could not be written down.
        """
        self.model.clear()
        self.model.labels(served.label, served.version).set(1)
        self.agreement.clear()
        if served.made is not None:
            self.agreement.labels(served.made.kind).set(served.made.agreement)
        self.lost.set(lost)
        return generate_latest(self.registry)


class _Carried(Collector):
    """What is kept of networks, and how often an answer began from there."""

    def __init__(self, states: CarriedStates) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        """As it is now."""
        held = self._states
        answers = CounterMetricFamily(
            "ensue_states", "Answers of recurrent networks, by where they began.", labels=["from"]
        )
        answers.add_metric(["kept"], held.continued)
        answers.add_metric(["anew"], held.anew)
        yield answers
        yield GaugeMetricFamily("ensue_states_bytes", "What is kept of recurrent networks.", held.bytes)
        yield GaugeMetricFamily("ensue_states_held", "How many states that are.", len(held))
