"""The runtime's state and its rules: account, symbols, limits, times, and the columns that move it, for the kernels."""

from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.charges import ChargeRates, rates_on
from quant_platform.domain.orders import Refusal
from quant_platform.domain.session import Session, ns_at
from quant_platform.domain.ticks import NS_PER_MS
from quant_platform.services.strategy_runtime.schema import TradingSettings

NEVER = np.iinfo(np.int64).max
"""A time that does not come."""

ACCOUNT = np.dtype(
    [
        ("cash", np.int64),  # paise
        ("held", np.int64),  # paise kept back for pending entries
        ("holdings", np.int64),  # paise: positions at their last marked price
        ("base", np.int64),  # paise: equity at the session's start
        ("budget", np.int64),  # paise a position may cost
        ("risk", np.int64),  # paise a position may lose before its stop
        ("slots", np.int64),  # open positions and pending entries
        ("peak", np.int64),  # paise: highest equity marked
        ("max_drawdown", np.int64),  # paise: largest fall below the peak
        ("orders", np.int64),  # approved so far in the run
        ("next_timer", np.int64),  # ns UTC of the next square-off or close; NEVER when none is left
        ("day_end", np.int64),  # ns UTC, end of the session's IST date; 0 before the first session
        (
            "minute_end",
            np.int64,
        ),  # ns UTC at which the equity curve gets its next point; 0: nothing marked yet
        ("events", np.int64),  # rows used of the event block
        ("refused", np.int64),  # rows used of the block of refused intents
        ("halt", np.int64),  # Halt
        ("refusals", np.int64, (len(Refusal),)),  # by Refusal
    ]
)
"""The portfolio."""

_LOOKED_AT = [
    ("quantity", np.int64),  # shares held
    ("side", np.int64),  # of the pending order; 0: none is pending
    ("ltp", np.int64),  # paise, last in-session price; 0: none yet
    ("mark", np.int64),  # paise of it counted in the account's holdings
    ("stop_value", np.int64),  # paise: the stop is touched when the holding is worth no more
    ("depth_row", np.int64),  # row of the standing depth in the batch at hand, plus one; 0: kept from before
    ("has_depth", np.int64),  # 1 once depth of this session was kept from a batch
    ("order_ts", np.int64),  # ns UTC at which the pending order was decided
    ("refused_until", np.int64, (len(Refusal) - 1,)),  # ns UTC before which a refusal, from 1, is not logged again
]
"""What a tick looks at, whether or not it fills an order."""
LOOKED_AT_BYTES = np.dtype(_LOOKED_AT).itemsize

POSITION = np.dtype(
    [
        *_LOOKED_AT,
        ("buy_value", np.int64),  # paise
        ("buy_charges", np.int64),  # paise
        ("opened_at", np.int64),  # ns UTC
        ("order_no", np.int64),  # of the pending order
        ("order_quantity", np.int64),
        ("order_price", np.int64),  # paise it was decided on
        ("order_trigger", np.int64),  # Trigger
        ("hold", np.int64),  # paise held for it
    ]
)
"""One symbol: its holding and its pending order."""


class Depth(NamedTuple):
    """Four depth columns, of a batch (a row a tick) or standing (a row a symbol)."""

    bid_price: NDArray[np.int32]
    bid_qty: NDArray[np.int32]
    ask_price: NDArray[np.int32]
    ask_qty: NDArray[np.int32]


class Tape(NamedTuple):
    """What trading looks at of a batch, a row a tick."""

    ts: NDArray[np.int64]  # ns UTC
    symbol: NDArray[np.int32]
    ltp: NDArray[np.int32]  # paise
    flags: NDArray[np.uint8]
    has_depth: NDArray[np.bool_]  # the row itself brought at least one level
    bid_price: NDArray[np.int32]
    bid_qty: NDArray[np.int32]
    ask_price: NDArray[np.int32]
    ask_qty: NDArray[np.int32]
    enter: NDArray[np.bool_]  # the strategy's signals
    leave: NDArray[np.bool_]


class Limits(NamedTuple):
    """Settings as the kernels need them."""

    position_size_bps: int
    max_positions: int
    risk_per_trade_bps: int
    latency_ns: int
    slippage_bps: int
    depth: bool  # the run's data has depth


class SessionTimes(NamedTuple):
    """One date's times, by security class (0: continuous to the end, 1: in the closing auction)."""

    square_off: tuple[int, int]  # ns UTC
    close: tuple[int, int]  # ns UTC
    entry_until: tuple[int, int]  # ns UTC, at most square_off
    rates: ChargeRates


NO_SESSION = SessionTimes((0, 0), (0, 0), (0, 0), rates_on(date.min))
"""What stands before the first session: it has no timer, so its rates are never asked."""


def limits_of(settings: TradingSettings, *, depth: bool) -> Limits:
    """The settings as the kernels need them."""
    return Limits(
        settings.position_size_bps,
        settings.max_positions,
        settings.risk_per_trade_bps,
        settings.latency_ms * NS_PER_MS,
        settings.slippage_bps,
        depth,
    )


def session_times(session: Session, settings: TradingSettings) -> SessionTimes:
    """Square-off, close and last entry of a date, for both classes of securities."""
    first, second = (
        session.square_off_ns(cas, settings.square_off, settings.square_off_lead_min) for cas in (False, True)
    )
    until = NEVER if settings.entry_until is None else ns_at(session.day, settings.entry_until)
    return SessionTimes(
        (first, second),
        (session.close_ns(False), session.close_ns(True)),
        (min(first, until), min(second, until)),
        rates_on(session.day),
    )


RULES = np.dtype(
    [
        *((name, np.int64) for name in Limits._fields),
        ("square_off", np.int64, (2,)),
        ("close", np.int64, (2,)),
        ("entry_until", np.int64, (2,)),
        ("rates", np.int64, (len(ChargeRates._fields),)),
    ]
)
"""Limits and session times in one record: Numba takes a microsecond to look at a named tuple, and none for an array."""


def rules_of(limits: Limits, times: SessionTimes) -> NDArray[Any]:
    """The array of one :data:`RULES` that kernels are called with."""
    return np.array([(*limits, times.square_off, times.close, times.entry_until, times.rates)], RULES)
