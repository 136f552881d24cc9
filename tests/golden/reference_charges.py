"""The charges of the trading rules a second time, in fractions of a rupee."""

import math
from datetime import date
from fractions import Fraction

CRORE = 10_000_000
HALF = Fraction(1, 2)


def _since(day: date, first: str, *changes: tuple[str, str]) -> Fraction:
    rate = first
    for when, changed in changes:
        if day >= date.fromisoformat(when):
            rate = changed
    return Fraction(rate)


def _paise(rupees: Fraction) -> int:
    return math.floor(rupees * 100 + HALF)


def charges(day: date, side: str, value: int) -> int:
    """All charges, in paise, of an order whose value is in paise."""
    rupees = Fraction(value, 100)
    percent = _since(day, "0.05", ("2025-01-01", "0.1"))
    brokerage = _paise(min(rupees * percent / 100, Fraction(20)))
    per_crore = _since(
        day,
        "325",
        ("2021-01-01", "345"),
        ("2023-04-01", "325"),
        ("2024-04-01", "322"),
        ("2024-10-01", "297"),
        ("2026-03-01", "306.99"),
    )
    transaction = _paise(rupees * per_crore / CRORE)
    ipft = _paise(rupees * _since(day, "0.01", ("2023-04-01", "10"), ("2026-03-01", "0.01")) / CRORE)
    sebi = _paise(rupees * _since(day, "15", ("2019-04-01", "10"), ("2020-06-01", "5"), ("2021-04-01", "10")) / CRORE)
    gst = _paise(Fraction(brokerage + transaction + ipft + sebi, 100) * 18 / 100)
    stt = _paise(rupees * Fraction("0.025") / 100) if side == "SELL" else 0
    stamp = _paise(rupees * Fraction("0.003") / 100) if side == "BUY" else 0
    return brokerage + transaction + ipft + sebi + gst + stt + stamp
