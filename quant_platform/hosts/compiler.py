"""Numba, made ready while a process still looks at its files."""

from threading import Thread

import numpy as np

from quant_platform.domain.tick_order import is_in_order


def load_early() -> None:
    """Have a thread run a first kernel.

    Whichever kernel runs first in a process waits 0.2 s to 0.5 s for Numba to register what it can compile, though it
    need not be compiled itself; meanwhile Arrow decodes. A kernel that is called before that is over waits for it.
    """
    Thread(target=is_in_order, args=(np.zeros(2, np.int64), np.zeros(2, np.int32)), name="numba", daemon=True).start()
