"""`quant backtest` in a process that has run one before: libraries are imported, kernels are loaded.

    python -m benchmarks.loaded ARGUMENT ... -- ARGUMENT ...

Both are run as the command line runs `quant backtest ARGUMENT ...`, to the printed report; the first for what it loads.
What the second took is printed as JSON.
"""

import io
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial

from benchmarks import figure
from benchmarks.figure import Finished, Spent
from quant_platform.cli import run_command

BETWEEN = "--"


def backtest(first: Sequence[str], then: Sequence[str]) -> Finished:
    """What a backtest takes after another one, in a process of its own; the peak is of both.

    Args:
        first: arguments of the one that loads: over the same kind of data, for the same kernels.
        then: of the one that is measured.
    """
    command = [sys.executable, "-m", "benchmarks.loaded", *first, BETWEEN, *then]
    both = figure.finished(command)
    return both._replace(spent=Spent(**json.loads(both.output)))


def _report(arguments: Sequence[str]) -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = run_command(["backtest", *arguments])
    if code != 0 or "ledger sha256" not in printed.getvalue():
        raise RuntimeError(f"quant backtest {' '.join(arguments)} ended with {code}: {printed.getvalue()}")


if __name__ == "__main__":
    between = sys.argv.index(BETWEEN)
    _report(sys.argv[1:between])
    print(json.dumps(figure.spent(partial(_report, sys.argv[between + 1 :]))._asdict()))
