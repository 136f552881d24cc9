"""Write time series into QuestDB: whole frames over HTTP, durable when the call returns, each row once."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd
from questdb import Protocol, QuestDBError, QuestDBErrorCode, Sender

from quant_platform.adapters.ticks.questdb_http import (
    QuestdbHttp,
    address_of,
    cannot_be_reached,
    is_momentary,
    refused_login,
)
from quant_platform.adapters.ticks.questdb_tables import bring_in_order
from quant_platform.adapters.ticks.series_rows import check_rows, joined, picked
from quant_platform.domain.errors import DataError, QuantError, UnavailableError
from quant_platform.ports.series_store import Labels, R, Table

MOST_ROWS = 100_000
"""Of one request: some 15 MB, far below what client and server take at once."""

_LINE_PROTOCOL = 2
"""With binary numbers; asking the server which ones it speaks would be a request more on every connection."""


class QuestdbWriter:
    """Rows into QuestDB (:class:`~quant_platform.ports.series_store.SeriesWriter`).

    A flush is tried once: whoever calls waits, and tries again. Rows that had arrived already are written in their own
    place again, so nothing is doubled. What was flushed outlives the server's process; it outlives the machine's
    power where the server runs with ``cairo.commit.mode=sync``.

    Args:
        http_url: like ``http://user:password@host:9000``.
        keep_days: see :func:`.bring_in_order`.
        timeout_s: for one request.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(self, http_url: str, *, keep_days: int | None = None, timeout_s: float = 15.0) -> None:
        self._address = address_of(http_url)
        self._keep_days = keep_days
        self._timeout_s = timeout_s
        self._server = QuestdbHttp(self._address, timeout_s)
        self._sender: Sender | None = None
        self._waiting: dict[str, tuple[Table[Any], list[Any]]] = {}

    def prepare(self) -> None:
        """Have the tables made and checked, and connect.

        Raises:
            UnavailableError: QuestDB cannot be reached, or cannot do it now.
            ConfigurationError: user or password are wrong, this is no QuestDB, or a table is of another make.
        """
        bring_in_order(self._server, self._keep_days)
        self._disconnect()
        address = self._address
        sender = Sender(
            Protocol.Https if address.secure else Protocol.Http,
            address.host,
            address.port,
            username=address.user,
            password=address.password,
            auto_flush=False,
            retry_timeout=0,
            request_timeout=int(self._timeout_s * 1000),
            request_min_throughput=0,
            protocol_version=_LINE_PROTOCOL,
        )
        sender.establish()  # type: ignore[no-untyped-call]
        self._sender = sender

    def append(self, table: Table[R], rows: R) -> None:
        """Take rows in any order; they must not be changed until they are flushed.

        Raises:
            DataError: a stamp is not above 0, or the columns differ in length.
        """
        if check_rows(table, rows):
            self._waiting.setdefault(table.name, (table, []))[1].append(rows)

    def flush(self) -> None:
        """Return when all rows taken are durable; they can be read a moment later.

        Raises:
            UnavailableError: QuestDB cannot be reached, or cannot do it now. All rows of the table at hand still wait.
            ConfigurationError: as :meth:`prepare`. The rows still wait.
            DataError: QuestDB will never take these rows. They still wait.
        """
        for table, parts in list(self._waiting.values()):
            if self._sender is None:
                self.prepare()
            self._write(table, joined(table, parts))
            del self._waiting[table.name]

    def close(self) -> None:
        """Let go of the connections; rows that still wait are forgotten."""
        self._waiting = {}
        self._disconnect()
        self._server.close()

    def _write(self, table: Table[R], rows: R) -> None:
        assert self._sender is not None, "prepared before"  # noqa: S101
        try:
            for start in range(0, rows.timestamp.size, MOST_ROWS):
                frame = _frame(picked(table, rows, slice(start, start + MOST_ROWS)))
                self._sender.dataframe(frame, table_name=table.name, at="timestamp")
                self._sender.flush()
        except QuestDBError as error:
            # The next attempt looks at everything anew: another server may stand there by then.
            self._disconnect()
            raise self._in_our_words(table.name, error) from None

    def _in_our_words(self, table: str, error: QuestDBError) -> QuantError:
        if error.code is QuestDBErrorCode.AuthError:
            return refused_login(self._address)
        text = str(error).removeprefix("Could not flush buffer: ")
        if error.code is QuestDBErrorCode.BadDataFrame:
            return DataError(f"rows for QuestDB's table {table} cannot be written: {text}")
        if error.code is not QuestDBErrorCode.ServerFlushError:
            return cannot_be_reached(self._address, text)
        refusal = _refusal(text)
        if refusal.code == "invalid" and not is_momentary(refusal.message):
            return DataError(
                f"QuestDB at {self._address} refuses rows for {table}: {refusal.message}",
                "the table was changed while this program ran: start it anew",
            )
        return UnavailableError(
            f"QuestDB at {self._address} cannot store rows of {table} now: {refusal.message}",
            "look into its log and at its disk",
        )

    def _disconnect(self) -> None:
        if self._sender is not None:
            self._sender.close(flush=False)
            self._sender = None


class _Refusal(msgspec.Struct):
    message: str
    code: str = ""


def _refusal(text: str) -> _Refusal:
    try:
        refusal = msgspec.json.decode(text, type=_Refusal)
    except msgspec.DecodeError:
        refusal = _Refusal(text)
    return _Refusal(" ".join(refusal.message.split()), refusal.code)


def _frame(rows: Any) -> Any:
    columns = {}
    for name, column in zip(rows._fields, rows, strict=True):
        if isinstance(column, Labels):
            columns[name] = pd.Categorical.from_codes(column.codes, column.names, validate=False)
        else:
            columns[name] = column
    columns["timestamp"] = rows.timestamp.view(np.dtype("datetime64[ns]"))
    return pd.DataFrame(columns, copy=False)
