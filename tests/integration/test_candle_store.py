"""The contract of a candle store, on a folder and on a real S3 server."""

import secrets
from datetime import date, time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from quant_platform.adapters.objects.candle_files import CandleFiles
from quant_platform.adapters.objects.obstore import Bucket, Objects
from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.errors import DataError
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_MINUTE, BarBatch
from quant_platform.ports.broker import Candle
from quant_platform.ports.candle_store import CandleQuality, CandleStore, FetchedPart, Gap
from tests.servers import RealServer

DAY, NEXT = date(2026, 7, 30), date(2026, 7, 31)
INFY, TCS = "NSE_EQ:INFY", "NSE_EQ:TCS"
GOOD = CandleQuality(2, 375, gaps=(Gap(ns_at(DAY, time(9, 17)), 373),), outliers=(7,))


def objects_in(place: str, request: pytest.FixtureRequest, folder: Path) -> Objects:
    if place == "folder":
        return Objects.in_folder(folder)
    s3: RealServer = request.getfixturevalue("s3")
    s3.start()
    wanted = s3.settings.objects
    assert wanted.endpoint_url
    assert wanted.access_key_id
    assert wanted.secret_access_key
    keys = wanted.access_key_id.get_secret_value(), wanted.secret_access_key.get_secret_value()
    return Objects.in_bucket(Bucket(wanted.endpoint_url, f"test-{secrets.token_hex(6)}", *keys))


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CandleStore:
    return CandleFiles(objects_in(request.param, request, tmp_path), "1m")


def bars(day: date, symbols: int, price: int = 10_000, minutes: int = 2) -> BarBatch:
    """The first minutes of so many symbols, newest first."""
    ts = np.tile(ns_at(day, time(9, 15)) + np.arange(minutes)[::-1] * NS_PER_MINUTE, symbols)
    number = np.repeat(np.arange(symbols, dtype=np.int32), minutes)
    prices = np.full(ts.size, price, np.int32)
    return BarBatch(ts, number, prices, prices + 5, prices - 5, prices + 1, np.arange(ts.size, dtype=np.int64))


def test_nothing_is_complete_at_first(store: CandleStore) -> None:
    assert store.stored(DAY, NEXT) == {}
    assert list(store.parts()) == []


def test_what_was_saved_is_complete_with_its_quality_in_the_range_only(store: CandleStore) -> None:
    store.save(DAY, (INFY, TCS), bars(DAY, 2), {INFY: GOOD, TCS: CandleQuality(2, 375)})
    store.save(NEXT, (INFY,), bars(NEXT, 1), {INFY: GOOD})
    assert store.stored(DAY, DAY) == {DAY: {INFY: GOOD, TCS: CandleQuality(2, 375)}}
    assert set(store.stored(DAY, NEXT)) == {DAY, NEXT}


def test_symbols_join_those_that_are_there_and_replace_themselves(store: CandleStore) -> None:
    store.save(DAY, (INFY,), bars(DAY, 1), {INFY: CandleQuality(2, 375)})
    store.save(DAY, (TCS,), bars(DAY, 1), {TCS: CandleQuality(2, 375)})
    store.save(DAY, (INFY,), bars(DAY, 1, price=20_000, minutes=1), {INFY: CandleQuality(1, 375)})
    assert store.stored(DAY, DAY) == {DAY: {INFY: CandleQuality(1, 375), TCS: CandleQuality(2, 375)}}


def test_a_symbol_without_a_candle_is_complete_too(store: CandleStore) -> None:
    empty = CandleQuality(0, 375)
    store.save(DAY, (INFY,), bars(DAY, 0), {INFY: empty})
    assert store.stored(DAY, DAY) == {DAY: {INFY: empty}}
    store.save(DAY, (TCS,), bars(DAY, 1), {TCS: CandleQuality(2, 375)})
    assert set(store.stored(DAY, DAY)[DAY]) == {INFY, TCS}


def test_candles_of_some_symbols_are_read_as_they_were_saved(store: CandleStore) -> None:
    saved = bars(DAY, 2, price=2_147_483_0)
    store.save(DAY, (INFY, TCS), saved, {INFY: GOOD, TCS: GOOD})
    names, found = store.load(DAY, [TCS])
    assert list(names) == [TCS]
    [ts, symbol, *others] = (column.tolist() for column in found)
    assert ts == sorted(saved.ts[2:].tolist())
    assert symbol == [0, 0]
    assert others == [column[:1:-1].tolist() for column in saved[2:]]
    store.save(NEXT, (INFY,), bars(NEXT, 0), {INFY: GOOD})
    assert store.load(NEXT, [INFY])[1].ts.size == 0


def test_an_answer_waits_until_it_is_dropped(store: CandleStore) -> None:
    part, other = FetchedPart("NSE_EQ:M&M", DAY, NEXT), FetchedPart(TCS, DAY, DAY)
    candles = [Candle(5, 100, 110, 90, 95, 7), Candle(5, 100, 110, 90, 95, 7)]
    store.keep(part, candles)
    store.keep(other, [])
    assert sorted(store.parts()) == sorted([part, other])
    assert store.take(part) == candles
    assert store.take(other) == []
    store.drop([part])
    store.drop([part])
    assert list(store.parts()) == [other]
    with pytest.raises(DataError):
        store.take(part)


def test_intervals_do_not_meet(tmp_path: Path) -> None:
    objects = Objects.in_folder(tmp_path)
    CandleFiles(objects, "1m").save(DAY, (INFY,), bars(DAY, 1), {INFY: GOOD})
    CandleFiles(objects, "1m").keep(FetchedPart(TCS, DAY, DAY), [])
    assert CandleFiles(objects, "15m").stored(DAY, DAY) == {}
    assert CandleFiles(objects, "15m").parts() == []


def test_a_file_has_the_contracts_columns_in_order_of_time_and_symbol(tmp_path: Path) -> None:
    store = CandleFiles(Objects.in_folder(tmp_path), "1m")
    store.save(DAY, (INFY, TCS), bars(DAY, 2), {INFY: GOOD, TCS: GOOD})
    path = tmp_path / "candles/interval=1m/date=2026-07-30/candles.parquet"
    table = pq.read_table(path, partitioning=None)
    assert table.schema.names == ["timestamp", "symbol", "open", "high", "low", "close", "volume"]
    assert str(table.schema.field("timestamp").type) == "timestamp[ns, tz=Asia/Kolkata]"
    assert table["symbol"].to_pylist() == [INFY, TCS, INFY, TCS]
    assert table["close"].to_pylist() == [100.01] * 4
    assert table["volume"].to_pylist() == [1, 3, 0, 2]
    assert FileTickSource([tmp_path / "candles"]).kind == "candles"


def test_saving_the_same_again_changes_no_byte(tmp_path: Path) -> None:
    store = CandleFiles(Objects.in_folder(tmp_path), "1m")

    def saved() -> dict[str, bytes]:
        store.save(DAY, (INFY, TCS), bars(DAY, 2), {INFY: GOOD, TCS: GOOD})
        return {path.name: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    assert saved() == saved()


def test_candles_whose_quality_a_kill_kept_from_being_written_do_not_count(tmp_path: Path) -> None:
    store = CandleFiles(Objects.in_folder(tmp_path), "1m")
    store.save(DAY, (INFY, TCS), bars(DAY, 2), {INFY: GOOD, TCS: GOOD})
    folder = tmp_path / "candles/interval=1m/date=2026-07-30"
    whole = (folder / "candles.parquet").read_bytes()
    (folder / "quality.json").unlink()
    assert store.stored(DAY, DAY) == {}
    store.save(DAY, (INFY, TCS), bars(DAY, 2), {INFY: GOOD, TCS: GOOD})
    assert (folder / "candles.parquet").read_bytes() == whole
    assert set(store.stored(DAY, DAY)[DAY]) == {INFY, TCS}


@pytest.mark.parametrize(("name", "told"), [("quality.json", "is damaged"), ("candles.parquet", "is no candle file")])
def test_a_damaged_file_is_named_with_the_cure(tmp_path: Path, name: str, told: str) -> None:
    store = CandleFiles(Objects.in_folder(tmp_path), "1m")
    store.save(DAY, (INFY,), bars(DAY, 1), {INFY: GOOD})
    damaged = tmp_path / "candles/interval=1m/date=2026-07-30" / name
    damaged.write_bytes(b"no such thing")
    with pytest.raises(DataError, match=f"{name} {told} .* — delete"):
        store.save(DAY, (TCS,), bars(DAY, 1), {TCS: GOOD})
