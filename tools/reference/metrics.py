"""docs/reference/metrics.md: what a server counts."""

from __future__ import annotations

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from charloom.serving.metrics import Metrics
from charloom.serving.models import Models
from reference.markdown import code, page, prose, table


def metrics() -> str:
    """The page."""
    counted = Metrics(Models({"model": "of-no-matter"}))
    labels = _labels(counted)
    rows = [_row(family, labels) for family in counted.registry.collect()]
    return page(
        "Metrics",
        "`GET /metrics` of a server, in Prometheus' text format; the names end as vLLM's do. "
        "Each continuation counts as a request; a token is one character. Times are in seconds.",
        table(("Metric", "Type", "Labels", ""), sorted(rows)),
    )


def _labels(counted: Metrics) -> dict[str, tuple[str, ...]]:
    wrapped = (each for each in vars(counted).values() if isinstance(each, MetricWrapperBase))
    return {family.name: tuple(each._labelnames) for each in wrapped for family in each.describe()}


def _row(family: Metric, labels: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    names = labels.get(family.name) or tuple(getattr(family, "_labelnames", ()))
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return code(name), family.type, ", ".join(map(code, names)), prose(family.documentation)
