"""What a trade costs: dated rates in one table, and one function that charges an order's value, to the paisa.

Equity intraday at NSE through Upstox. Rates are counted in paise per crore of rupees, so that every one of
them is an integer: 0.025 % is ₹2,500, or 250,000 paise, a crore.
"""

from datetime import date
from functools import lru_cache
from typing import NamedTuple

from quant_platform.domain.money import divide_half_up
from quant_platform.domain.orders import BUY
from quant_platform.kernel import kernel

CRORE_PAISE = 1_000_000_000
"""One crore of rupees (₹1,00,00,000) in paise: what the rates refer to."""


class ChargeRates(NamedTuple):
    """The rates of one day. Kernels take it as it is."""

    brokerage: int  # paise per crore of an executed order
    brokerage_cap: int  # paise per executed order
    stt: int  # paise per crore, on sells: securities transaction tax
    transaction: int  # paise per crore: NSE's own charge
    ipft: int  # paise per crore: Investor Protection Fund Trust
    sebi: int  # paise per crore: turnover fee of the regulator
    stamp: int  # paise per crore, on buys: stamp duty
    gst_percent: int  # of brokerage, transaction, IPFT and SEBI fee


class ChargeParts(NamedTuple):
    """The components of one order's charges, each in paise and rounded by itself."""

    brokerage: int
    stt: int
    transaction: int
    ipft: int
    sebi: int
    stamp: int
    gst: int


_ALWAYS = date.min

_DATED_RATES: tuple[tuple[date, str, int], ...] = (
    (_ALWAYS, "brokerage", 500_000),  # 0.05 %
    (date(2025, 1, 1), "brokerage", 1_000_000),  # 0.1 %
    (_ALWAYS, "brokerage_cap", 2_000),
    (_ALWAYS, "stt", 250_000),  # 0.025 %
    (_ALWAYS, "transaction", 325_00),
    (date(2021, 1, 1), "transaction", 345_00),
    (date(2023, 4, 1), "transaction", 325_00),
    (date(2024, 4, 1), "transaction", 322_00),
    (date(2024, 10, 1), "transaction", 297_00),  # SEBI abolishes the slabs
    (date(2026, 3, 1), "transaction", 306_99),  # circular NSE/FA/73061
    (_ALWAYS, "ipft", 1),
    (date(2023, 4, 1), "ipft", 10_00),
    (date(2026, 3, 1), "ipft", 1),  # circular NSE/FA/73061
    (_ALWAYS, "sebi", 15_00),
    (date(2019, 4, 1), "sebi", 10_00),
    (date(2020, 6, 1), "sebi", 5_00),  # relief in the pandemic
    (date(2021, 4, 1), "sebi", 10_00),
    (_ALWAYS, "stamp", 30_000),  # 0.003 %
    (_ALWAYS, "gst_percent", 18),
)
"""In force from (IST date), component, rate; within a component by date."""


@lru_cache(maxsize=8192)
def rates_on(day: date) -> ChargeRates:
    """The rates in force on an IST date."""
    return ChargeRates(**{component: rate for since, component, rate in _DATED_RATES if since <= day})


@kernel
def _share_of(value_paise: int, rate: int) -> int:
    """``value × rate / crore`` in paise, half up, exact for every value that an int64 holds."""
    crores = value_paise // CRORE_PAISE
    rest = value_paise - crores * CRORE_PAISE
    return crores * rate + divide_half_up(rest * rate, CRORE_PAISE)


@kernel
def charge_parts(value_paise: int, side: int, rates: ChargeRates) -> ChargeParts:
    """The charges of one executed order, component by component.

    Every component is exact and rounded half up to the paisa; GST is taken on the rounded parts.

    Args:
        value_paise: the order's whole value, not negative. Nothing overflows up to the largest int64.
        side: BUY or SELL.
        rates: of the fill's IST date, see :func:`rates_on`.
    """
    brokerage = min(_share_of(value_paise, rates.brokerage), rates.brokerage_cap)
    transaction = _share_of(value_paise, rates.transaction)
    ipft = _share_of(value_paise, rates.ipft)
    sebi = _share_of(value_paise, rates.sebi)
    gst = divide_half_up((brokerage + transaction + ipft + sebi) * rates.gst_percent, 100)
    stt = 0
    stamp = 0
    if side == BUY:
        stamp = _share_of(value_paise, rates.stamp)
    else:
        stt = _share_of(value_paise, rates.stt)
    return ChargeParts(brokerage, stt, transaction, ipft, sebi, stamp, gst)


@kernel
def total_charges(value_paise: int, side: int, rates: ChargeRates) -> int:
    """All charges of one executed order in paise: the sum of :func:`charge_parts`, with its arguments."""
    parts = charge_parts(value_paise, side, rates)
    return parts.brokerage + parts.stt + parts.transaction + parts.ipft + parts.sebi + parts.stamp + parts.gst
