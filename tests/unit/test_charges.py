"""Charges: worked examples to the paisa, the broker's cap, the exchange's circular, and real ledgers."""

import csv
import gzip
from datetime import date, timedelta
from pathlib import Path

import pytest

from quant_platform.domain.charges import CRORE_PAISE, charge_parts, rates_on, total_charges
from quant_platform.domain.orders import BUY, SELL
from quant_platform.domain.session import ist_date

AUTUMN_2026 = date(2026, 9, 1)


@pytest.mark.parametrize(
    ("day", "side", "value", "parts", "total"),
    [
        # brokerage, STT, transaction, IPFT, SEBI, stamp, GST, all in paise
        (AUTUMN_2026, BUY, 150_000_00, (2000, 0, 460, 0, 15, 450, 446), 3371),
        (AUTUMN_2026, SELL, 151_000_00, (2000, 3775, 464, 0, 15, 0, 446), 6700),
        (AUTUMN_2026, BUY, 2_500_00, (250, 0, 8, 0, 0, 8, 46), 312),
        (AUTUMN_2026, SELL, 2_510_00, (251, 63, 8, 0, 0, 0, 47), 369),
        (AUTUMN_2026, BUY, 25_00_000_00, (2000, 0, 7675, 0, 250, 7500, 1787), 19212),
        (AUTUMN_2026, SELL, 25_10_000_00, (2000, 62750, 7705, 0, 251, 0, 1792), 74498),
        (date(2024, 11, 1), SELL, 151_000_00, (2000, 3775, 448, 15, 15, 0, 446), 6699),
        (date(2024, 5, 2), SELL, 151_000_00, (2000, 3775, 486, 15, 15, 0, 453), 6744),
        # GST is taken on the rounded parts: 18 % of ₹0.25, where the exact parts add up to ₹0.2476.
        (AUTUMN_2026, BUY, 240_00, (24, 0, 1, 0, 0, 1, 5), 31),
        (AUTUMN_2026, BUY, 0, (0, 0, 0, 0, 0, 0, 0), 0),
    ],
)
def test_worked_examples(day: date, side: int, value: int, parts: tuple[int, ...], total: int) -> None:
    assert tuple(charge_parts(value, side, rates_on(day))) == parts
    assert total_charges(value, side, rates_on(day)) == total


def test_the_circulars_crore_costs_307_rupees_a_side() -> None:
    for side in (BUY, SELL):
        parts = charge_parts(CRORE_PAISE, side, rates_on(date(2026, 3, 1)))
        assert (parts.transaction, parts.ipft) == (306_99, 1)


@pytest.mark.parametrize(
    ("last_day_before", "transaction", "ipft", "sebi"),
    [
        # per crore, in paise: the day before the change, then from the change
        (date(2019, 3, 31), (32500, 32500), (1, 1), (1500, 1000)),
        (date(2020, 5, 31), (32500, 32500), (1, 1), (1000, 500)),
        (date(2020, 12, 31), (32500, 34500), (1, 1), (500, 500)),
        (date(2021, 3, 31), (34500, 34500), (1, 1), (500, 1000)),
        (date(2023, 3, 31), (34500, 32500), (1, 1000), (1000, 1000)),
        (date(2024, 3, 31), (32500, 32200), (1000, 1000), (1000, 1000)),
        (date(2024, 9, 30), (32200, 29700), (1000, 1000), (1000, 1000)),
        (date(2026, 2, 28), (29700, 30699), (1000, 1), (1000, 1000)),
    ],
)
def test_exchange_and_regulator_change_on_their_dates(
    last_day_before: date, transaction: tuple[int, int], ipft: tuple[int, int], sebi: tuple[int, int]
) -> None:
    for after in (0, 1):
        parts = charge_parts(CRORE_PAISE, BUY, rates_on(last_day_before + timedelta(days=after)))
        assert (parts.transaction, parts.ipft, parts.sebi) == (transaction[after], ipft[after], sebi[after])


@pytest.mark.parametrize(
    ("day", "value", "brokerage"),
    [
        (date(2024, 12, 31), 20_000_00, 10_00),
        (date(2024, 12, 31), 39_990_00, 20_00),  # ₹19.995, half a paisa up
        (date(2024, 12, 31), 39_988_00, 19_99),
        (date(2024, 12, 31), 40_010_00, 20_00),
        (date(2025, 1, 1), 10_000_00, 10_00),
        (date(2025, 1, 1), 19_990_00, 19_99),
        (date(2025, 1, 1), 19_995_00, 20_00),  # ₹19.995, half a paisa up
        (date(2025, 1, 1), 19_994_90, 19_99),
        (date(2025, 1, 1), 20_000_00, 20_00),
        (date(2025, 1, 1), 20_010_00, 20_00),
        (date(2026, 9, 1), 10**15, 20_00),
    ],
)
def test_brokerage_is_a_share_of_the_order_up_to_twenty_rupees(day: date, value: int, brokerage: int) -> None:
    assert charge_parts(value, SELL, rates_on(day)).brokerage == brokerage


def test_stt_falls_on_sells_and_stamp_duty_on_buys_alone() -> None:
    bought = charge_parts(CRORE_PAISE, BUY, rates_on(AUTUMN_2026))
    sold = charge_parts(CRORE_PAISE, SELL, rates_on(AUTUMN_2026))
    assert (bought.stt, bought.stamp) == (0, 300_00)
    assert (sold.stt, sold.stamp) == (2_500_00, 0)


def test_rates_change_on_the_listed_dates_and_on_no_other() -> None:
    day, changes = date(2010, 1, 1), []
    while day < date(2027, 1, 1):
        day += timedelta(days=1)
        if rates_on(day) != rates_on(day - timedelta(days=1)):
            changes.append(day.isoformat())
    assert changes == [
        "2019-04-01",
        "2020-06-01",
        "2021-01-01",
        "2021-04-01",
        "2023-04-01",
        "2024-04-01",
        "2024-10-01",
        "2025-01-01",
        "2026-03-01",
    ]


@pytest.mark.parametrize("ledger", ["golden_fills_candles.csv.gz", "golden_fills_depth.csv.gz"])
def test_every_fill_of_a_known_ledger_costs_what_it_says(shared_data: Path, ledger: str) -> None:
    sides = {"BUY": BUY, "SELL": SELL}
    with gzip.open(shared_data / ledger, "rt", encoding="utf-8") as lines:
        fills = list(csv.DictReader(lines, delimiter="|"))
    assert len(fills) > 1000
    wrong = [
        fill
        for fill in fills
        if total_charges(int(fill["value_paise"]), sides[fill["side"]], rates_on(ist_date(int(fill["ts_ns"]))))
        != int(fill["charges_paise"])
    ]
    assert wrong == []
