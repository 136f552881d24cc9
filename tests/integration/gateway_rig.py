"""The API gateway as a real process, and a ledger, ticks and quotes that it can be asked about."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np

from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.questdb import QuestdbWriter
from quant_platform.domain.ticks import REPAIRED
from quant_platform.hosts.api_keys import NewKey, new_key
from quant_platform.hosts.distributed.series_connections import series_reader
from quant_platform.ports.ledger_views import ScanPick
from quant_platform.ports.series_store import CANDLES_1M, TICKS, CandleRows, Labels, Table, TickRows
from tests.servers import settings_of

from .ledger_days import NS, OPEN, request, round_trips

NOW = datetime(2026, 8, 3, 4, 0, tzinfo=UTC)
PATIENCE_S = 60.0
BLOCKS = 7
"""Fills in the ledger; the last one bought, so that a position is open."""
PICKS = [ScanPick("NSE_EQ:TCS", 812_345.5, 140_05, 1000), ScanPick("NSE_EQ:INFY", 7.25, 99_90, 3)]
NOWHERE = {
    "QUESTDB_PG_HOST": "127.0.0.1",
    "QUESTDB_PG_PORT": "1",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}
"""Where neither QuestDB nor Redis answers."""


class GatewayProcess:
    """``quant service api_gateway``, ended with the ``with`` block.

    Args:
        folder: where its log goes.
        environment: its settings.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._out, self._err = folder / f"{uuid.uuid4().hex}.out", folder / f"{uuid.uuid4().hex}.err"
        inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
        self._environment = {**inherited, "QUANT_API__PORT": "0", **environment}
        self._folder = folder

    def start(self) -> Self:
        """Start the process and wait for nothing."""
        with self._out.open("wb") as out, self._err.open("wb") as err:
            command = [sys.executable, "-m", "quant_platform.cli", "service", "api_gateway"]
            self.process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        return self

    def __enter__(self) -> Self:
        self.client = httpx.Client(timeout=30, trust_env=False)
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0, self.log

    @property
    def log(self) -> str:
        return self._out.read_text() + self._err.read_text()

    def listening(self) -> Self:
        """Wait until it answers at all."""
        self.url = f"http://127.0.0.1:{self._said('port', 'the API answers')}"
        self.health_url = f"http://127.0.0.1:{self._said('port', '')}"
        return self

    def ready(self) -> Self:
        """Wait until it has reached its ledger."""
        self.listening()
        self.until(lambda: httpx.get(f"{self.health_url}/readyz").status_code == 200)
        return self

    def until(self, is_so: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def _said(self, field: str, event: str) -> Any:
        """A field of the first line that tells of this event."""
        found: list[Any] = []

        def look() -> bool:
            for line in self.log.splitlines():
                if line.startswith("{") and line.endswith("}"):
                    content = json.loads(line)
                    found.extend([content[field]] if content.get("event", "") == event else [])
            return bool(found)

        self.until(look)
        return found[0]

    def get(self, path: str, token: str | None, **parameters: Any) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.client.get(self.url + path, headers=headers, params=parameters or None)

    def rows(self, path: str, token: str, **parameters: Any) -> list[dict[str, Any]]:
        """The items of every page."""
        answer = self.get(path, token, **parameters)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        while cursor := answer.json().get("next_cursor"):
            answer = self.get(path, token, **parameters, cursor=cursor)
            assert answer.status_code == 200, answer.text
            items += answer.json()["items"]
        return items


def fill_ledger(url: str | Path) -> None:
    """One portfolio that traded, with a position open, and two scans."""
    with SqlLedger(url) as ledger:
        ledger.begin(request())
        for block in islice(round_trips(), BLOCKS):
            ledger.commit(block)
        ledger.save_scan(OPEN, PICKS)
        ledger.save_scan(OPEN + 300 * NS, PICKS[:1])


def add_key(url: str | Path, *scopes: str, days: float | None = None, made: datetime | None = None) -> NewKey:
    """A key that stands in the ledger."""
    now = made or datetime.now(UTC)
    key = new_key("test", scopes or ("read",), now, None if days is None else now + timedelta(days=days))
    with GatewayLedger(url) as ledger:
        assert ledger.add_key(key.key)
    return key


def tick_rows(symbol: str, n: int) -> TickRows:
    """Ticks of one symbol, two of each stamp; the first ones without features."""
    steps = np.arange(n)
    known = np.where(steps < 2, np.nan, 0.5)
    return TickRows(
        timestamp=OPEN + steps // 2 * NS + 7,
        symbol=Labels.of([symbol] * n),
        seq=steps + 1,
        ltp=140.0 + steps * 0.05,
        volume=steps * 10,
        vwap=140.0 + known,
        rsi=50 + known,
        obi=known,
        sma=known,
        spread=known,
        aggressor=Labels.of(["B"] * n),
        flags=np.where(steps == 1, REPAIRED, 0).astype(np.uint8),
    )


def candle_rows(symbol: str, n: int) -> CandleRows:
    """Closed minutes of one symbol, each a rupee above the one before."""
    steps = np.arange(n)
    return CandleRows(
        timestamp=OPEN + steps * 60 * NS,
        symbol=Labels.of([symbol] * n),
        open=140.0 + steps,
        high=141.5 + steps,
        low=139.95 + steps,
        close=141.0 + steps,
        volume=100 * (steps + 1),
    )


def fill_candles(environment: Mapping[str, str], rows: CandleRows) -> None:
    """Candles in QuestDB, to be seen when this returns."""
    _fill(environment, CANDLES_1M, [rows])


def fill_ticks(environment: Mapping[str, str], *rows: TickRows) -> None:
    """Ticks in QuestDB, to be seen when this returns."""
    _fill(environment, TICKS, rows)


def _fill(environment: Mapping[str, str], table: Table[Any], rows: Sequence[Any]) -> None:
    settings = settings_of(environment)
    writer = QuestdbWriter(settings.questdb.http_url.get_secret_value())
    reader = series_reader(settings)
    for some in rows:
        writer.append(table, some)
    writer.flush()
    reader.wait_until_visible(PATIENCE_S)
    writer.close()
    reader.close()
