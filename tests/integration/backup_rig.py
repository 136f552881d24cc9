"""Ledgers that are backed up and restored by command, in homes and in Postgres."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from quant_platform import cli
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ledger.tables import audit_log, metadata, portfolios, runtime_state
from quant_platform.domain.instruments import Instrument
from quant_platform.hosts.home import HomeFolder
from quant_platform.ports.ledger_store import LedgerBlock, OutboxRow
from quant_platform.ports.ledger_views import ScanPick

from .ledger_days import OPEN, request, round_trips

DAY = "date=2026-07-31"
CHANGED = {runtime_state.c.epoch, portfolios.c.audit_seq, portfolios.c.audit_hash}
OFFSETS = {("market.enriched.ticks", 0): 17, ("market.enriched.ticks", 1): 4}


class Ledger:
    """A ledger that can be backed up and restored into, and the flags that name it."""

    def __init__(self, where: str | Path, flags: list[str], environment: Mapping[str, str]) -> None:
        self.where = where
        self.flags = flags
        self.environment = environment

    def rows(self) -> dict[str, list[Any]]:
        """Every row of every table, but for what a restore has to change."""
        with SqlLedger(self.where) as ledger, ledger._reading() as connection:
            found = {}
            for table in metadata.sorted_tables:
                query = select(*(column for column in table.columns if column not in CHANGED))
                if table is audit_log:
                    query = query.where(audit_log.c.what != "ledger restored")
                found[table.name] = sorted(map(tuple, connection.execute(query)), key=repr)
            return found

    def epoch(self) -> int:
        with SqlLedger(self.where) as ledger, ledger._reading() as connection:
            return connection.scalars(select(runtime_state.c.epoch)).one()


def quant(capsys: pytest.CaptureFixture[str], place: Ledger, *arguments: str) -> dict[str, Any]:
    """What a command answers in JSON; it must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
        assert cli.run_command([*arguments, *place.flags, "--json"]) == 0, capsys.readouterr().err
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def refused(capsys: pytest.CaptureFixture[str], place: Ledger, *arguments: str) -> tuple[int, str]:
    """Exit code and what is said."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
        code = cli.run_command([*arguments, *place.flags])
    return code, capsys.readouterr().err


def blocks() -> Iterator[LedgerBlock]:
    """As a distributed runtime commits them."""
    for block in round_trips():
        yield replace(block, offsets=OFFSETS, outbox=[OutboxRow("orders.events", "NSE_EQ:TCS", b'{"what":"filled"}')])


def fill(where: str | Path, symbols: Sequence[str] = ("NSE_EQ:TCS",)) -> None:
    """A run cut short after three fills, and all the tables beside it."""
    with SqlLedger(where) as ledger:
        ledger.begin(request())
        for block in islice(blocks(), 3):
            ledger.commit(block)
        ledger.save_scan(OPEN, [ScanPick("NSE_EQ:TCS", 12.5, 3100_05, 900)])
        ledger.save_instruments(
            [Instrument(symbol, f"key of {symbol}", "", symbol, "IT", 5, 1, True, 3000_00) for symbol in symbols]
        )


def in_home(home: Path) -> Ledger:
    """The ledger of a home, which need not be there yet."""
    return Ledger(HomeFolder(home).ledger, ["--home", str(home)], {})


def filled_home(folder: Path) -> Ledger:
    """A home with a ledger."""
    made = in_home(folder / "home")
    fill(made.where)
    return made


def another(folder: Path) -> Ledger:
    """A home beside it, without any."""
    return in_home(folder / "other")
