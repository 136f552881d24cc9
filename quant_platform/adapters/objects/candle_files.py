"""Candles by date as Parquet objects, and answers that wait for their dates (the port ``candle_store``)."""

import io
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quant_platform.domain.errors import DataError
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.ticks import BarBatch, empty_bars
from quant_platform.ports.broker import Candle
from quant_platform.ports.candle_store import CandleQuality, FetchedPart
from quant_platform.ports.object_store import ObjectStore

SCHEMA = pa.schema(
    [
        pa.field("timestamp", pa.timestamp("ns", tz="Asia/Kolkata")),
        pa.field("symbol", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("open", "high", "low", "close")),
        pa.field("volume", pa.int64()),
    ]
)
"""Columns of a candle file, as every reader of the contract takes them."""

T = TypeVar("T")

_DATE = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/quality\.json$")
_PART = re.compile(r"/(\d{4}-\d{2}-\d{2})_(\d{4}-\d{2}-\d{2})/([^/]+)\.msgpack$")


class CandleFiles:
    """Candles of one interval (:class:`~quant_platform.ports.candle_store.CandleStore`) as objects.

    ``candles/interval=1m/date=2026-07-31/candles.parquet`` holds a date, by time and symbol; ``quality.json`` beside
    it is written after it and names the symbols that are complete. Answers wait below ``incoming/``, where no
    reader of candles looks. One process at a time may write an interval.

    Args:
        objects: where.
        interval: its name: ``1m``.
    """

    def __init__(self, objects: ObjectStore, interval: str) -> None:
        self._objects = objects
        self._dates = f"candles/interval={interval}"
        self._incoming = f"incoming/{self._dates}"

    @property
    def where(self) -> str:
        """The store and the folder in it."""
        return f"{self._dates} in {self._objects.where}"

    def stored(self, first: date, last: date) -> dict[date, Mapping[str, CandleQuality]]:
        """What is complete, by date and symbol, of a date in the range only."""
        days = []
        for found in self._objects.list(self._dates):
            named = _DATE.search(found.key)
            if named and first <= (day := date.fromisoformat(named[1])) <= last:
                days.append(day)
        return {day: self._quality(day) for day in sorted(days)}

    def save(self, day: date, symbols: Sequence[str], bars: BarBatch, quality: Mapping[str, CandleQuality]) -> None:
        """Make symbols of a date complete, beside those that are."""
        key = f"{self._folder(day)}/candles.parquet"
        known: Mapping[str, CandleQuality] = {}
        rows = _table(symbols, bars)
        if self._objects.find(key) is not None:
            others = _read_table(key, self._get(key))
            replaced = pc.is_in(others["symbol"], pa.array(list(quality), pa.string()))
            rows = pa.concat_tables([others.filter(pc.invert(replaced)), rows])
        if self._objects.find(f"{self._folder(day)}/quality.json") is not None:
            known = self._quality(day)
        if rows.num_rows:
            self._objects.put(key, _as_file(rows.sort_by([("timestamp", "ascending"), ("symbol", "ascending")])))
        complete = dict(sorted({**known, **quality}.items()))
        self._objects.put(f"{self._folder(day)}/quality.json", io.BytesIO(msgspec.json.encode(complete)))

    def load(self, day: date, symbols: Collection[str]) -> tuple[Sequence[str], BarBatch]:
        """What was saved of symbols of a date that is complete."""
        key = f"{self._folder(day)}/candles.parquet"
        names = pa.array(sorted(symbols), pa.string())
        if self._objects.find(key) is None:  # none of the date's symbols had a candle
            return names.to_pylist(), empty_bars(0)
        table = _read_table(key, self._get(key))
        table = table.filter(pc.is_in(table["symbol"], names))
        return names.to_pylist(), _bars(table, names)

    def parts(self) -> list[FetchedPart]:
        """Answers that wait for their dates."""
        found = (_PART.search(each.key) for each in self._objects.list(self._incoming))
        return [
            FetchedPart(named[3], date.fromisoformat(named[1]), date.fromisoformat(named[2]))
            for named in found
            if named
        ]

    def keep(self, part: FetchedPart, candles: Sequence[Candle]) -> None:
        """Keep an answer until its dates are saved."""
        self._objects.put(self._part_key(part), io.BytesIO(msgspec.msgpack.encode(candles)))

    def take(self, part: FetchedPart) -> list[Candle]:
        """What was kept."""
        key = self._part_key(part)
        return _decoded(key, self._get(key), msgspec.msgpack.Decoder(list[Candle]))

    def drop(self, parts: Sequence[FetchedPart]) -> None:
        """Forget answers whose dates are saved."""
        self._objects.delete([self._part_key(part) for part in parts])

    def _folder(self, day: date) -> str:
        return f"{self._dates}/date={day.isoformat()}"

    def _part_key(self, part: FetchedPart) -> str:
        return f"{self._incoming}/{part.first}_{part.last}/{part.symbol}.msgpack"

    def _quality(self, day: date) -> dict[str, CandleQuality]:
        key = f"{self._folder(day)}/quality.json"
        return _decoded(key, self._get(key), msgspec.json.Decoder(dict[str, CandleQuality]))

    def _get(self, key: str) -> bytes:
        target = io.BytesIO()
        self._objects.get(key, target)
        return target.getvalue()


def _decoded(key: str, content: bytes, decoder: "msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T]") -> T:
    try:
        return decoder.decode(content)
    except msgspec.DecodeError as error:
        raise DataError(f"object {key} is damaged ({error})", "delete it: what it held is fetched again") from None


def _read_table(key: str, content: bytes) -> Any:
    try:
        return pq.read_table(pa.BufferReader(content)).select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"object {key} is no candle file ({reason})", "delete its folder: what it held is fetched again"
        ) from None


def _table(symbols: Sequence[str], bars: BarBatch) -> Any:
    names = pa.array(symbols, pa.string()).take(pa.array(bars.symbol))
    prices = [column / float(PAISE_PER_RUPEE) for column in (bars.open, bars.high, bars.low, bars.close)]
    stamps = pa.array(bars.ts).cast(SCHEMA.field("timestamp").type)
    return pa.table([stamps, names, *map(pa.array, prices), pa.array(bars.volume)], schema=SCHEMA)


def _bars(table: Any, names: Any) -> BarBatch:
    opens, highs, lows, closes = (
        np.rint(table[name].to_numpy() * PAISE_PER_RUPEE).astype(np.int32) for name in ("open", "high", "low", "close")
    )
    stamps = table["timestamp"].cast(pa.int64()).to_numpy()
    numbers = pc.index_in(table["symbol"], names).to_numpy()
    return BarBatch(stamps, numbers, opens, highs, lows, closes, table["volume"].to_numpy())


def _as_file(table: Any) -> io.BytesIO:
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd")
    target.seek(0)
    return target
