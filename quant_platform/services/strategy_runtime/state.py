"""The runtime's state: one account and one record a symbol; and the columns that move it, laid out for the kernels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
        ("refusals", np.int64, (4,)),  # by Refusal
    ]
)
"""The portfolio."""

POSITION = np.dtype(
    [
        ("quantity", np.int64),  # shares held
        ("buy_value", np.int64),  # paise
        ("buy_charges", np.int64),  # paise
        ("opened_at", np.int64),  # ns UTC
        ("stop_value", np.int64),  # paise: the stop is touched when the holding is worth no more
        ("mark", np.int64),  # paise of it counted in the account's holdings
        ("ltp", np.int64),  # paise, last in-session price; 0: none yet
        ("side", np.int64),  # of the pending order; 0: none is pending
        ("order_no", np.int64),  # of the pending order
        ("order_quantity", np.int64),
        ("order_ts", np.int64),  # ns UTC at which it was decided
        ("order_price", np.int64),  # paise it was decided on
        ("order_trigger", np.int64),  # Trigger
        ("hold", np.int64),  # paise held for it
        ("has_depth", np.int64),  # 1 once this session brought a level
        (
            "depth_row",
            np.int64,
        ),  # row of the standing depth in the batch at hand, plus one; 0: kept from before
        ("refused_until", np.int64, (4,)),  # ns UTC before which a refusal of this kind is not logged again
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
