"""The five levels of one side of the book, which stand in five columns of a file, as one column of TickBatch."""

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.money import MAX_PAISE, PAISE_PER_RUPEE
from quant_platform.domain.ticks import LEVELS, MAX_LEVEL_QUANTITY, read_only
from quant_platform.kernel import kernel

_Prices = NDArray[np.float64]
_Quantities = NDArray[np.int64]


@kernel
def _paise(rupees: float) -> int:
    """As :func:`~quant_platform.domain.money.prices_to_paise`, and 0 for what is below."""
    scaled = np.rint(rupees * PAISE_PER_RUPEE)
    if not 0 < scaled < np.inf:  # nor is NaN a price
        return np.int32(0)  # type: ignore[return-value]
    return np.int32(min(scaled, MAX_PAISE))  # type: ignore[return-value]


@kernel
def _shares(quantity: int) -> int:
    return np.int32(min(max(quantity, 0), MAX_LEVEL_QUANTITY))  # type: ignore[return-value]


# One pass over five columns: written one after the other, each would have to bring all rows into the cache again.


@kernel
def _price_levels(levels: NDArray[np.int32], a: _Prices, b: _Prices, c: _Prices, d: _Prices, e: _Prices) -> None:
    for row in range(levels.shape[0]):
        levels[row, 0] = _paise(a[row])
        levels[row, 1] = _paise(b[row])
        levels[row, 2] = _paise(c[row])
        levels[row, 3] = _paise(d[row])
        levels[row, 4] = _paise(e[row])


@kernel
def _quantity_levels(
    levels: NDArray[np.int32], a: _Quantities, b: _Quantities, c: _Quantities, d: _Quantities, e: _Quantities
) -> None:
    for row in range(levels.shape[0]):
        levels[row, 0] = _shares(a[row])
        levels[row, 1] = _shares(b[row])
        levels[row, 2] = _shares(c[row])
        levels[row, 3] = _shares(d[row])
        levels[row, 4] = _shares(e[row])


def price_levels(*columns: _Prices) -> NDArray[np.int32]:
    """Prices of five levels, best first, in paise; 0 where there is none.

    Args:
        columns: one a level, rupees; NaN, infinite or below 0 where there is none.

    Returns:
        Shape (rows, 5). A price above ₹2,14,74,836.47 is held at that limit.
    """
    levels = np.empty((columns[0].size, LEVELS), np.int32)
    _price_levels(levels, *map(read_only, columns))
    return levels


def quantity_levels(*columns: _Quantities) -> NDArray[np.int32]:
    """Shares of five levels, best first, held between 0 and the most that fits.

    Args:
        columns: one a level.

    Returns:
        Shape (rows, 5).
    """
    levels = np.empty((columns[0].size, LEVELS), np.int32)
    _quantity_levels(levels, *map(read_only, columns))
    return levels
