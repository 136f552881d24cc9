"""api_gateway as a service: the HTTP API on its port, over the ledger, the stored ticks and the cache."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from inspect import cleandoc

import structlog

from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.domain.commands import Halt
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.records import OrderEvent
from quant_platform.hosts import process
from quant_platform.hosts.api_keys import split_token, unseal
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed import connections, ledger_connections, series_connections
from quant_platform.hosts.distributed.live_events import follow_order_events
from quant_platform.hosts.doorkeeper import Doorkeeper
from quant_platform.hosts.health import Health, routes, served
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.process import Backoff
from quant_platform.hosts.service_states import ask_services
from quant_platform.hosts.strategies import built_in_classes
from quant_platform.ports.api_keys import ApiKey
from quant_platform.services.api_gateway.shapes import ServiceState, StrategyKind, order_step
from quant_platform.services.strategy_runtime.schema import TradingSettings, default_texts
from quant_platform.web.api import Sources, make_app
from quant_platform.web.live import LiveEvents

NAME = "api_gateway"
STOP_WITHIN_S = 2.0
"""How long the follower of events may take to end, which may be asking a Kafka that is away."""
LOOK_EVERY_S = 2.0
"""How often the ledger is looked for; each request that needs it finds out by itself."""

_log = structlog.get_logger(__name__)


class WaitedLedger:
    """The ledger, opened when Postgres is there; until then whoever asks is told what is waited for.

    Args:
        settings: where it is.
        health: shows whether it is there.
        first_key: taken in when the ledger was opened; None for none.
    """

    def __init__(self, settings: Settings, health: Health, first_key: ApiKey | None) -> None:
        self._settings = settings
        self._health = health
        self._first_key = first_key
        self._opened: GatewayLedger | None = None

    def __call__(self) -> GatewayLedger:
        """The ledger.

        Raises:
            UnavailableError: it was not there yet.
        """
        if self._opened is None:
            raise UnavailableError("the ledger was not reached yet", "see whether Postgres runs; it is tried again")
        return self._opened

    def keep_open(self, stop: threading.Event) -> None:
        """Open it, and look after it until told to stop.

        Raises:
            ConfigurationError: the password is wrong, or the schema is newer than the program.
        """
        backoff = Backoff(self._health)
        while not stop.is_set():
            began = time.monotonic()
            try:
                self._open()
                while not stop.is_set():
                    self().portfolios()
                    self._health.working()
                    stop.wait(LOOK_EVERY_S)
            except UnavailableError as error:
                stop.wait(backoff.pause_after(error, time.monotonic() - began))

    def close(self) -> None:
        """Let go of it."""
        if self._opened is not None:
            self._opened.close()

    def _open(self) -> None:
        if self._opened is None:
            self._opened = ledger_connections.gateway_ledger(self._settings, self._health.waiting)
        if self._first_key is not None and self._opened.add_key(self._first_key):
            _log.info("the first key was taken in", key=self._first_key.key_id)
        if not self._opened.list_keys():
            _log.warning("there is no key yet, so nobody is answered; `quant api-key new` makes one")


@contextlib.contextmanager
def _beside(stop: threading.Event, work: Callable[[], None]) -> Iterator[None]:
    """Work that a thread does until it is told to stop."""
    thread = threading.Thread(target=work, name="live events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_WITHIN_S)


def _strategies() -> list[StrategyKind]:
    shared = default_texts(TradingSettings)
    return [
        StrategyKind(name, cleandoc(kind.__doc__ or "").partition("\n")[0], default_texts(kind.Parameters), shared)
        for name, kind in built_in_classes().items()
    ]


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Serve until SIGTERM.

    Raises:
        ConfigurationError: a setting is missing or wrong, a password among them.
        UnavailableError: the port of the API is taken.
    """
    sealed = settings.api.first_key
    ledger = WaitedLedger(settings, health, unseal(sealed.get_secret_value()) if sealed else None)
    series = series_connections.series_reader(settings)
    lookups = connections.lookups(settings)
    requests = health.counter("quant_api_requests_total", "Requests answered", "route", "status")
    seconds = health.histogram("quant_api_request_seconds", "From a request to the end of its answer")

    def observe(route: str, status: int, took_s: float) -> None:
        requests.labels(route or "none", str(status)).inc()
        seconds.observe(took_s)

    live = LiveEvents()

    def publish(events: Sequence[OrderEvent]) -> None:
        live.publish(list(map(order_step, events)))

    async def services() -> Sequence[ServiceState]:
        mine = ServiceState(NAME, "ready" if health.ready else "waiting", health.reason or None)
        others = {name: url for name, url in settings.api.services.items() if name != NAME}
        return [mine, *await ask_services(others)]

    def command(order: Halt, reason: str, token: str, portfolio: str | None) -> Sequence[str]:
        shown = split_token(token)
        actor = f"API key {shown[0]}" if shown else "API"
        return ledger().command(order, reason, actor, datetime.now(UTC), portfolio)

    sources = Sources(ledger, command, series, lookups.quotes, services, _strategies(), live)
    app = make_app(sources, Doorkeeper(ledger).admit, routes(health), observe)
    try:
        with (
            process.stopped_by_signals() as stop,
            _beside(stop, partial(follow_order_events, connections.kafka(settings), health, publish, stop)),
            served(app, settings.api.host, settings.api.port, "QUANT_API__PORT") as port,
        ):
            _log.info("the API answers", host=settings.api.host, port=port)
            with contextlib.suppress(UnavailableError):  # it may come later; a wrong password would stay wrong
                series.backlog()
            ledger.keep_open(stop)
    finally:
        ledger.close()
        series.close()
