"""What the command line hands to a host: one frozen value per command, parsed and merged with the settings.

Nothing heavy is imported here, so that the command line can build these before it loads a core.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from quant_platform.domain.commands import Halt

Source = Literal["demo", "replay", "upstox"]
"""Where ``quant up`` takes its market from."""

UpMode = Literal["embedded", "distributed"]
"""How ``quant up`` hosts the cores: in one process, or one process a service over the configured servers."""

Subscription = Literal["scanner", "all"]
"""What ``quant up`` subscribes to: the scanner's picks, or every symbol of the source."""

PortChoice = Literal["usual", "free"]
"""Where a server of ``quant servers`` listens: on its well-known port where that is free, or on any free one."""


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """One backtest over files.

    Attributes:
        data: files, folders and globs as given, at least one; expanded by the file source.
        first: first IST date to take, None for the first of the data.
        last: last IST date to take, inclusive, None for the last of the data.
        symbols: ``NSE_EQ:RELIANCE``…, empty for all.
        strategy: name of a built-in strategy, or path of a user's own file.
        parameters: name → text, the settings' defaults with ``--set`` and ``--latency-ms`` over them.
        capital: starting balance in paise, None for the default.
        report: folder to make for the report, None for none.
        json: print one JSON object last on standard output, and no tables.
        skip_bad_rows: count implausible rows and go on, instead of refusing the file.
        batch_size: ticks per batch; the answer does not depend on it.
    """

    data: Sequence[str]
    first: date | None = None
    last: date | None = None
    symbols: Sequence[str] = ()
    strategy: str = "momentum"
    parameters: Mapping[str, str] = field(default_factory=dict)
    capital: int | None = None
    report: Path | None = None
    json: bool = False
    skip_bad_rows: bool = False
    batch_size: int = 65_536


@dataclass(frozen=True, slots=True)
class ParityOptions:
    """A stored run, beside a backtest of the ticks that it stored.

    Attributes:
        home: folder of ledger and ticks.
        portfolio: whose last run it is.
        strategy: as the run had it: name of a built-in strategy, or path of a user's own file.
        parameters: as the run had them: name → text, defaults with ``--set`` and ``--latency-ms`` over them.
        json: print one JSON object, and no table.
    """

    home: Path
    portfolio: str = "default"
    strategy: str = "momentum"
    parameters: Mapping[str, str] = field(default_factory=dict)
    json: bool = False


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """Many parameter sets over the same files; what is not told here is as in :class:`BacktestOptions`.

    Attributes:
        parameters: name → text of what all sets share: the settings' defaults, with ``--latency-ms`` over them.
        swept: name → values (``45,50,55`` or ``45:55:5``), in order.
        capital: starting balance in paise.
        workers: processes, None for one a processor.
        cluster: address of a Dask scheduler, None for processes of this machine.
        results: the Parquet file that results are kept in, None for one in the home's folder of sweeps.
        home: that home.
        top: how many sets the table shows.
        report: folder to make for tables and heat map, None for none.
        json: print one JSON object last on standard output, and no table.
    """

    data: Sequence[str]
    capital: int
    swept: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    first: date | None = None
    last: date | None = None
    symbols: Sequence[str] = ()
    strategy: str = "momentum"
    workers: int | None = None
    cluster: str | None = None
    results: Path | None = None
    home: Path = Path("user_data")
    top: int = 20
    report: Path | None = None
    json: bool = False
    skip_bad_rows: bool = False


@dataclass(frozen=True, slots=True)
class WalkForwardOptions:
    """A sweep over some days whose best set trades the next ones, again and again.

    Attributes:
        sweep: over what; its range is that of the whole walk.
        train: trading days of each sweep.
        test: trading days that its best set trades then.
    """

    sweep: SweepOptions
    train: int
    test: int


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The whole platform.

    Attributes:
        mode: embedded or distributed.
        feature_engines: how many share the partitions, where distributed.
        source: demo (simulated exchange), replay (the exchange serves files) or upstox.
        data: files, folders and globs of a replay; empty otherwise.
        subscribe: scanner or all.
        speed: market seconds per wall second; None is lockstep, as fast as it goes (``max``).
        until_close: stop after the day's summary instead of staying up.
        day: IST date of the demo or replay, None for the last trading day that the calendar covers (demo) or
            all days of the data (replay).
        seed: of the demo's market.
        capital: starting balance in paise; given, the portfolio starts anew. None to go on with its balance.
        strategy: name of a built-in strategy, or path of a user's own file.
        parameters: name → text, the settings' defaults with ``--set`` and ``--latency-ms`` over them.
        home: folder of ledger, ticks and lock.
        portfolio: its name in the ledger.
        fresh: start the portfolio anew, whatever is stored.
        cut: how many times the simulated exchange cuts the feed.
        json: print one JSON object last on standard output, and no live view.
        picture: write the view as an SVG picture there.
        config: the settings file in force, None where there is none; the token is read anew through it.
    """

    mode: UpMode = "embedded"
    feature_engines: int = 1
    source: Source = "demo"
    data: Sequence[str] = ()
    subscribe: Subscription = "scanner"
    speed: float | None = 60.0
    until_close: bool = False
    day: date | None = None
    seed: int = 1
    capital: int | None = None
    strategy: str = "momentum"
    parameters: Mapping[str, str] = field(default_factory=dict)
    home: Path = Path("user_data")
    portfolio: str = "default"
    fresh: bool = False
    cut: int = 0
    json: bool = False
    picture: Path | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class HaltOptions:
    """What a portfolio's owner orders.

    Attributes:
        order: no entries, out of everything, or to trade again.
        portfolio: its name, None for every one.
        reason: why, for the audit log and the screens.
        mode: whose ledger: that of a home folder, or that of the services.
        home: that folder, None for the one of the settings.
        json: print one JSON object.
        config: the settings file in force, None where there is none.
    """

    order: Halt
    portfolio: str | None = None
    reason: str = "by hand"
    mode: UpMode = "embedded"
    home: Path | None = None
    json: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """One scan now.

    Attributes:
        url: base address of a running exchange, None for Upstox.
        token: for that exchange, None for the settings' Upstox token.
        json: print one JSON object.
        config: the settings file in force, None where there is none.
    """

    url: str | None = None
    token: str | None = None
    json: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """History into the object store.

    Attributes:
        symbols: ``NSE_EQ:RELIANCE``…, empty for those of the settings.
        first: first IST date, None for as many days before the last as the settings say.
        last: last IST date, inclusive, None for yesterday.
        interval: of the candles: ``1m``, ``15m``, ``1h``, ``1d``.
        home: in whose folder ``objects`` candles go where the settings name no bucket; None for the settings' own.
        json: print one JSON object last on standard output, and no tables.
        config: the settings file asked for, None for the usual one.
    """

    symbols: Sequence[str] = ()
    first: date | None = None
    last: date | None = None
    interval: str = "1m"
    home: Path | None = None
    json: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class LookOptions:
    """A look into the stored ledger, without SQL.

    Attributes:
        mode: whose ledger: the home's file (embedded) or the Postgres of the settings (distributed).
        home: folder of the ledger; None for the settings' own.
        portfolio: its name, None for every one.
        last: how many rows at most, the newest ones.
        json: print one JSON object.
        config: the settings file asked for, None for the usual one.
    """

    mode: UpMode = "embedded"
    home: Path | None = None
    portfolio: str | None = None
    last: int = 20
    json: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class ResetOptions:
    """Start a portfolio anew; what it did stays in the ledger.

    Attributes:
        portfolio: its name.
        mode: whose ledger: the home's file (embedded) or the Postgres of the settings (distributed).
        home: folder of the ledger; None for the settings' own.
        capital: starting balance in paise, None for the one it started with.
        config: the settings file asked for, None for the usual one.
    """

    portfolio: str
    mode: UpMode = "embedded"
    home: Path | None = None
    capital: int | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """A look at everything the platform stands on.

    Attributes:
        home: folder of ledger, ticks and lock; None for the settings' own.
        json: print one JSON object.
        config: the settings file asked for, None for the usual one.
    """

    home: Path | None = None
    json: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class TicksOptions:
    """A question to the stored ticks.

    Attributes:
        query: one SELECT over the view ``ticks``; None for an overview.
        home: folder of the ticks.
        json: print one JSON object.
    """

    query: str | None = None
    home: Path = Path("user_data")
    json: bool = False


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Which service, and what only it is told.

    Attributes:
        name: of the service.
        instance: name of this process among those of its service, the same after a restart.
        portfolio: of a strategy_runtime.
        strategy: name or file; None for the settings'.
        parameters: name → text, over the settings' own.
        capital: paise; given, the portfolio starts anew where the run is another one.
        mode: of the market, as stored with the portfolio: paper, replay or demo.
        identity: what makes two runs the same beside strategy and settings.
        until_over: a strategy_runtime finishes its run when the market is over, and ends.
        whole_universe: an ingestor takes whatever the exchange lists.
        exit_with_parent: end with the process that started this one.
        config: the settings file asked for.
    """

    name: str
    instance: str = "1"
    portfolio: str = "default"
    strategy: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    capital: int | None = None
    mode: str = "paper"
    identity: str = ""
    until_over: bool = False
    whole_universe: bool = False
    exit_with_parent: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """One backup of ledger and ticks.

    Attributes:
        mode: whose ledger: the home's file (embedded) or the Postgres of the settings (distributed).
        home: folder of ledger and ticks; None for the settings' own.
        to: folder to write to; None for the object store of the settings.
        days: how many of the stored days, the newest.
        json: print one JSON object.
        config: the settings file asked for.
    """

    mode: UpMode = "embedded"
    home: Path | None = None
    to: Path | None = None
    days: int = 1
    json: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """One backup brought back.

    Attributes:
        name: of the backup; None to tell which there are.
        mode: which ledger it becomes: the home's file (embedded) or the Postgres of the settings (distributed).
        home: folder of ledger and ticks; None for the settings' own.
        source: folder it was written to; None for the object store of the settings.
        replace: give up what is there.
        json: print one JSON object.
        config: the settings file asked for.
    """

    name: str | None = None
    mode: UpMode = "embedded"
    home: Path | None = None
    source: Path | None = None
    replace: bool = False
    json: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class ServersOptions:
    """The servers of one home.

    Attributes:
        names: which, all where empty.
        home: their data, logs, ports and passwords are in its folder ``servers``.
        json: print one JSON object.
    """

    names: Sequence[str] = ()
    home: Path = Path("user_data")
    json: bool = False
