"""A run's settings and a session's times as the kernels need them."""

from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.charges import ChargeRates, rates_on
from quant_platform.domain.session import Session, ns_at
from quant_platform.domain.ticks import NS_PER_MS
from quant_platform.kernel import kernel
from quant_platform.services.strategy_runtime.schema import TradingSettings
from quant_platform.services.strategy_runtime.state import NEVER


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


@kernel
def limits_in(rules: Any) -> Limits:
    """The limits of a record of :data:`RULES`."""
    return Limits(
        rules["position_size_bps"],
        rules["max_positions"],
        rules["risk_per_trade_bps"],
        rules["latency_ns"],
        rules["slippage_bps"],
        rules["depth"] != 0,
    )


@kernel
def times_in(rules: Any) -> SessionTimes:
    """The session times of a record of :data:`RULES`."""
    square_off, close, until, rates = rules["square_off"], rules["close"], rules["entry_until"], rules["rates"]
    return SessionTimes(
        (square_off[0], square_off[1]),
        (close[0], close[1]),
        (until[0], until[1]),
        ChargeRates(rates[0], rates[1], rates[2], rates[3], rates[4], rates[5], rates[6], rates[7]),
    )
