"""The strategy_runtime core: enriched ticks, timers and clocks in; orders, fills and the ledger's rows out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.commands import Halt
from quant_platform.domain.errors import CalendarError, StrategyError
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.money import prices_in_rupees
from quant_platform.domain.orders import BUY, EVENT, REFUSED_INTENT, Refusal
from quant_platform.domain.session import Session, ist_date, session_on
from quant_platform.domain.snapshots import grow, pack, unpack
from quant_platform.domain.ticks import (
    IST_OFFSET_NS,
    LEVELS,
    NOT_FED,
    NS_PER_DAY,
    EnrichedBatch,
    trading_day,
)
from quant_platform.ports.ledger_store import EquityRow, LedgerBlock, OpenPosition
from quant_platform.services.strategy_runtime import commands, loop, paper_exchange, risk
from quant_platform.services.strategy_runtime.journal import NONE_REFUSED, Journal, event_rows
from quant_platform.services.strategy_runtime.schema import TradingSettings
from quant_platform.services.strategy_runtime.state import (
    ACCOUNT,
    NEVER,
    NO_SESSION,
    POSITION,
    Depth,
    Tape,
    limits_of,
    rules_of,
    session_times,
)
from quant_platform.services.strategy_runtime.strategy import (
    Booleans,
    Context,
    Decision,
    FactorStrategy,
    FeatureRow,
    Features,
    Strategy,
    TickStrategy,
)

KIND = "strategy_runtime/1"
MIN_EVENTS = 4096
STRETCH = 65_536
"""Ticks processed at a time, each of which may have an intent refused."""
_TAPE_DEPTH = slice(5, 9)
_HOLDING = list(OpenPosition._fields[1:])


def features_of(batch: EnrichedBatch) -> Features:
    """A batch as a strategy sees it; only the price column is new memory."""
    ticks = batch.ticks
    return Features(
        ts=ticks.ts,
        symbol=ticks.symbol,
        ltp=prices_in_rupees(ticks.ltp),
        volume=ticks.volume,
        vwap=batch.vwap,
        rsi=batch.rsi,
        obi=batch.obi,
        sma=batch.sma,
        spread=batch.spread,
        aggressor=batch.aggressor,
    )


def tape_of(batch: EnrichedBatch, enter: Booleans, leave: Booleans) -> Tape:
    """A batch as the kernels trade it."""
    ticks = batch.ticks
    depth = (ticks.bid_price, ticks.bid_qty, ticks.ask_price, ticks.ask_qty)
    return Tape(ticks.ts, ticks.symbol, ticks.ltp, ticks.flags, batch.has_depth, *depth, enter, leave)


def _first_at(ts: NDArray[np.int64], moment: int) -> int:
    """The first row stamped at or after a moment, which ends every row before it from being decided on."""
    if not ts.size or ts[0] >= moment:
        return 0
    return int(np.argmax(ts >= moment)) if ts[-1] >= moment else int(ts.size)


def _failed(strategy: Strategy, where: str, error: Exception) -> StrategyError:
    return StrategyError(
        f"strategy {strategy.name!r} failed in {where}: {type(error).__name__}: {error}",
        "correct the strategy; QUANT_DEBUG=1 shows where",
    )


class StrategyRuntime:
    """One portfolio and one strategy.

    Args:
        strategy: what decides.
        settings: sizing, limits and times.
        table: the run's symbols; may grow while the runtime runs.
        depth: whether the run's data has depth; without, fills are at the last price.
        balance: starting cash, paise.
    """

    def __init__(
        self, strategy: Strategy, settings: TradingSettings, table: SymbolTable, *, depth: bool, balance: int
    ) -> None:
        self._by_tick = strategy if isinstance(strategy, TickStrategy) else None
        self._by_factor = strategy if isinstance(strategy, FactorStrategy) else None
        self._settings = settings
        self._table = table
        self._limits = limits_of(settings, depth=depth)
        # For every tick fields are asked as `account["name"].item()`, which takes a third of `account[0]["name"]`.
        self._account: NDArray[Any] = np.zeros(1, ACCOUNT)
        self._account["cash"] = balance
        self._account["peak"] = balance
        self._account["next_timer"] = NEVER
        self._positions: NDArray[Any] = np.zeros(0, POSITION)
        self._standing = Depth(*(np.zeros((0, LEVELS if depth else 0), np.int32) for _ in range(4)))
        self._make_room_for_events(MIN_EVENTS)
        self._refused: NDArray[Any] = np.zeros(STRETCH, REFUSED_INTENT)
        self._order = np.zeros(0, np.int64)
        self._times = NO_SESSION
        self._rules = rules_of(self._limits, NO_SESSION)
        self.journal = Journal(table.name, self._explain)

    @property
    def cash(self) -> int:
        """Paise."""
        return int(self._account[0]["cash"])

    @property
    def equity(self) -> int:
        """Paise: cash and positions at their last in-session price."""
        return int(self._account[0]["cash"] + self._account[0]["holdings"])

    @property
    def max_drawdown(self) -> int:
        """Paise: the largest fall of equity from its peak."""
        return int(self._account[0]["max_drawdown"])

    @property
    def refusals(self) -> dict[str, int]:
        """Refused intents by reason, those that occurred."""
        counts = self._account[0]["refusals"].tolist()
        return {reason.label: counts[reason] for reason in Refusal if counts[reason]}

    @property
    def orders(self) -> int:
        """Approved so far in the run."""
        return int(self._account["orders"].item())

    def open_positions(self) -> list[OpenPosition]:
        """All holdings, by symbol."""
        held = [
            OpenPosition(self._table.name(number), *self._positions[_HOLDING][number].item())
            for number in np.flatnonzero(self._positions["quantity"]).tolist()
        ]
        return sorted(held)

    def last_price(self, symbol: str) -> int:
        """Paise of the symbol's last in-session price; 0 when it has none."""
        number = self._table.get(symbol)
        return 0 if number is None or number >= self._positions.size else int(self._positions[number]["ltp"])

    def on_ticks(self, batch: EnrichedBatch, stale_before: int = 0) -> None:
        """Take a batch in the stream's order; what it brings about stands in :attr:`journal` afterwards.

        Args:
            batch: enriched ticks.
            stale_before: ns UTC. Ticks stamped earlier fill what was ordered, and nothing is decided on them: live, the
                market has moved on from what they show.

        Raises:
            CalendarError: a tick to be fed lies on a date that the calendar does not cover.
            StrategyError: the strategy answered with something else than it promised.
        """
        self._make_room()
        features = features_of(batch)
        if self._by_factor is not None:
            tape = tape_of(batch, *self._signals(self._by_factor, features))
            stale = _first_at(tape.ts, stale_before)
            if stale:
                self._run(tape, features, 0, stale, decide=False)
            self._run(tape, features, stale, tape.ts.size)
        else:
            tape = tape_of(batch, *np.zeros((2, features.ts.size), np.bool_))
            if self._by_tick is not None:
                self._ask_tick_by_tick(self._by_tick, tape, features, stale_before)
        if self._limits.depth:
            paper_exchange.keep_depth(self._positions, *self._standing, tape.symbol, *tape[_TAPE_DEPTH])

    def on_clock(self, ts: int) -> None:
        """Let time pass without a tick: timers due up to ``ts`` (ns UTC) fire, stamped by the rule."""
        self._make_room()
        self._fire_until(ts)

    def obey(self, halt: Halt, ts: int) -> bool:
        """Take what the portfolio's owner has ordered, until something else is; gives whether something else was.

        Args:
            halt: no entries, or out of everything, or to trade again.
            ts: ns UTC, the market time at which it counts, which what comes of it bears; nothing later was taken yet.
        """
        if halt == self._account["halt"].item():
            return False
        self.on_clock(ts)
        commands.obey(self._account, self._positions, self._events, self._order, int(halt), ts)
        self._drain()
        return True

    def mark_close(self, ts: int) -> None:
        """End a session's equity curve with a point at ``ts`` (ns UTC), after all its timers."""
        self.journal.mark(EquityRow(ts, self.cash, self.equity))
        self._account[0]["minute_end"] = 0

    def block(self, moment: int) -> LedgerBlock:
        """What happened since the journal was last cleared, for one commit."""
        story = self.journal.story
        return LedgerBlock(
            orders=story.orders,
            fills=story.fills,
            ends=story.ends,
            refusals=story.refusals,
            equity=story.equity,
            positions=self.open_positions(),
            balance=self.cash,
            last_equity=self.equity,
            max_drawdown=self.max_drawdown,
            refusal_counts=self.refusals,
            moment=moment,
        )

    def _make_room(self) -> None:
        n = len(self._table)
        if n != self._order.size:
            self._positions = grow(self._positions, n)
            self._standing = Depth(*(grow(column, n) for column in self._standing))
            self._order = np.argsort(self._table.rank[:n], kind="stable").astype(np.int64)
            if self._events.size < 32 * n:
                self._make_room_for_events(64 * n)

    def _make_room_for_events(self, most: int) -> None:
        self._events: NDArray[Any] = np.zeros(most, EVENT)
        self._event_rows = event_rows(self._events)

    @np.errstate(invalid="ignore")
    def _signals(self, strategy: FactorStrategy, features: Features) -> tuple[Booleans, Booleans]:
        try:
            enter, leave = strategy.signals(features)
        except Exception as error:
            raise _failed(strategy, "signals", error) from error
        for name, column in (("entry", enter), ("exit", leave)):
            if getattr(column, "shape", None) != features.ts.shape or column.dtype != np.bool_:
                raise StrategyError(
                    f"strategy {strategy.name!r} gave an {name} column that is not one boolean a tick",
                    "return two boolean arrays as long as the columns it was given",
                )
        return enter, leave

    def _run(
        self,
        tape: Tape,
        features: Features,
        start: int,
        stop: int,
        *,
        settle: bool = True,
        decide: bool = True,
        reason: str = "",
    ) -> None:
        while start < stop:
            ts = int(tape.ts[start])
            fed = not tape.flags[start] & NOT_FED
            if fed and ts >= self._account["day_end"].item():
                self._turn_session(ts)
            start = loop.process(
                self._account,
                self._positions,
                self._events,
                self._refused,
                self._order,
                self._table.cas_eligible,
                self._rules,
                *self._standing,
                *tape,
                start,
                stop,
                settle,
                decide,
            )
            self._drain(features if self._by_tick is None else None, reason)

    def _ask_tick_by_tick(self, strategy: TickStrategy, tape: Tape, features: Features, stale_before: int) -> None:
        for i in range(tape.ts.size):
            if tape.flags[i] & NOT_FED:
                continue
            self._run(tape, features, i, i + 1, decide=False)
            if tape.ts[i] < stale_before:
                continue
            tick = features.row(i)
            position = self._positions[tick.symbol]
            held = int(position["quantity"])
            average = float(position["buy_value"]) / held / 100 if held else float("nan")
            try:
                wish = strategy.on_tick(tick, Context(held, average, bool(position["side"])))
            except Exception as error:
                raise _failed(strategy, "on_tick", error) from error
            if wish is not None and not isinstance(wish, Decision):
                raise StrategyError(
                    f"strategy {strategy.name!r} answered {wish!r} to a tick", "return a Decision or None"
                )
            tape.enter[i] = wish is not None and wish.buy
            tape.leave[i] = wish is not None and not wish.buy
            reason = "" if wish is None else wish.reason
            self._run(tape, features, i, i + 1, settle=False, reason=reason)

    def _turn_session(self, ts: int) -> None:
        """End the session before, timers and all, and begin that of ``ts``."""
        self._fire_until(NEVER - 1)
        session = session_on(ist_date(ts))
        if session is None:
            raise CalendarError(f"a tick to be traded is stamped {ist_date(ts)}, when the exchange is closed")
        self._take_times(session)
        account = self._account[0]
        account["day_end"] = (trading_day(ts) + 1) * NS_PER_DAY - IST_OFFSET_NS
        account["next_timer"] = min(*self._times.square_off, *self._times.close)
        self._positions["has_depth"] = 0
        self._positions["depth_row"] = 0
        risk.start_session(account, self._limits)

    def _take_times(self, session: Session) -> None:
        self._times = session_times(session, self._settings)
        self._rules = rules_of(self._limits, self._times)

    def _fire_until(self, ts: int) -> None:
        account = self._account[0]
        if ts >= account["next_timer"]:
            loop.fire_timers(
                self._account,
                self._positions,
                self._events,
                self._order,
                self._table.cas_eligible,
                self._rules,
                ts,
            )
            self._drain()

    def _drain(self, features: Features | None = None, reason: str = "") -> None:
        used, refused = self._account["events"].item(), self._account["refused"].item()
        if used or refused:
            self._account["events"] = 0
            told = NONE_REFUSED
            if refused:
                self._account["refused"] = 0
                told = self._refused[:refused].copy()
            self.journal.write(self._event_rows[:used], told, features, reason)

    def _explain(self, side: int, tick: FeatureRow) -> str:
        strategy = self._by_factor
        if strategy is None:
            return ""
        try:
            return strategy.explain_entry(tick) if side == BUY else strategy.explain_exit(tick)
        except Exception as error:
            raise _failed(strategy, "explain_entry or explain_exit", error) from error

    def snapshot(self) -> bytes:
        """Account, positions, standing depth, the session's date and the journal's open ends."""
        strategy = b"" if self._by_tick is None else self._by_tick.snapshot()
        values = {
            "pending_reasons": {str(no): reason for no, reason in self.journal.waiting().items()},
            "strategy": strategy,
        }
        arrays = {"account": self._account, "positions": self._positions}
        arrays |= {f"standing_{name}": column for name, column in self._standing._asdict().items()}
        return pack(KIND, arrays, values)

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot made with the same strategy, settings and symbols.

        Raises:
            LedgerError: it was made by another version.
        """
        standing = {f"standing_{name}": np.int32 for name in Depth._fields}
        arrays, values = unpack(KIND, state, {"account": ACCOUNT, "positions": POSITION, **standing})
        self._account, self._positions = arrays["account"], arrays["positions"]
        self._standing = Depth(*(arrays[name] for name in standing))
        self.journal.restore({int(no): reason for no, reason in values["pending_reasons"].items()})
        self._order = np.zeros(0, np.int64)
        self._make_room()
        day_end = int(self._account[0]["day_end"])
        if day_end:
            session = session_on(ist_date(day_end - 1))
            if session is not None:
                self._take_times(session)
        if self._by_tick is not None:
            self._by_tick.restore(values["strategy"])
