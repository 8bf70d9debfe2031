"""Metrics for Prometheus; the names end as vLLM's do. Each continuation counts as a request."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from charloom.runtime.continuation import Continuation
from charloom.serving.models import Models

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_LONG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_REASONS = ("length", "stop", "abort")


class Metrics:
    """Counters of one server."""

    def __init__(self, models: Models) -> None:
        """Count from nothing."""
        self.registry = CollectorRegistry()
        self.registry.register(_Engines(models))
        self._prompt = self._counter("prompt_tokens", "Characters of prompts.")
        self._written = self._counter("generation_tokens", "Characters written.")
        self._success = self._counter("request_success", "Texts that ended.", "finished_reason")
        self._failure = self._counter("request_failure", "Texts that failed.")
        self._refused = self._counter("request_refused", "Requests that were refused.", "status")
        self._first = self._histogram("time_to_first_token_seconds", "Until the first piece of text.", _LONG)
        self._between = self._histogram("inter_token_latency_seconds", "Between characters: a text's mean.", _SHORT)
        self._whole = self._histogram("e2e_request_latency_seconds", "From a request to its last character.", _LONG)
        self._queue = self._histogram("request_queue_time_seconds", "In the queue.", _LONG)
        for name in models:  # shown before anything has happened, so that rates begin at zero
            for reason in _REASONS:
                self._success.labels(name, reason)
            for metric in (self._prompt, self._written, self._failure):
                metric.labels(name)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"charloom_{name}", text, ["model_name", *labels], registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"charloom_{name}", text, ["model_name"], registry=self.registry, buckets=buckets)

    def begun(self, model: str, prompt_tokens: int) -> None:
        """A prompt was accepted."""
        self._prompt.labels(model).inc(prompt_tokens)

    def refused(self, model: str, status: int) -> None:
        """A request was refused, and nothing of it done."""
        self._refused.labels(model, str(status)).inc()

    def ended(self, model: str, continuation: Continuation, tokens: int) -> None:
        """A text of so many characters has ended, for whatever reason."""
        self._written.labels(model).inc(tokens)
        reason = continuation.finish_reason
        if reason == "failed":
            self._failure.labels(model).inc()
            return
        self._success.labels(model, reason if reason in _REASONS else "abort").inc()
        self._whole.labels(model).observe(continuation.seconds)
        if continuation.waited is not None:
            self._queue.labels(model).observe(continuation.waited)
        if continuation.first_after is not None:
            self._first.labels(model).observe(continuation.first_after)
            if tokens > 1:
                mean = (continuation.seconds - continuation.first_after) / (tokens - 1)
                self._between.labels(model).observe(max(0.0, mean))

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)


class _Engines(Collector):
    """Asks the engines when Prometheus asks."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[GaugeMetricFamily]:
        running = GaugeMetricFamily("charloom_num_requests_running", "Being read or written.", labels=["model_name"])
        waiting = GaugeMetricFamily("charloom_num_requests_waiting", "In the queue.", labels=["model_name"])
        cached = GaugeMetricFamily("charloom_cached_prompt_bytes", "Remembered prompts.", labels=["model_name"])
        for name, served in self._models.items():
            if served.ready:
                status = served.engine.status()
                running.add_metric([name], status.reading + status.writing)
                waiting.add_metric([name], status.waiting)
                cached.add_metric([name], status.cached_bytes)
        yield running
        yield waiting
        yield cached
