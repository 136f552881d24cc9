"""Where the reference loop and the real market files stand, which are no part of the project.

They are looked for in the folder ``shared`` beside the checkout, or in the one that ``QUANT_BENCH_SHARED`` names.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figure import Missing

CHECKOUT = Path(__file__).resolve().parent.parent

BARE_LOOP_COUNTS_FROM = 35.0
"""M ticks per CPU-second below which a ratio to the bare loop does not count, as published beside it."""

BareLoop = Callable[..., Any]
"""``run(sym, ts, ltp_p, cumvol, bidq, askq, nsym, capital_p, slot_p, maxpos, warm, square_off, fills)``."""


def shared_file(name: str) -> Path:
    """A file of the shared folder.

    Raises:
        Missing: it is not there.
    """
    folder = Path(os.environ.get("QUANT_BENCH_SHARED") or CHECKOUT.parent / "shared")
    path = folder / name
    if not path.is_file():
        raise Missing(f"there is no {name} in {folder}; QUANT_BENCH_SHARED names another folder")
    return path


def bare_loop() -> BareLoop:
    """The loop that backtests are held against.

    Raises:
        Missing: it is not there.
    """
    path = shared_file("bench/bare_loop.py")
    specification = importlib.util.spec_from_file_location("bare_loop", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # Numba looks the module of its cached code up by name
    specification.loader.exec_module(module)
    loop: BareLoop = module.run
    return loop
