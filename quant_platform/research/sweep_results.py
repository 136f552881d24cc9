"""The results of sweeps in a Parquet file: a row a set, added to as sets are done, and read again when one goes on."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import quant_platform
from quant_platform.domain.errors import UsageError
from quant_platform.domain.money import paise_from_rupees
from quant_platform.domain.orders import Refusal
from quant_platform.hosts.options import SweepOptions
from quant_platform.hosts.results import in_rupees
from quant_platform.kernel import cache_key
from quant_platform.ports.ledger_store import RunSummary

MONEY = ("gross_pnl", "charges", "net_pnl", "starting_balance", "ending_balance", "max_drawdown")
NUMBERS = tuple(f.name for f in fields(RunSummary) if f.name not in ("run_id", "refusals", "latency_us"))
REASONS = tuple(reason.label for reason in Refusal if reason is not Refusal.NONE)


@dataclass(frozen=True, slots=True)
class SetResult:
    """One parameter set and what it came to.

    Attributes:
        parameters: all of them as they were read, by name.
        summary: the numbers that a backtest with them prints.
    """

    parameters: Mapping[str, Any]
    summary: RunSummary


def identity_of(options: SweepOptions, files: Sequence[Path]) -> str:
    """What makes two results comparable beside the parameters: data, range, capital, strategy and the engine itself.

    A file is known by its name, size and time of change; its rows are not read for it.
    """
    data = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    source = Path(options.strategy)
    code = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else options.strategy
    engine = cache_key(Path(quant_platform.__file__).parent)
    what = (data, str(options.first), str(options.last), list(options.symbols), options.skip_bad_rows)
    return hashlib.sha256(json.dumps((what, options.capital, code, engine)).encode()).hexdigest()[:32]


def key_of(parameters: Mapping[str, Any]) -> str:
    """A set's name among those of its sweep."""
    return json.dumps(parameters, sort_keys=True)


class ResultsFile:
    """The results of one data, range, capital, strategy and engine within a Parquet file, which may hold others too.

    Args:
        path: the file; it need not be there.
        identity: see :func:`identity_of`.

    Raises:
        UsageError: it holds something else, or cannot be read.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = identity
        self._others: Any = None
        self._rows: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        try:
            table = pq.read_table(self._path)
            mine = pc.equal(table["sweep"], self._identity)
            self._others = table.filter(pc.invert(mine))
            self._rows = {row["key"]: row for row in table.filter(mine).to_pylist()}
        except (OSError, KeyError, pa.ArrowException) as error:
            raise UsageError(
                f"{self._path} does not hold results of a sweep ({type(error).__name__})",
                "name another file for --results",
            ) from error

    def get(self, parameters: Mapping[str, Any]) -> SetResult | None:
        """The result of a set, if it is there."""
        row = self._rows.get(key_of(parameters))
        return None if row is None else SetResult(parameters, _summary_of(row))

    def add(self, result: SetResult) -> None:
        """Take a result in; :meth:`write` puts it on the disk."""
        key = key_of(result.parameters)
        self._rows[key] = {"sweep": self._identity, "key": key, **result.parameters, **numbers_of(result.summary)}

    def write(self) -> None:
        """Write the file anew, whole or not at all; without a result it is left as it is.

        Raises:
            UsageError: it cannot be written, or holds the results of a strategy whose parameters do not fit these.
        """
        if not self._rows:
            return
        scratch = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            table = pa.Table.from_pylist(list(self._rows.values()))
            if self._others is not None and self._others.num_rows:
                table = pa.concat_tables([self._others, table], promote_options="permissive")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, scratch, compression="zstd")
            scratch.replace(self._path)
        except (OSError, pa.ArrowException) as error:
            scratch.unlink(missing_ok=True)
            raise UsageError(
                f"the results cannot be written to {self._path} ({error})", "name another file for --results"
            ) from error


def numbers_of(summary: RunSummary) -> dict[str, Any]:
    """A set's numbers as a row shows them: rupees, and a column for every reason of refusal."""
    numbers = {name: getattr(summary, name) for name in NUMBERS}
    refused = {f"refused_{reason}": summary.refusals.get(reason, 0) for reason in REASONS}
    return numbers | {name: in_rupees(numbers[name]) for name in MONEY} | refused


def _summary_of(row: Mapping[str, Any]) -> RunSummary:
    numbers = {name: row[name] for name in NUMBERS}
    money = {name: int(paise_from_rupees(numbers[name])) for name in MONEY}
    refusals = {reason: row[f"refused_{reason}"] for reason in REASONS if row[f"refused_{reason}"]}
    return RunSummary(run_id="", **numbers | money, refusals=refusals)
