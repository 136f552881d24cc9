"""``quant up --mode distributed``: an exchange where one is wanted, and every service a process, over the servers."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import Any

from rich.console import Console

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import SafetyError, UnavailableError, UsageError
from quant_platform.domain.money import format_rupees
from quant_platform.domain.session import IST
from quant_platform.domain.topics import TOPICS
from quant_platform.hosts import terminal_view
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.distributed import connections, feature_engine, market_persistor
from quant_platform.hosts.distributed.service_process import ServiceProcess
from quant_platform.hosts.distributed.service_set import ServiceSet, services_of
from quant_platform.hosts.exchange_process import Address, command_line, start_exchange
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.hosts.identity import MODES
from quant_platform.hosts.logs import configure_logs
from quant_platform.hosts.options import UpOptions
from quant_platform.hosts.process import Pauses
from quant_platform.hosts.results import as_json
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.tasks import failing_together, until_stopped
from quant_platform.ports.ledger_store import RunSummary

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
        await self._patiently(self._prepare_servers)
        async with contextlib.AsyncExitStack() as stack:
            address: Address | None = None
            if simulated:
                exchange = await start_exchange(command_line(self._options, None))
                stack.push_async_callback(exchange.stop)
                address = exchange.address
            services = services_of(self._options, self._settings, self._logs, address)
            stack.push_async_callback(services.stop)
            others = [asyncio.create_task(service.keep()) for service in services.others]
            others.append(asyncio.create_task(self._show(services)))
            depth = self._settings.feed.depth if address is None else address.depth
            async with failing_together(others):
                try:
                    await services.runtime.keep()
                    await self._until_stored(services)
                except asyncio.CancelledError:
                    await services.runtime.stop()
                    await self._report(services, depth, "stopped before the close")
                    raise
                await self._report(services, depth, "the market is over")
                if not self._options.until_close:
                    self._console.print("the services go on; Ctrl-C ends them", style="dim")
                    await stop.wait()

    # Before.

    async def _patiently(self, work: Any) -> None:
        """Do something with the servers as soon as they are there."""
        pauses = Pauses()
        while True:
            try:
                await asyncio.to_thread(work)
            except UnavailableError as error:
                self._console.print(f"waiting: {error}", style="yellow", markup=False)
                await asyncio.sleep(pauses.next())
            else:
                return

    def _prepare_servers(self) -> None:
        """Migrate the ledger; a simulated market begins with empty topics."""
        with connections.postgres(self._settings) as ledger:
            if self._options.source != "upstox":
                _refuse_beside_real(ledger)
        bus = connections.kafka(self._settings)
        if self._options.source != "upstox":
            self._empty(bus)
        bus.ensure(TOPICS)

    def _empty(self, bus: KafkaBus) -> None:
        patience = time.monotonic() + self._settings.kafka.session_timeout_ms / 1000 + FORGOTTEN_WITHIN_S
        while True:
            try:
                bus.forget_groups(GROUPS)
            except UnavailableError as error:
                if time.monotonic() < patience:
                    self._console.print(f"waiting: {error.what}", style="yellow", markup=False)
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

    async def _show(self, services: ServiceSet) -> None:
        """Say what changes: how every service is, and how the portfolio stands."""
        shown = ""
        while True:
            states = await asyncio.gather(*(service.state() for service in services.all))
            line = "  ".join(_state_line(service, state) for service, state in zip(services.all, states, strict=True))
            if line != shown and not self._options.json:
                self._console.print(line, soft_wrap=True, highlight=False, markup=False)
                shown = line
            if not self._options.json and (standing := await asyncio.to_thread(self._standing)):
                self._console.print(standing, soft_wrap=True, highlight=False, markup=False)
            await asyncio.sleep(SHOW_EVERY_S)

    def _standing(self) -> str:
        """How the portfolio stands, gross beside net; empty before its run has begun, or where Postgres is away."""
        with contextlib.suppress(UnavailableError), connections.postgres(self._settings) as ledger:
            for view in ledger.portfolios():
                if view.name == self._options.portfolio and view.last_run_state == "running":
                    charges = ledger.run_summary(view.last_run).charges
                    return (
                        f"{view.last_updated.astimezone(IST):%H:%M:%S} IST  equity {format_rupees(view.equity)} net, "
                        f"{format_rupees(view.equity + charges)} gross  cash {format_rupees(view.balance)}  "
                        f"{view.open_positions} positions"
                    )
        return ""

    async def _report(self, services: ServiceSet, depth: bool, title: str) -> None:
        summary = await asyncio.to_thread(self._summary)
        seconds = time.perf_counter() - self._started
        if summary is None:
            return
        if not self._options.json:
            self._console.print(terminal_view.render_summary(summary, title))
            return
        beside = await _beside(services)
        source = self._options.source
        found = as_json(summary, mode="distributed", source=source, depth=depth, seconds=seconds, beside=beside)
        print(json.dumps(found), flush=True)

    def _summary(self) -> RunSummary | None:
        """The numbers of the runtime's run; None where it had not begun one."""
        with connections.postgres(self._settings) as ledger:
            for view in ledger.portfolios():
                if view.name == self._options.portfolio and view.last_run:
                    return ledger.run_summary(view.last_run)
        return None


async def _beside(services: ServiceSet) -> dict[str, Any]:
    """What the services count besides the ledger; ticks carry no time of arrival, so there is no latency."""
    numbers: Counter[str] = Counter()
    for service in services.others:
        numbers.update(await service.numbers())
    return {
        "feed": {name: int(numbers[f"quant_feed_{name}_total"]) for name in ("frames", "reconnects", "gaps")},
        "scans": int(numbers["quant_scanner_scans_total"]),
        "latency_us": {"p50": None, "p99": None},
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
                "use other servers for a simulated one, or end that run: quant portfolio reset",
            )


def _state_line(service: ServiceProcess, state: str) -> str:
    name = service.name if service.instance == "1" else f"{service.name} {service.instance}"
    again = f" (started {service.starts} times)" if service.starts > 1 else ""
    return f"{name}: {state}{again}"
