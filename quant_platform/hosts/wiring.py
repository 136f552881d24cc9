"""The composition root of ``quant up``: which adapter stands behind which port."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path

from quant_platform.adapters.broker.simulator_control import SimulatorControl
from quant_platform.adapters.broker.upstox_feed import UpstoxFeed
from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.adapters.clock.lockstep import LockstepClock
from quant_platform.adapters.clock.scaled import ScaledClock
from quant_platform.adapters.clock.system import SystemClock
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.arrow import ArrowTickStore
from quant_platform.domain.errors import AuthenticationError, UsageError
from quant_platform.domain.instruments import Instrument, nifty_100
from quant_platform.domain.session import ist_date, ns_at, session_on
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.exchange_process import ExchangeProcess, command_line, start_exchange
from quant_platform.hosts.home import HomeFolder
from quant_platform.hosts.lockstep import LockstepDriver
from quant_platform.hosts.options import UpOptions
from quant_platform.hosts.pace import IN_FLIGHT_S, FollowingPace, LockstepPace, Pace, WallPace
from quant_platform.ports.broker import FeedHandler
from quant_platform.ports.clock import Clock
from quant_platform.protocol.upstox import paths
from quant_platform.services.market_persistor.rows import stored_columns

HOW_TO_LOG_IN = (
    "run `quant login`, or put the day's token into UPSTOX_ACCESS_TOKEN (environment or .env; it dies at 03:30 IST); "
    "without an account, `quant up` runs a simulated day"
)
KEEP_TIME_EVERY_S = 0.25


def open_ledger(home: HomeFolder) -> SqlLedger:
    """The home's ledger, durable: a commit is on the disk when it returns."""
    home.root.mkdir(parents=True, exist_ok=True)
    return SqlLedger(home.ledger)


def open_ticks(home: HomeFolder) -> ArrowTickStore:
    """The home's stored ticks."""
    return ArrowTickStore(home.root, stored_columns)


@dataclass(slots=True)
class Market:
    """A market to run on, with everything that reaches it.

    Attributes:
        clock: of the market.
        rest: its REST side.
        depth: whether its frames carry a book.
        exchange: the simulated exchange's process; None for the real one.
        control: moves or tells the simulated exchange's clock; None for the real one.
        first_ns: where the market's time starts in this process, ns UTC.
        end_ns: its last close, ns UTC; None for the real market, which goes on.
        speed: market seconds per second of the wall, where time is the wall's.
    """

    clock: Clock
    rest: UpstoxRest
    depth: bool
    exchange: ExchangeProcess | None
    control: SimulatorControl | None
    first_ns: int
    end_ns: int | None
    speed: float = 1.0

    async def keep_time(self) -> None:
        """Follow the simulated exchange's clock, which jumps over idle hours, until the exchange has finished.

        Then its clock stands; ours goes on to the end of the day, so that nobody waits for what will not come.
        """
        while self.control is not None and isinstance(self.clock, ScaledClock):
            await asyncio.sleep(KEEP_TIME_EVERY_S)
            shown = await self.control.clock()
            self.clock.set(shown.now_ns)
            if shown.finished:
                await asyncio.sleep(IN_FLIGHT_S)
                self.clock.set(ns_at(ist_date(shown.end_ns) + timedelta(days=1), time(0, 0)))
                return

    async def universe(self, *, whole: bool) -> list[Instrument]:
        """What is scanned and may be subscribed, by symbol.

        Args:
            whole: everything that the market lists, as for a replay; else the NIFTY 100 of it.

        Raises:
            UsageError: the market lists none of the NIFTY 100.
        """
        wanted = {instrument.instrument_key for instrument in nifty_100()}
        listed = await self.rest.instruments()
        found = [instrument for instrument in listed if whole or instrument.instrument_key in wanted]
        if not found and not whole:
            raise UsageError("the broker's list of instruments has none of the NIFTY 100")
        return sorted(found, key=lambda instrument: instrument.symbol)

    async def close(self) -> None:
        """Let go of the connections and end the simulated exchange."""
        await self.rest.close()
        if self.control is not None:
            await self.control.close()
        if self.exchange is not None:
            await self.exchange.stop()

    def in_session(self) -> bool:
        """Whether the market trades now."""
        now_ns = self.clock.now_ns()
        session = session_on(ist_date(now_ns))
        return session is not None and session.open_ns(False) <= now_ns < session.last_close_ns

    def feed_to(self, handler: FeedHandler, stall_after_s: float) -> UpstoxFeed:
        """A feed of this market; in lockstep nothing may depend on the wall, so nobody pings or watches."""
        lockstep = isinstance(self.clock, LockstepClock)
        watch = (lambda: False) if lockstep else self.in_session
        keepalive_s = None if lockstep else 20.0
        return UpstoxFeed(self.rest, self.clock, handler, watch, stall_after_s=stall_after_s, keepalive_s=keepalive_s)

    def pace_for(self, feed: UpstoxFeed, on_time: Callable[[int], None]) -> Pace:
        """Who moves the run on this market."""
        if isinstance(self.clock, LockstepClock) and self.control is not None:
            return LockstepPace(LockstepDriver(self.control, feed, self.clock))
        return WallPace(self.clock, self.speed, on_time)

    def pace_beside(self, on_time: Callable[[int], None]) -> Pace:
        """How one who has no feed keeps up with this market; where it is driven, another process drives it."""
        if isinstance(self.clock, LockstepClock) and self.control is not None:
            return FollowingPace(self.control.clock, self.clock, on_time)
        return WallPace(self.clock, self.speed, on_time)


async def open_market(options: UpOptions, settings: Settings, seek_ns: int | None) -> Market:
    """Reach Upstox, or start a simulated exchange.

    Args:
        options: of the run.
        settings: where the token stands.
        seek_ns: the moment a simulated market goes on from; None for its beginning.

    Raises:
        AuthenticationError: the real market was asked for without a token.
        QuantError: the simulated exchange could not start.
    """
    if options.source == "upstox":
        return real_market(settings, options.config)
    exchange = await start_exchange(command_line(options, seek_ns))
    return await reach_exchange(exchange.address.url, exchange.address.token, exchange)


async def reach_market(settings: Settings, config: Path | None) -> Market:
    """The market of the settings: Upstox, or a simulated exchange that runs at another address.

    Args:
        settings: where the address and the token stand.
        config: the settings file, from which Upstox's token is read anew.

    Raises:
        AuthenticationError: there is no token.
        UnavailableError: the simulated exchange does not answer.
    """
    upstox = settings.upstox
    if upstox.base_url == paths.API_HOST:
        return real_market(settings, config)
    token = upstox.access_token.get_secret_value() if upstox.access_token else ""
    return await reach_exchange(upstox.base_url, token)


async def reach_exchange(url: str, token: str, exchange: ExchangeProcess | None = None) -> Market:
    """A simulated exchange that runs already.

    Args:
        url: its base address.
        token: what it wants to be shown.
        exchange: its process, where it is ours to end.

    Raises:
        UnavailableError: it does not answer.
    """
    control = SimulatorControl(url, lambda: token)
    try:
        shown = await control.clock()
    except BaseException:
        await control.close()
        raise
    speed = 1.0 if shown.speed == "max" else shown.speed
    clock = LockstepClock(shown.now_ns) if shown.speed == "max" else ScaledClock(shown.now_ns, speed)
    rest = UpstoxRest(url, lambda: token, clock)
    return Market(clock, rest, shown.depth, exchange, control, shown.now_ns, shown.end_ns, speed)


def real_market(settings: Settings, config: Path | None) -> Market:
    """Upstox itself; the token is read anew on every request.

    Raises:
        AuthenticationError: there is no token.
    """
    if settings.upstox.access_token is None:
        raise AuthenticationError("the real market needs an access token", HOW_TO_LOG_IN)

    def token() -> str:
        stored = load_settings(config).upstox.access_token
        return stored.get_secret_value() if stored else ""

    clock = SystemClock()
    rest = UpstoxRest(paths.API_HOST, token, clock)
    return Market(clock, rest, True, None, None, clock.now_ns(), None)
