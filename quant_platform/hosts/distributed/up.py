"""``quant up --mode distributed``: an exchange where one is wanted, and every service a process, over the servers."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rich.console import Console

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import SafetyError, UnavailableError, UsageError
from quant_platform.domain.money import format_rupees
from quant_platform.domain.session import IST
from quant_platform.domain.topics import TOPICS
from quant_platform.hosts import terminal_view
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.distributed import connections, feature_engine, ledger_connections, market_persistor
from quant_platform.hosts.distributed.service_process import ServiceProcess
from quant_platform.hosts.distributed.service_set import ServiceSet, services_of
from quant_platform.hosts.distributed.system_doctor import sample_services
from quant_platform.hosts.exchange_process import Address, command_line, start_exchange
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.hosts.identity import MODES
from quant_platform.hosts.logs import configure_logs
from quant_platform.hosts.options import UpOptions
from quant_platform.hosts.process import Pauses
from quant_platform.hosts.results import as_json
from quant_platform.hosts.service_states import ask_services
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.tasks import failing_together, until_stopped
from quant_platform.ports.ledger_store import RunSummary
from quant_platform.ports.ledger_views import PortfolioView
from quant_platform.services.api_gateway.shapes import ServiceState

T = TypeVar("T")

GROUPS = (feature_engine.NAME, *(each.group for each in market_persistor.INPUTS))
SHOW_EVERY_S = 5.0
LOOK_EVERY_S = 0.5
RETRY_S = 2.0
FORGOTTEN_WITHIN_S = 30.0
"""A service that ended counts as a member of its group until its session is over and Kafka has shared anew."""


def run(options: UpOptions) -> None:
    """Run the services until the market is over or the platform is stopped.

    Raises:
        SafetyError: another platform runs on the same home or servers.
        UsageError: an option does not go with this mode, or a file or a strategy is not usable.
        ConfigurationError: a setting is missing or wrong; nothing was consumed.
        QuantError: a service refused to run.
    """
    if options.speed is None and options.subscribe == "scanner":
        raise UsageError(
            "--speed max lets the data lead, and a scanner that is a process of its own cannot follow",
            "use --subscribe all, or a speed such as 60",
        )
    configure_logs()
    settings = load_settings(options.config)
    load_strategy(options.strategy, options.parameters)
    home = HomeFolder(options.home)
    with HomeLock(home):
        asyncio.run(until_stopped(DistributedRun(options, settings, home).run))


class DistributedRun:
    """One run of the whole platform as processes.

    Args:
        options: of the run.
        settings: of the installation: where the servers are.
        home: where logs are kept.
    """

    def __init__(self, options: UpOptions, settings: Settings, home: HomeFolder) -> None:
        self._options = options
        self._settings = settings
        self._logs = home.root / "logs"
        self._console = Console(stderr=options.json)
        self._started = time.perf_counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until the market is over and, unless told otherwise, on until stopped."""
        simulated = self._options.source != "upstox"
        async with contextlib.AsyncExitStack() as stack:
            ledger = await self._patiently(lambda: ledger_connections.postgres(self._settings, self._say_waiting))
            stack.callback(ledger.close)
            await self._patiently(lambda: self._prepare_topics(ledger))
            address: Address | None = None
            if simulated:
                exchange = await start_exchange(command_line(self._options, None))
                stack.push_async_callback(exchange.stop)
                address = exchange.address
            services = services_of(self._options, self._settings, self._logs, address)
            stack.push_async_callback(services.stop)
            others = [asyncio.create_task(service.keep()) for service in services.others]
            if not self._options.json:
                others.append(asyncio.create_task(self._show(services, ledger)))
            depth = self._settings.feed.depth if address is None else address.depth
            async with failing_together(others):
                try:
                    await services.runtime.keep()
                    await self._until_stored(services)
                except asyncio.CancelledError:
                    await services.runtime.stop()
                    await self._report(services, ledger, depth, "stopped before the close")
                    raise
                await self._report(services, ledger, depth, "the market is over")
                if not self._options.until_close:
                    self._console.print("the services go on; Ctrl-C ends them", style="dim")
                    await stop.wait()

    # Before.

    async def _patiently(self, work: Callable[[], T]) -> T:
        """Do something with the servers as soon as they are there."""
        pauses = Pauses()
        while True:
            try:
                return await asyncio.to_thread(work)
            except UnavailableError as error:
                self._say_waiting(str(error))
                await asyncio.sleep(pauses.next())

    def _say_waiting(self, why: str) -> None:
        self._console.print(f"waiting: {why}", style="yellow", markup=False)

    def _prepare_topics(self, ledger: SqlLedger) -> None:
        """Make the topics; a simulated market begins with empty ones."""
        bus = connections.kafka(self._settings)
        if self._options.source != "upstox":
            _refuse_beside_real(ledger)
            self._empty(bus)
        bus.ensure(TOPICS)

    def _empty(self, bus: KafkaBus) -> None:
        patience = time.monotonic() + self._settings.kafka.session_timeout_ms / 1000 + FORGOTTEN_WITHIN_S
        while True:
            try:
                bus.forget_groups(GROUPS)
            except UnavailableError as error:
                if time.monotonic() < patience:
                    self._say_waiting(error.what)
                    time.sleep(RETRY_S)
                    continue
                raise SafetyError(str(error), "stop the platform that runs on these servers, or use others") from None
            bus.remove(TOPICS)
            return

    async def _until_stored(self, services: ServiceSet) -> None:
        """Every tick that the runtime saw is to be found in QuestDB afterwards."""
        if not services.has(market_persistor.NAME):
            return
        bus = connections.kafka(self._settings)
        while left := await asyncio.to_thread(_unstored, bus):
            self._console.print(f"waiting: {left:,} records are not stored yet", style="yellow")
            await asyncio.sleep(LOOK_EVERY_S)

    # What is shown.

    async def _show(self, services: ServiceSet, ledger: SqlLedger) -> None:
        """Say what changes: how every service is, and how the portfolio stands."""
        shown = ""
        while True:
            states = await ask_services(services.addresses)
            line = "  ".join(_state_line(*each) for each in zip(services.all, states, strict=True))
            if line != shown:
                self._console.print(line, soft_wrap=True, highlight=False, markup=False)
                shown = line
            if standing := await asyncio.to_thread(self._standing, ledger):
                self._console.print(standing, soft_wrap=True, highlight=False, markup=False)
            await asyncio.sleep(SHOW_EVERY_S)

    def _standing(self, ledger: SqlLedger) -> str:
        """How the portfolio stands, gross beside net; empty before its run has begun, or where Postgres is away."""
        with contextlib.suppress(UnavailableError):
            view = self._portfolio(ledger)
            if view is not None and view.last_run_state == "running":
                charges = ledger.run_summary(view.last_run).charges
                return (
                    f"{view.last_updated.astimezone(IST):%H:%M:%S} IST  equity {format_rupees(view.equity)} net, "
                    f"{format_rupees(view.equity + charges)} gross  cash {format_rupees(view.balance)}  "
                    f"{view.open_positions} positions"
                )
        return ""

    async def _report(self, services: ServiceSet, ledger: SqlLedger, depth: bool, title: str) -> None:
        summary = await asyncio.to_thread(self._summary, ledger)
        seconds = time.perf_counter() - self._started
        if summary is None:
            return
        if not self._options.json:
            self._console.print(terminal_view.render_summary(summary, title))
            return
        beside = await _beside(services, summary)
        source = self._options.source
        found = as_json(summary, mode="distributed", source=source, depth=depth, seconds=seconds, beside=beside)
        print(json.dumps(found), flush=True)

    def _summary(self, ledger: SqlLedger) -> RunSummary | None:
        """The numbers of the runtime's run; None where it had not begun one."""
        view = self._portfolio(ledger)
        return ledger.run_summary(view.last_run) if view is not None and view.last_run else None

    def _portfolio(self, ledger: SqlLedger) -> PortfolioView | None:
        return next((view for view in ledger.portfolios() if view.name == self._options.portfolio), None)


async def _beside(services: ServiceSet, summary: RunSummary) -> dict[str, Any]:
    """What the services count besides the ledger's amounts; there is no latency where the market waits for nobody."""
    answers = await asyncio.to_thread(sample_services, services.addresses)

    def total(metric: str) -> int:
        numbers = (number for each in answers for number in each.numbers or ())
        return int(sum(number.value for number in numbers if number.metric == metric))

    return {
        "feed": {name: total(f"quant_feed_{name}_total") for name in ("frames", "reconnects", "gaps")},
        "scans": total("quant_scanner_scans_total"),
        "latency_us": dict(zip(("p50", "p99"), summary.latency_us, strict=True)),
        "restarts": sum(service.starts - 1 for service in services.all),
    }


def _unstored(bus: KafkaBus) -> int:
    """Records that the persistor has yet to store; 1 while Kafka cannot tell."""
    try:
        return sum(bus.behind(each.group, each.topic.name) for each in market_persistor.INPUTS)
    except UnavailableError:
        return 1


def _refuse_beside_real(ledger: SqlLedger) -> None:
    """A simulated market empties the topics, in which an open real day would lose its ticks.

    Raises:
        SafetyError: a portfolio trades the real market on these servers.
    """
    for view in ledger.portfolios():
        if view.mode == MODES["upstox"] and view.last_run_state == "running":
            raise SafetyError(
                f"portfolio {view.name!r} trades the real market on these servers",
                f"use other servers for a simulated one, or end that run: "
                f"quant portfolio reset {view.name} --mode distributed",
            )


def _state_line(service: ServiceProcess, found: ServiceState) -> str:
    name = service.name if service.instance == "1" else f"{service.name} {service.instance}"
    state = "starting" if found.state == "away" else found.reason or found.state
    again = f" (started {service.starts} times)" if service.starts > 1 else ""
    return f"{name}: {state}{again}"
