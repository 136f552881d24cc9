"""An ingestor killed while the market goes on: nothing is numbered twice, and what it missed is a gap, repaired."""

import contextlib
import json
import time
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.records import BAR, CLOCK, TICK, BarsRecord, ClockRecord, TickRecord
from quant_platform.domain.ticks import NS_PER_MINUTE
from quant_platform.domain.topics import EQUITY_TICKS
from quant_platform.ports.bus import Record
from tests.e2e.platform_rig import wait_until
from tests.e2e.service_rig import exchange, service
from tests.servers import Database, KafkaServer

pytestmark = pytest.mark.slow

SPEED = 40
"""Market seconds a second: a gap of some seconds is some minutes of market."""
ENOUGH = 2000
DOWN_S = 5.0


def on_the_bus(bus: KafkaBus) -> dict[int, list[Record]]:
    """Partition → its records, in order."""
    found: dict[int, list[Record]] = defaultdict(list)
    for record in bus.history(EQUITY_TICKS.name, dict.fromkeys(range(3), 0)):
        found[record.partition].append(record)
    return found


def written(bus: KafkaBus) -> int:
    """How many records are on the bus; 0 while a topic that was just made has no leader yet."""
    with contextlib.suppress(UnavailableError):
        return sum(bus.ends(EQUITY_TICKS.name).values())
    return 0


def test_what_a_killed_ingestor_missed_is_repaired_and_nothing_is_numbered_twice(
    tmp_path: Path, kafka: KafkaServer, bus: KafkaBus, database: Database
) -> None:
    with exchange("--speed", str(SPEED), "--start", "09:20", "--run-at-once", folder=tmp_path) as market:
        servers = kafka.environment | database.environment
        environment = servers | market.environment | {"QUANT_FEED__SUBSCRIBE": "all", "QUANT_KAFKA__PARTITIONS": "3"}
        with service("upstox_ingestor", environment=environment, folder=tmp_path) as first:
            assert wait_until(lambda: written(bus) > ENOUGH, first.process)
            time.sleep(6)  # a snapshot is kept every five seconds: so there is one, and ticks after it
            first.process.kill()
        before = written(bus)
        time.sleep(DOWN_S)
        with service("upstox_ingestor", environment=environment, folder=tmp_path) as second:
            assert wait_until(lambda: written(bus) > before + ENOUGH, second.process)
    log = [json.loads(line) for line in (tmp_path / "upstox_ingestor.log").read_text().splitlines()]
    [gap] = [line for line in log if line["event"] == "gap in the feed"]
    assert gap["seconds"] > DOWN_S * SPEED / 2
    records = on_the_bus(bus)
    repaired = [
        msgspec.json.decode(record.value, type=BarsRecord)
        for each in records.values() for record in each if record.kind == BAR
    ]  # fmt: skip
    repairs = [bars for bars in repaired if bars.what == "repair"]
    assert gap["repaired_bars"] == sum(len(bars.bars) for bars in repairs) > gap["symbols"]
    for each in records.values():
        require_in_order(each)
    require_bars_fill_the_gap(records, repairs)


def require_in_order(records: list[Record]) -> None:
    """Clocks go forward, and every symbol's ticks are numbered from 1 without a hole."""
    clock_ns = 0
    seqs: dict[str, int] = defaultdict(int)
    for record in records:
        if record.kind == CLOCK:
            ts = msgspec.json.decode(record.value, type=ClockRecord).ts
            assert ts > clock_ns
            clock_ns = ts
        elif record.kind == TICK:
            tick = msgspec.json.decode(record.value, type=TickRecord)
            seqs[tick.symbol] += 1
            assert tick.seq == seqs[tick.symbol], tick


def require_bars_fill_the_gap(records: dict[int, list[Record]], repairs: list[BarsRecord]) -> None:
    """A symbol's repair begins in the minute of its last tick before the gap or the next, and ends before its entry."""
    for each in records.values():
        last: dict[str, int] = {}
        for record in each:
            if record.kind == TICK:
                tick = msgspec.json.decode(record.value, type=TickRecord)
                last[tick.symbol] = tick.ts
            elif record.kind == BAR:
                bars = msgspec.json.decode(record.value, type=BarsRecord)
                if bars.what == "repair" and bars.symbol in last:
                    since = last[bars.symbol] // NS_PER_MINUTE * NS_PER_MINUTE
                    assert since <= bars.bars[0].ts <= bars.bars[-1].ts < bars.ts
                    assert bars.before_seq > 1
    assert repairs
