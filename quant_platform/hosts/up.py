"""``quant up``: exchange, client and all cores, in one process, for a trading day or more."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from datetime import time as clock_time
from typing import Any

from rich.console import Console

from quant_platform.adapters.broker.upstox_feed import UpstoxFeed
from quant_platform.adapters.clock.lockstep import LockstepClock
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.arrow import ArrowTickStore
from quant_platform.domain.errors import SafetyError, UsageError
from quant_platform.domain.instruments import Instrument, SymbolTable
from quant_platform.domain.session import ist_date, next_session, ns_at, session_on
from quant_platform.hosts import terminal_view, wiring
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.days import TradingDays, days_between
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.hosts.identity import MODES, identity_of
from quant_platform.hosts.logs import configure_logs
from quant_platform.hosts.market import MarketHost
from quant_platform.hosts.options import UpOptions
from quant_platform.hosts.results import as_json, percentiles_us
from quant_platform.hosts.screen import Screen
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.tasks import failing_together, until_stopped
from quant_platform.hosts.warm import warm_kernels
from quant_platform.hosts.wiring import Market
from quant_platform.ports.ledger_store import RunRequest, RunStart, RunSummary
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL, TradingSettings
from quant_platform.services.strategy_runtime.strategy import Strategy

LAST_INTRADAY_ORDER = clock_time(15, 12)
"""Upstox takes no intraday orders after this (IST)."""
LOOK_EVERY_S = 0.1


def run(options: UpOptions) -> None:
    """Run the platform until its market is over or it is stopped.

    Raises:
        SafetyError: another platform runs on the same home, or square-off comes after the broker's cut-off.
        AuthenticationError: the real market was asked for without a token.
        UsageError: an option, a file or a strategy is not usable.
    """
    configure_logs()
    settings = load_settings(options.config)
    strategy, trading = load_strategy(options.strategy, options.parameters)
    home = HomeFolder(options.home)
    with HomeLock(home), wiring.open_ledger(home) as ledger:
        asyncio.run(UpRun(options, settings, strategy, trading, home, ledger).run())


class UpRun:
    """One run of ``quant up``.

    Args:
        options: of the run.
        settings: of the installation.
        strategy: what decides.
        trading: the settings that strategies share.
        home: where everything is kept.
        ledger: the home's.
    """

    def __init__(
        self,
        options: UpOptions,
        settings: Settings,
        strategy: Strategy,
        trading: TradingSettings,
        home: HomeFolder,
        ledger: SqlLedger,
    ) -> None:
        self._options = options
        self._settings = settings
        self._strategy = strategy
        self._trading = trading
        self._home = home
        self._ledger = ledger
        self._console = Console(stderr=options.json)
        self._started = time.perf_counter()

    async def run(self) -> None:
        """Run until the market is over and, unless told otherwise, on until stopped."""
        await until_stopped(self._run)

    async def _run(self, stop: asyncio.Event) -> None:
        start = self._ledger.begin(self._request())
        kernels = asyncio.create_task(asyncio.to_thread(warm_kernels))  # loaded while the exchange starts
        market = await wiring.open_market(self._options, self._settings, _seek(start))
        await kernels
        ticks = wiring.open_ticks(self._home)
        try:
            host = await self._host(market, start, ticks)
            screen = Screen(self._options, start, host, market.clock, self._trading.max_positions, self._paid(start))
            try:
                async with self._beside(market, host, screen) as feed:
                    try:
                        await self._run_days(market, host, feed, ticks, start)
                    finally:
                        if self._options.picture is not None:
                            terminal_view.save_picture(screen.sample(), self._options.picture)
            except asyncio.CancelledError:
                if host.platform.moment:  # else nothing happened that could be gone on from
                    host.commit()
                self._report(host, market, self._ledger.summary(), "stopped before the close; the same command goes on")
                raise
            self._report(host, market, self._ledger.finish(), f"summary of {ist_date(host.platform.moment)}")
        finally:
            ticks.close()
            await market.close()
        if not self._options.until_close:
            self._console.print("the market is over; Ctrl-C ends this", style="dim")
            await stop.wait()

    def _request(self) -> RunRequest:
        options = self._options
        return RunRequest(
            portfolio=options.portfolio,
            mode=MODES[options.source],
            strategy=self._strategy.name,
            identity=identity_of(options, (self._trading, self._strategy.parameters, self._settings.scanner)),
            capital=options.capital,
            default_capital=DEFAULT_CAPITAL,
            fresh=options.fresh,
        )

    def _paid(self, start: RunStart) -> int:
        """Charges that a resumed run paid before, paise."""
        return 0 if start.resumed_at is None else self._ledger.run_summary(start.run_id).charges

    async def _host(self, market: Market, start: RunStart, ticks: ArrowTickStore) -> MarketHost:
        """The cores, restored where the run resumes, and the market's side of them."""
        universe = await market.universe(whole=self._options.source == "replay")
        table = SymbolTable()
        blueprint = Blueprint(self._strategy, self._trading, market.depth)
        platform = EmbeddedPlatform(blueprint, table, self._ledger, start.balance, ticks)
        beside = platform.restore(start.state) if start.state else None
        for instrument in universe:
            table.add(instrument)
        host = MarketHost(
            platform,
            market.rest,
            market.clock,
            universe,
            depth=market.depth,
            live=self._options.source == "upstox",
            picks=self._settings.scanner.picks,
            save_scan=self._ledger.save_scan,
        )
        if beside is not None:
            host.restore(beside)
        platform.obey(self._ledger.halt)
        self._ledger.save_instruments(universe)
        return host

    @contextlib.asynccontextmanager
    async def _beside(self, market: Market, host: MarketHost, screen: Screen) -> AsyncIterator[UpstoxFeed]:
        """What runs beside the days: the feed, the exchange's clock, flushes to disk, and the view."""
        feed = market.feed_to(host, self._settings.feed.stall_after_s)
        host.attach(feed)
        lockstep = isinstance(market.clock, LockstepClock)
        tasks = [asyncio.create_task(_look_after(host, None if lockstep else self._ledger))]
        if not lockstep:
            tasks += [asyncio.create_task(feed.run()), asyncio.create_task(market.keep_time())]
        if not self._options.json:
            tasks.append(asyncio.create_task(terminal_view.show(screen.sample, self._console)))
        try:
            async with failing_together(tasks):
                try:
                    yield feed
                finally:
                    host.stopping = True
        finally:
            await feed.disconnect("the platform stops")

    async def _run_days(
        self, market: Market, host: MarketHost, feed: UpstoxFeed, ticks: ArrowTickStore, start: RunStart
    ) -> None:
        def on_time(ts: int) -> None:
            host.platform.on_clock(ts)
            host.commit_orders()

        options = self._options
        universe = list(host.universe)
        days = TradingDays(
            host,
            market.pace_for(feed, on_time),
            market.clock,
            ticks,
            self._home.root,
            options.source,
            self._trading,
            scanned=options.subscribe == "scanner",
            interval_min=self._settings.scanner.interval_min,
            universe=universe,
        )
        for day in ticks.leftovers():
            ticks.compact(day)
        first_ns = market.first_ns
        if options.source == "upstox":
            self._check_real_day(first_ns, universe)
        days.claim(ist_date(first_ns), start.resumed_at)
        if start.resumed_at is not None:
            await host.subscribe_again()
        elif options.subscribe == "all":
            await host.subscribe([instrument.symbol for instrument in universe])
        for day in days_between(first_ns, first_ns if market.end_ns is None else market.end_ns):
            await days.run(day, start.resumed_at)

    def _check_real_day(self, now_ns: int, universe: Iterable[Instrument]) -> None:
        """Refuse a day without a session, and a square-off that the broker would refuse."""
        today = ist_date(now_ns)
        session = session_on(today)
        if session is None:
            raise UsageError(f"the exchange is closed on {today}", f"the next session is on {next_session(today)}")
        trading, last = self._trading, ns_at(today, LAST_INTRADAY_ORDER)
        late = sorted(
            i.symbol
            for i in universe
            if last < session.square_off_ns(i.cas_eligible, trading.square_off, trading.square_off_lead_min)
        )
        if late and session.last_close_ns > last:
            raise SafetyError(
                f"{late[0]} would be squared off after {LAST_INTRADAY_ORDER:%H:%M}, Upstox's last intraday order",
                "use --set square_off=15:10 or earlier",
            )

    def _report(self, host: MarketHost, market: Market, summary: RunSummary, title: str) -> None:
        seconds = time.perf_counter() - self._started
        if not self._options.json:
            self._console.print(terminal_view.render_summary(summary, title))
            return
        p50, p99 = percentiles_us(host.intake.latencies_ns)
        numbers = host.numbers
        beside: dict[str, Any] = {
            "feed": {"frames": host.intake.frames, "reconnects": numbers.reconnects, "gaps": numbers.gaps},
            "scans": numbers.scans,
            "latency_us": {"p50": p50, "p99": p99},
        }
        source = self._options.source
        found = as_json(summary, mode="embedded", source=source, depth=market.depth, seconds=seconds, beside=beside)
        print(json.dumps(found), flush=True)


def _seek(start: RunStart) -> int | None:
    """Where a simulated market goes on: just before the last moment, whose frames are told apart by their number."""
    return None if start.resumed_at is None else start.resumed_at - 1


async def _look_after(host: MarketHost, ledger: SqlLedger | None) -> None:
    """What has to be done now and then, whether frames come or not.

    Args:
        host: of the run.
        ledger: of the run, where orders are committed before their fills and commands looked for; None in lockstep,
            where only the data decide when something is committed, and commands are found then.
    """
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        host.platform.flush_ticks(if_due=True)
        if ledger is not None:
            host.platform.obey(ledger.look_for_halt())
            host.commit_orders()
        host.tell_set_aside()
