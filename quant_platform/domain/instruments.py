"""Securities: ``NSE_EQ:RELIANCE`` ↔ ``NSE_EQ|INE002A01018``, tick size, auction flag; symbols as numbers."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.errors import DataError
from quant_platform.domain.universe import NIFTY_100

EQUITY_SEGMENT = "NSE_EQ"

_SYMBOL = re.compile(r"[A-Z]{2,5}_[A-Z]{2,6}:[A-Za-z0-9&._-]{1,50}")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9]")

_UNBOUNDED = 2**63 - 1
_TICK_SIZES: tuple[tuple[date, tuple[tuple[int, int], ...]], ...] = (
    (date.min, ((_UNBOUNDED, 5),)),
    (date(2024, 6, 10), ((249_99, 1), (_UNBOUNDED, 5))),
    (
        date(2025, 4, 15),
        (
            (249_99, 1),
            (1_000_00, 5),
            (5_000_00, 10),
            (10_000_00, 50),
            (20_000_00, 100),
            (_UNBOUNDED, 500),
        ),
    ),
)
"""In force from, then (prices up to and including, tick size), both in paise."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A security as the platform knows it. Where the broker's instruments file is read, that holds."""

    symbol: str  # NSE_EQ:RELIANCE, the spelling inside the platform
    instrument_key: str  # NSE_EQ|INE002A01018, the broker's
    isin: str  # empty where it is not known
    name: str
    industry: str  # empty where it is not known
    tick_size: int  # paise
    lot_size: int  # shares
    cas_eligible: bool  # takes part in the closing auction
    reference_price: int  # paise, a rough round figure for simulated markets; 0 where it is not known


def tick_size_on(day: date, price_paise: int) -> int:
    """The smallest price step of an NSE equity, in paise.

    Args:
        day: IST date.
        price_paise: the close from which the exchange set it: the last one of the month before.

    Raises:
        ValueError: the price is not above 0.
    """
    if price_paise <= 0:
        raise ValueError(f"{price_paise} paise is not a price")
    bands = [bands for since, bands in _TICK_SIZES if since <= day][-1]
    return next(tick for highest, tick in bands if price_paise <= highest)


_TICK_SIZE_RULES_OF = _TICK_SIZES[-1][0]
_UNKNOWN_TICK_SIZE = 5


@cache
def nifty_100() -> tuple[Instrument, ...]:
    """The hundred stocks of the index, by symbol."""
    instruments = [
        Instrument(
            symbol=f"{EQUITY_SEGMENT}:{ticker}",
            instrument_key=f"{EQUITY_SEGMENT}|{isin}",
            isin=isin,
            name=name,
            industry=industry,
            tick_size=tick_size_on(_TICK_SIZE_RULES_OF, price * 100),
            lot_size=1,
            cas_eligible=True,
            reference_price=price * 100,
        )
        for ticker, name, industry, isin, price in NIFTY_100
    ]
    return tuple(sorted(instruments, key=lambda instrument: instrument.symbol))


@cache
def _known() -> dict[str, Instrument]:
    return {instrument.symbol: instrument for instrument in nifty_100()}


def full_symbol(symbol: str) -> str:
    """``RELIANCE`` or ``NSE_EQ:RELIANCE`` as ``NSE_EQ:RELIANCE``.

    Raises:
        DataError: neither spelling.
    """
    spelled = symbol if ":" in symbol else f"{EQUITY_SEGMENT}:{symbol}"
    if _SYMBOL.fullmatch(spelled) is None:
        raise DataError(f"{symbol!r} is not a symbol", "write it like NSE_EQ:RELIANCE")
    return spelled


def instrument_for(symbol: str) -> Instrument:
    """The instrument of a symbol in either spelling.

    A symbol outside the NIFTY 100 gets one that says no more than is known: no ISIN, no closing auction, the
    commonest tick size, and a key of its own which has the form of the broker's keys but is not one of them.

    Raises:
        DataError: the symbol is malformed.
    """
    full = full_symbol(symbol)
    known = _known().get(full)
    if known is not None:
        return known
    segment, ticker = full.split(":", 1)
    # What a key may not hold is spelled by its code, "_" too: no two symbols share a key, none is a real one.
    key = _NOT_IN_KEYS.sub(lambda character: f"_{ord(character[0]):02X}", ticker)
    return Instrument(
        symbol=full,
        instrument_key=f"{segment}|UNKNOWN_{key}",
        isin="",
        name=ticker,
        industry="",
        tick_size=_UNKNOWN_TICK_SIZE,
        lot_size=1,
        cas_eligible=False,
        reference_price=0,
    )


class SymbolTable:
    """Symbols ↔ small numbers, as batches carry them. A number, once given, stays.

    Attributes:
        names: symbol of every number.
        rank: int32, place of every number in the alphabet of the symbols: ties in time are broken by it.
        cas_eligible: uint8, 1 where the symbol takes part in the closing auction.

    Both arrays are replaced, not changed, when the table grows: one taken before stays as it was.
    """

    __slots__ = ("_cas_eligible", "_names", "_numbers", "_rank")

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._numbers: dict[str, int] = {}
        self._cas_eligible: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._rank: NDArray[np.int32] = np.zeros(0, np.int32)

    def add(self, what: Instrument | str, cas_eligible: bool | None = None) -> int:
        """The number of a symbol, given now if it has none yet.

        Args:
            what: an instrument, or a symbol in either spelling.
            cas_eligible: closing auction or not; None: as the instrument says. Counts only when
                the number is given.

        Raises:
            DataError: the symbol is malformed.
        """
        symbol = what.symbol if isinstance(what, Instrument) else what
        number = self._numbers.get(symbol)
        if number is not None:
            return number
        instrument = what if isinstance(what, Instrument) else instrument_for(what)
        if instrument.symbol in self._numbers:
            return self._numbers[instrument.symbol]
        number = len(self._names)
        eligible = instrument.cas_eligible if cas_eligible is None else cas_eligible
        self._names = (*self._names, instrument.symbol)
        self._numbers[instrument.symbol] = number
        self._cas_eligible = np.append(self._cas_eligible, np.uint8(eligible))
        return number

    def number(self, symbol: str) -> int:
        """The number of a symbol spelled ``NSE_EQ:RELIANCE``.

        Raises:
            KeyError: it has none.
        """
        return self._numbers[symbol]

    def get(self, symbol: str) -> int | None:
        """The number of a symbol spelled ``NSE_EQ:RELIANCE``, None when it has none."""
        return self._numbers.get(symbol)

    def name(self, number: int) -> str:
        """The symbol of a number.

        Raises:
            IndexError: the number was never given.
        """
        return self._names[number]

    @property
    def names(self) -> tuple[str, ...]:
        """Every symbol, by number."""
        return self._names

    @property
    def rank(self) -> NDArray[np.int32]:
        """Place of every number in the alphabet of the symbols, int32 of length ``len(self)``."""
        if len(self._rank) != len(self._names):
            by_name = sorted(range(len(self._names)), key=self._names.__getitem__)
            self._rank = np.empty(len(by_name), np.int32)
            self._rank[by_name] = np.arange(len(by_name), dtype=np.int32)
        return self._rank

    @property
    def cas_eligible(self) -> NDArray[np.uint8]:
        """1 for every number that takes part in the closing auction, uint8 of length ``len(self)``."""
        return self._cas_eligible

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._numbers
