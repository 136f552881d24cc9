"""What a figure is: a measured value beside the limit of its run, what it should reach, and what it cost.

A file of this folder measures one thing. It hands a function to :func:`main`, which gives the command line
(``--json``, ``--quick``, ``--rounds``), and prints a line for every figure. Ours and the limit are measured in turns
(:func:`in_turns`), so that whatever else the machine does meets both, and medians are taken.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from quant_platform.domain.errors import UnavailableError

Measured = TypeVar("Measured")

WITHIN = 0.75
"""A ratio counts where the reference ran at no less than this part of the rate published for it."""


class Missing(Exception):  # noqa: N818 - nothing went wrong
    """Something that a figure needs is not there, on this machine or in this run; the message says what."""


class Spent(NamedTuple):
    """What a piece of work took."""

    wall_s: float
    cpu_s: float  # user and system, all threads


class Finished(NamedTuple):
    """A process that ended well."""

    spent: Spent  # with those of the processes it waited for
    peak_mb: float  # of the process, or of the largest of those
    output: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What the machine can do at best, measured in the same run.

    Attributes:
        name: what was measured.
        value: in the figure's unit.
        counts_from: the least value with which a ratio counts, as published for the reference; None: any does.
    """

    name: str
    value: float
    counts_from: float | None = None

    @property
    def counts(self) -> bool:
        """Whether the reference ran at its published rate, or near it."""
        return self.counts_from is None or self.value >= self.counts_from


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach.

    Attributes:
        at_least: the bound (at most, where less is better).
        aim: the second one.
        of: whether the bounds are of the figure's value or of its ratio to the limit.
        better: which way is better.
    """

    at_least: float
    aim: float
    of: Literal["value", "ratio"] = "value"
    better: Literal["more", "less"] = "more"

    def reached(self, number: float) -> str:
        """``aim``, ``at least`` or ``neither``."""
        for name, bound in (("aim", self.aim), ("at least", self.at_least)):
            if number >= bound if self.better == "more" else number <= bound:
                return name
        return "neither"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured, the key of its row in the table.
        value: in ``unit``.
        unit: such as ``M ticks per CPU-s``.
        goal: what it should reach, None where nothing was promised.
        limit: what it is held against, None where there is none.
        peak_mb: peak memory of the measuring process, or of the measured one.
        cpu_s: CPU seconds of one run.
        note: what else a reader must know.
    """

    name: str
    value: float
    unit: str
    goal: Goal | None = None
    limit: Limit | None = None
    peak_mb: float | None = None
    cpu_s: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Of the value to the limit's."""
        return self.value / self.limit.value if self.limit is not None and self.limit.value else None

    @property
    def reached(self) -> str | None:
        """``aim``, ``at least`` or ``neither``; None without a goal, or where its ratio is missing or counts not."""
        if self.goal is None:
            return None
        if self.goal.of == "value":
            return self.goal.reached(self.value)
        if self.ratio is None or self.limit is None or not self.limit.counts:
            return None
        return self.goal.reached(self.ratio)

    def as_json(self) -> dict[str, Any]:
        """Everything, for the table and for other programs."""
        limit, goal = self.limit, self.goal
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "limit": None if limit is None else limit.name,
            "limit_value": None if limit is None else limit.value,
            "limit_counts": None if limit is None else limit.counts,
            "ratio": self.ratio,
            "goal_of": None if goal is None else goal.of,
            "better": None if goal is None else goal.better,
            "at_least": None if goal is None else goal.at_least,
            "aim": None if goal is None else goal.aim,
            "reached": self.reached,
            "peak_memory_mb": self.peak_mb,
            "cpu_seconds": self.cpu_s,
            "note": self.note,
        }

    def __str__(self) -> str:
        parts = [f"{self.name}: {number(self.value)} {self.unit}"]
        if self.limit is not None and self.ratio is not None:
            parts.append(f"{self.limit.name} {number(self.limit.value)}")
            parts.append(f"ratio {self.ratio:.2f}")
            if not self.limit.counts:
                parts.append(f"does not count: the reference should run at {number(self.limit.counts_from or 0)}")
        if self.goal is not None:
            words = "at least" if self.goal.better == "more" else "at most"
            parts.append(f"{words} {self.goal.at_least:g}, aim {self.goal.aim:g}: {self.reached or 'not comparable'}")
        parts += [] if self.peak_mb is None else [f"peak {self.peak_mb:,.0f} MB"]
        parts += [] if self.cpu_s is None else [f"{number(self.cpu_s)} CPU-s"]
        parts += [self.note] if self.note else []
        return " · ".join(parts)


@dataclass(frozen=True, slots=True)
class Run:
    """How much to measure.

    Attributes:
        quick: small inputs, to see that everything runs; the numbers say little.
        rounds: how often each side is measured.
    """

    quick: bool
    rounds: int

    def size(self, full: int, small: int) -> int:
        """The size of an input."""
        return small if self.quick else full


def number(value: float) -> str:
    """Three digits, or whole numbers in groups."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spent(work: Callable[[], object]) -> Spent:
    """Do the work and tell what it took in this process."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def in_turns(rounds: int, *measures: Callable[[], Measured]) -> list[list[Measured]]:
    """Every measure ``rounds`` times, alternating; a list for each. One more round before is thrown away."""
    for measure in measures:
        measure()
    found: list[list[Measured]] = [[] for _ in measures]
    for _ in range(rounds):
        for results, measure in zip(found, measures, strict=True):
            results.append(measure())
    return found


def median(results: Iterable[Spent]) -> Spent:
    """Of wall and CPU time, each for itself."""
    wall, cpu = zip(*results, strict=True)
    return Spent(statistics.median(wall), statistics.median(cpu))


def _megabytes(peak: int) -> float:
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)


def finished(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Run a process to its end, alone, and tell what it took.

    The kernel counts the caller's memory at the moment of the fork as the child's: a measuring process stays small.

    Raises:
        RuntimeError: it failed; with the last of what it said.
    """
    with tempfile.TemporaryFile("w+") as complaint:
        wall = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaint, text=True, env={**os.environ, **(environment or {})}
        )
        assert process.stdout is not None
        with process.stdout:
            output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        took = Spent(time.perf_counter() - wall, used.ru_utime + used.ru_stime)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            complaint.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {complaint.read()[-2000:]}")
    return Finished(took, _megabytes(used.ru_maxrss), output)


def quant(*arguments: str) -> list[str]:
    """The command line of ``quant`` as this installation has it."""
    return [sys.executable, "-m", "quant_platform.cli", *arguments]


def main(name: str, measure: Callable[[Run], Iterable[Figure]]) -> None:
    """The command line of one file: measure, and print a line a figure.

    Args:
        name: what the file measures, for what is printed where something is missing.
        measure: gives the figures, and raises :class:`Missing`, or what a server raises that is not installed, where it
            cannot.
    """
    parser = argparse.ArgumentParser(description=name)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="small inputs, few rounds: to see that it runs")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="measure each side N times [default: 5; 1 with --quick]"
    )
    options = parser.parse_args()
    run = Run(options.quick, options.rounds or (1 if options.quick else 5))
    try:
        for figure in measure(run):
            print(json.dumps(figure.as_json()) if options.json else figure, flush=True)
    except (Missing, UnavailableError) as missing:
        print(json.dumps({"name": name, "missing": str(missing)}) if options.json else f"{name}: {missing}", flush=True)
