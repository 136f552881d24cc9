"""What the terminal view shows, gathered from the running platform."""

import time
from collections import deque

from quant_platform.domain.orders import BUY
from quant_platform.domain.session import Session, ist_date, ist_time, session_on
from quant_platform.hosts.market import MarketHost
from quant_platform.hosts.options import UpOptions
from quant_platform.hosts.results import percentiles_us
from quant_platform.hosts.view_state import OrderLine, PickLine, PositionLine, ViewState
from quant_platform.ports.clock import Clock
from quant_platform.ports.ledger_store import HaltFlag, LedgerBlock, RunStart

ORDERS_KEPT = 20
CURVE_POINTS = 400
RATE_OVER_S = 3.0


class Screen:
    """Follows the ledger's commits and samples everything else when asked.

    Args:
        options: of the run.
        start: where the run began.
        host: the market's side of the platform.
        clock: of the market.
        max_positions: the limit.
        charges: paid before this process took the run over, paise.
    """

    def __init__(
        self,
        options: UpOptions,
        start: RunStart,
        host: MarketHost,
        clock: Clock,
        max_positions: int,
        charges: int,
    ) -> None:
        self._options = options
        self._start = start
        self._host = host
        self._clock = clock
        self._max_positions = max_positions
        self._orders: dict[int, OrderLine] = {}
        self._charges = charges
        self._curve: list[int] = [start.balance]
        self._ticks: deque[tuple[float, int]] = deque()
        host.platform.watchers.append(self.on_commit)

    def on_commit(self, block: LedgerBlock) -> None:
        """Take in what a commit brought."""
        side_names = {True: "BUY", False: "SELL"}
        for order in block.orders:
            side = side_names[order.side == BUY]
            self._orders[order.order_no] = OrderLine(
                order.ts, side, order.symbol, order.quantity, order.price, "pending", order.reason
            )
        for fill in block.fills:
            self._charges += fill.charges
            side = side_names[fill.side == BUY]
            price = round(fill.value / fill.quantity)
            self._orders[fill.order_no] = OrderLine(
                fill.ts, side, fill.symbol, fill.quantity, price, "filled", fill.reason
            )
        for end in block.ends:
            if (line := self._orders.get(end.order_no)) is not None:
                self._orders[end.order_no] = OrderLine(
                    end.ts, line.side, line.symbol, line.quantity, line.price, end.state, line.reason
                )
        for number in sorted(self._orders)[:-ORDERS_KEPT]:
            del self._orders[number]
        self._curve += [point.equity for point in block.equity]
        if len(self._curve) > CURVE_POINTS:
            self._curve = self._curve[::2]

    def sample(self) -> ViewState:
        """The screen now."""
        platform, host = self._host.platform, self._host
        runtime = platform.runtime
        now_ns = max(self._clock.now_ns(), platform.moment)
        session = session_on(ist_date(now_ns))
        p50, p99 = percentiles_us(host.intake.latencies_ns)
        return ViewState(
            now_ns=now_ns,
            phase=_phase(session, now_ns),
            source=self._options.source,
            speed=self._options.speed,
            portfolio=self._options.portfolio,
            strategy=self._options.strategy,
            starting_balance=self._start.starting_balance,
            cash=runtime.cash,
            equity=runtime.equity,
            charges=self._charges,
            max_positions=self._max_positions,
            feed=host.feed_state,
            feed_ok=host.connected,
            halt=_halt(platform.ledger.halt),
            positions=self._positions(),
            orders=[self._orders[number] for number in sorted(self._orders, reverse=True)],
            picks=self._picks(),
            scans=host.numbers.scans,
            equity_curve=[*self._curve, runtime.equity],
            ticks=platform.counters["ticks"],
            ticks_per_second=self._rate(platform.counters["ticks"]),
            frames=host.intake.frames,
            reconnects=host.numbers.reconnects,
            gaps=host.numbers.gaps,
            latency_p50_us=p50,
            latency_p99_us=p99,
        )

    def _positions(self) -> list[PositionLine]:
        runtime = self._host.platform.runtime
        lines = []
        for held in sorted(runtime.open_positions(), key=lambda position: position.opened_at):
            ltp = runtime.last_price(held.symbol)
            pnl = ltp * held.quantity - held.buy_value - held.buy_charges
            lines.append(PositionLine(held.symbol, held.quantity, round(held.buy_value / held.quantity), ltp, pnl))
        return lines

    def _picks(self) -> list[PickLine]:
        scan = self._host.last_scan
        quotes = (scan.quotes[pick.symbol] for pick in scan.picks)
        return [PickLine(quote.symbol, quote.ltp / quote.previous_close - 1, quote.volume) for quote in quotes]

    def _rate(self, ticks: int) -> float:
        now = time.perf_counter()
        self._ticks.append((now, ticks))
        while len(self._ticks) > 2 and now - self._ticks[1][0] > RATE_OVER_S:
            self._ticks.popleft()
        since, before = self._ticks[0]
        return (ticks - before) / (now - since) if now > since else 0.0


def _halt(flag: HaltFlag) -> str:
    """The owner's order and reason, in words."""
    return f"{flag.order.label}: {flag.reason}" if flag.halted else ""


def _phase(session: Session | None, now_ns: int) -> str:
    """What the session is doing, in words."""
    if session is None:
        return "the exchange is closed today"
    for phase in session.phases(True):
        if phase.start <= now_ns < phase.end:
            ends = ist_time(phase.end)
            name = phase.kind.name.lower().replace("_", " ")
            return f"{'continuous trading' if name == 'continuous' else name} until {ends:%H:%M}"
    return "before the open" if now_ns < session.open_ns(False) else "closed for the day"
