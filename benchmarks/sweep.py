"""A hundred parameter sets over a million ticks with depth, on two processors: set-ticks a second.

    python -m benchmarks.sweep [--quick] [--json]

Measured is what a sweep does beside reading its file: features once, into the shared store, and all sets by the worker
processes, started anew. The limit is the bare loop run once for every set, on as many processors.
"""

import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks import figure, shared
from benchmarks.backtest_columns import CAPITAL, POSITIONS, SLOT, WARM, fresh, session_of_columns
from benchmarks.figure import Figure, Goal, Limit, Missing, Run, Spent
from benchmarks.made_up import Session
from quant_platform.domain.ticks import cut
from quant_platform.research.feature_store import FeaturePass, Periods
from quant_platform.research.grid import described, parameter_grid
from quant_platform.research.sweep_runs import BATCH, LocalWorkers, Market, chunks_of
