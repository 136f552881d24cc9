"""The numbers that a run prints, in every mode alike."""

import contextlib
import resource
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quant_platform.domain.money import rupees
from quant_platform.ports.ledger_store import RunSummary


def peak_memory_mb() -> float:
    """The most memory this process has held so far, in MiB."""
    with contextlib.suppress(OSError), Path("/proc/self/status").open(encoding="ascii") as status:
        # Linux's ru_maxrss begins with what the parent held at the fork.
        for line in status:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    per_mib = 1024**2 if sys.platform == "darwin" else 1024
    return round(peak / per_mib, 1)


def in_rupees(paise: int) -> float:
    """An amount as JSON shows it: rupees, exact to the paisa up to ₹90 lakh crore."""
    return float(rupees(paise))


def as_json(
    summary: RunSummary, *, mode: str, source: str, depth: bool, seconds: float, beside: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The summary with what is known of the run besides; amounts in rupees.

    Args:
        summary: the numbers of the stored rows.
        mode: backtest or embedded.
        source: files, demo, replay or upstox.
        depth: whether fills and OBI came from depth; otherwise OBI is the last bar's.
        seconds: how long the run took on the wall.
        beside: more keys.
    """
    return {
        "mode": mode,
        "source": source,
        "obi": "depth" if depth else "bar",
        "ticks": summary.ticks,
        "late": summary.late,
        "duplicates": summary.duplicates,
        "orders": summary.orders,
        "fills": summary.fills,
        "cancelled": summary.cancelled,
        "round_trips": summary.round_trips,
        "gross_pnl": in_rupees(summary.gross_pnl),
        "charges": in_rupees(summary.charges),
        "net_pnl": in_rupees(summary.net_pnl),
        "starting_balance": in_rupees(summary.starting_balance),
        "ending_balance": in_rupees(summary.ending_balance),
        "max_drawdown": in_rupees(summary.max_drawdown),
        "refusals": dict(summary.refusals),
        "ledger_sha256": summary.ledger_sha256,
        "seconds": round(seconds, 3),
        "ticks_per_second": round(summary.ticks / seconds) if seconds > 0 else 0,
        "peak_memory_mb": peak_memory_mb(),
        **(beside or {}),
    }


def percentiles_us(latencies_ns: Collection[int]) -> tuple[float | None, float | None]:
    """Median and 99th percentile in microseconds; None before there is any."""
    if not latencies_ns:
        return None, None
    middle, high = np.percentile(np.fromiter(latencies_ns, np.int64, len(latencies_ns)), (50, 99)) / 1000
    return round(float(middle), 1), round(float(high), 1)
