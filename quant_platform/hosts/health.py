"""How a service says how it is: ``/healthz``, ``/readyz`` and ``/metrics`` on a port of its own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from quant_platform.domain.errors import UnavailableError

STUCK_AFTER_S = 60.0
"""A loop that has not turned for so long is stuck, and ``/healthz`` says so."""

LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Health:
    """State and numbers of one service; written by its loop, read by whoever asks over HTTP.

    Args:
        service: its name.

    Attributes:
        registry: where the service's own metrics join.
        ready: whether it does its work now.
        reason: why it is not ready; empty where it is.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self.ready = False
        self.reason = "starting"
        self._turned = self._started = time.monotonic()
        ProcessCollector(registry=self.registry)
        ready = Gauge("quant_service_ready", "1 where the service does its work now", registry=self.registry)
        ready.set_function(lambda: float(self.ready))
        uptime = Gauge("quant_service_uptime_seconds", "Since the start of the process", registry=self.registry)
        uptime.set_function(lambda: time.monotonic() - self._started)
        self.read = self.counter("quant_bus_records_read_total", "Records read", "topic")
        self.written = self.counter("quant_bus_records_written_total", "Records written", "topic")
        self.dead_letters = self.counter("quant_bus_dead_letters_total", "Records set aside as unreadable", "topic")
        self.lag = self.gauge("quant_bus_lag_records", "Records not read yet", "topic")
        self.reopens = self.counter("quant_process_reopens_total", "Times the service began anew after a fault")
        self.commits = self.counter("quant_process_commits_total", "Turns of the loop that were committed")
        self.step_seconds = self.counter("quant_process_step_seconds_total", "Time spent in each step", "step")

    def counter(self, name: str, what: str, *labels: str) -> Counter:
        """A metric that only grows, named as Prometheus shows it."""
        return Counter(name.removesuffix("_total"), what, labels, registry=self.registry)

    def counter_of(self, name: str, what: str, count: Callable[[], int | None]) -> None:
        """A metric that only grows and is counted elsewhere, over more than this process; None while it is not known.

        One that showed 0 until an earlier process's number is known would look as if all that happened just now.
        """
        self.registry.register(_CountedElsewhere(name, what, count))

    def gauge(self, name: str, what: str, *labels: str) -> Gauge:
        """A metric that goes up and down."""
        return Gauge(name, what, labels, registry=self.registry)

    def histogram(self, name: str, what: str) -> Histogram:
        """A metric of durations in seconds."""
        return Histogram(name, what, registry=self.registry, buckets=LATENCY_BUCKETS)

    def turned(self) -> None:
        """The loop lives."""
        self._turned = time.monotonic()

    def working(self) -> None:
        """The service does its work."""
        self.ready, self.reason = True, ""
        self.turned()

    def waiting(self, why: str) -> None:
        """The service cannot do its work, and tries again."""
        self.ready, self.reason = False, why
        self.turned()

    def is_stuck(self) -> bool:
        """Whether the loop has not turned for long."""
        return time.monotonic() - self._turned > STUCK_AFTER_S


class _CountedElsewhere(Collector):
    def __init__(self, name: str, what: str, count: Callable[[], int | None]) -> None:
        self._name = name
        self._what = what
        self._count = count

    def collect(self) -> Iterator[Metric]:
        count = self._count()
        if count is not None:
            yield CounterMetricFamily(self._name.removesuffix("_total"), self._what, value=count)


def routes(health: Health) -> list[Route]:
    """What every service answers."""

    def healthz(_: Request) -> Response:
        if health.is_stuck():
            return JSONResponse({"service": health.service, "status": "stuck"}, 503)
        return JSONResponse({"service": health.service, "status": "alive"})

    def readyz(_: Request) -> Response:
        state = {"service": health.service, "ready": health.ready, "reason": health.reason}
        return JSONResponse(state, 200 if health.ready else 503)

    def metrics(_: Request) -> Response:
        return PlainTextResponse(generate_latest(health.registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


@contextmanager
def answering(health: Health, host: str, port: int, announce: Callable[[int], None]) -> Iterator[None]:
    """Answer over HTTP, from a thread of its own, while the body runs.

    Args:
        health: what is answered.
        host: where to listen.
        port: likewise; 0 takes any free one.
        announce: told the port that was taken.

    Raises:
        UnavailableError: the port is taken.
    """
    with served(Starlette(routes=routes(health)), host, port, "QUANT_SERVICE__PORT") as taken:
        announce(taken)
        yield


@contextmanager
def served(app: ASGIApp, host: str, port: int, variable: str) -> Iterator[int]:
    """Serve an application from a thread of its own while the body runs, which is given the port that was taken.

    Args:
        app: what answers.
        host: where to listen.
        port: likewise; 0 takes any free one.
        variable: by which another port can be set.

    Raises:
        UnavailableError: the port is taken.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        ws="websockets-sansio",
    )
    try:
        listener = config.bind_socket()
    except SystemExit:  # uvicorn's way of saying that the port is taken
        raise UnavailableError(f"{host}:{port} cannot be listened on", f"set {variable} to a free port") from None
    listener.listen()  # who asks from now on is answered, if a moment later, once the thread has begun
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name=variable, daemon=True)
    thread.start()
    name: Any = listener.getsockname()
    try:
        yield name[1]
    finally:
        server.should_exit = True
        thread.join(2.0)
        listener.close()
