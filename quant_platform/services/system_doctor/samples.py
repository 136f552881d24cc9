"""Rows of ``service_metrics`` from what the services answered, the instances of each told apart by number."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from quant_platform.ports.series_store import Labels, MetricRows

UP = "up"
"""1 where a service answered, as Prometheus names it."""
ALIVE = "quant_service_alive"
"""1 where its ``/healthz`` says so."""
READY = "quant_service_ready"
"""1 where it does its work now."""

_INSTANCE = re.compile(r"(.+?)_(\d+)")


class Number(NamedTuple):
    """One sample of ``/metrics``."""

    metric: str
    labels: Mapping[str, str]
    value: float


class Answers(NamedTuple):
    """What a service answered at one look."""

    name: str  # as the settings name it: feature_engine, feature_engine_2
    asked_ns: int  # ns UTC
    is_alive: bool
    is_ready: bool
    numbers: Sequence[Number] | None  # None where it does not answer


def metric_rows(answers: Iterable[Answers]) -> MetricRows:
    """A row for every finite number, and three for how each service is, whether it answers or not."""
    rows: list[tuple[int, str, str, str, str, float]] = []
    for one in answers:
        service, instance = service_and_instance(one.name)
        states = {UP: one.numbers is not None, ALIVE: one.is_alive, READY: one.is_ready}
        rows += [(one.asked_ns, service, instance, metric, "", float(state)) for metric, state in states.items()]
        rows += [
            (one.asked_ns, service, instance, number.metric, text_of(number.labels), number.value)
            for number in one.numbers or ()
            if math.isfinite(number.value) and number.metric not in states
        ]
    stamps, *texts, values = zip(*rows, strict=True) if rows else [()] * len(MetricRows._fields)
    service_column, instances, metrics, labels = map(Labels.of, texts)
    return MetricRows(
        np.array(stamps, np.int64), service_column, instances, metrics, labels, np.array(values, np.float64)
    )


def service_and_instance(name: str) -> tuple[str, str]:
    """``feature_engine_2`` is the second instance of ``feature_engine``; a name without a number is the first."""
    found = _INSTANCE.fullmatch(name)
    return (found[1], found[2]) if found else (name, "1")


def text_of(labels: Mapping[str, str]) -> str:
    """Labels as Prometheus writes them, by name: ``step="poll",topic="orders.events"``."""
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()
    }
    return ",".join(f'{name}="{escaped[name]}"' for name in sorted(escaped))
