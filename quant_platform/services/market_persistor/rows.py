"""The stored columns of enriched ticks, in the units of files and tables: rupees, shares, ns UTC."""

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.ticks import EnrichedBatch

Columns = dict[str, NDArray[np.generic]]


def stored_columns(batch: EnrichedBatch) -> Columns:
    """Columns of length n by name, in the order in which they are stored.

    Prices and features are float64 rupees, NaN where there is none: an absent average price, a level that is no
    level, an undefined feature. ``timestamp`` is int64 ns UTC. ``symbol`` is the number in the run's symbol table and
    ``aggressor`` the number of its code in ``AGGRESSOR_CODES``: the store writes their texts. Depth columns are there
    only when the stream has depth, so that readers see from the columns which kind of data it was.
    """
    ticks = batch.ticks
    columns: Columns = {
        "timestamp": ticks.ts,
        "symbol": ticks.symbol,
        "seq": ticks.seq,
        "ltp": _rupees(ticks.ltp),
        "volume": ticks.volume,
        "atp": np.where(ticks.atp > 0, ticks.atp, np.nan),
    }
    for side, prices, quantities in (
        ("bid", ticks.bid_price, ticks.bid_qty),
        ("ask", ticks.ask_price, ticks.ask_qty),
    ):
        rupees = np.where(prices > 0, _rupees(prices), np.nan)
        columns |= {f"{side}_price_{level + 1}": rupees[:, level] for level in range(prices.shape[1])}
        columns |= {f"{side}_qty_{level + 1}": quantities[:, level] for level in range(quantities.shape[1])}
    return columns | {
        "flags": ticks.flags,
        "vwap": batch.vwap,
        "rsi": batch.rsi,
        "obi": batch.obi,
        "sma": batch.sma,
        "spread": batch.spread,
        "aggressor": batch.aggressor,
    }


def _rupees(paise: NDArray[np.int32]) -> NDArray[np.float64]:
    """The double nearest to each price: round(x × 100) gives the paise again."""
    return paise / np.float64(PAISE_PER_RUPEE)
