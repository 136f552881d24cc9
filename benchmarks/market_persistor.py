"""How fast the persistor gets ticks into QuestDB, beside the client's own best way there.

    uv run python benchmarks/market_persistor.py [--ticks 600000] [--rounds 3]

Starts a Kafka and a QuestDB of its own (as `quant servers up` does, so a flush is on the disk) and ends them. The
client's way: pandas frames of the rows, made beforehand, through ``Sender.dataframe`` in three sizes of flush; the best
counts. The service's way: ``quant service market_persistor`` with its default settings, from enriched ticks with five
levels that wait in Kafka, committed in transactions. Both are measured from the first fifth of the rows that can be
read to the last one, by counting them in the table; CPU is that of the process that writes.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from quant_platform.adapters.bus.kafka import KafkaBus, KafkaOptions
from quant_platform.adapters.ticks.questdb import QuestdbWriter
from quant_platform.adapters.ticks.questdb_http import QuestdbHttp, address_of
from quant_platform.adapters.ticks.series_rows import picked
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.records import TICK, Depth, EnrichedRecord, encode
from quant_platform.domain.topics import ENRICHED_TICKS
from quant_platform.hosts.servers.fleet import Fleet
from quant_platform.ports.series_store import TICKS, TickRows
from quant_platform.services.market_persistor.rows import tick_rows

SYMBOLS = 100
FLUSHES = (20_000, 50_000, 100_000)
TRANSACTION = 10_000
SERVICE = (sys.executable, "-m", "quant_platform.cli", "service", "market_persistor")


class Rates(NamedTuple):
    """What was measured once."""

    rows_per_second: float
    rows_per_cpu_second: float


class Benchmark:
    """The servers and the ticks."""

    def __init__(self, fleet: Fleet, ticks: int) -> None:
        self.environment = fleet.environment(["kafka", "questdb"])
        self.url = self.environment["QUESTDB_HTTP_URL"]
        self._questdb = QuestdbHttp(address_of(self.url), 30.0)
        self._ticks = ticks
        self.records = made_up(ticks)

    def count(self) -> int:
        """Rows that can be read now."""
        return int(self._questdb.ask("SELECT count() FROM ticks")[0][0])

    def measure(self, write: Callable[[], None], writer: psutil.Process) -> Rates:
        """Rates between the first fifth and the last row, while another thread or process writes."""
        thread = threading.Thread(target=write)
        thread.start()
        first: tuple[int, float, float] | None = None
        while (rows := self.count()) < self._ticks:
            if first is None and rows >= self._ticks // 5:
                first = rows, time.perf_counter(), sum(writer.cpu_times()[:2])
            time.sleep(0.02)
        assert first is not None, "the rows came too fast to be measured: give more of them"
        seconds, cpu = time.perf_counter() - first[1], sum(writer.cpu_times()[:2]) - first[2]
        thread.join()
        return Rates((rows - first[0]) / seconds, (rows - first[0]) / cpu)

    def frames(self, rows: TickRows, size: int) -> Rates:
        """The client's own way, from rows in memory."""
        writer = self._emptied()
        parts = [picked(TICKS, rows, slice(start, start + size)) for start in range(0, self._ticks, size)]

        def write() -> None:
            for part in parts:
                writer.append(TICKS, part)
                writer.flush()
            writer.close()

        return self.measure(write, psutil.Process())

    def service(self, bus: KafkaBus) -> Rates:
        """The service's way, from Kafka."""
        self._emptied().close()
        forget(bus, "market_persistor")
        process = subprocess.Popen(SERVICE, env=os.environ | self.environment, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            json.loads(process.stdout.readline())
            return self.measure(lambda: None, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait()

    def publish(self, bus: KafkaBus) -> None:
        """The ticks onto the bus, as feature_engine puts them there."""
        bus.ensure([ENRICHED_TICKS])
        reader = bus.group_reader("benchmark", "1", ENRICHED_TICKS.name)
        writer = bus.transactional_writer("benchmark")
        for start in range(0, self._ticks, TRANSACTION):
            for record in self.records[start : start + TRANSACTION]:
                writer.send(ENRICHED_TICKS.name, record.symbol, encode(record), TICK)
            writer.commit(reader, {})
        writer.close()
        reader.close()

    def _emptied(self) -> QuestdbWriter:
        self._questdb.ask("DROP TABLE IF EXISTS ticks")
        writer = QuestdbWriter(self.url, timeout_s=60.0)
        writer.prepare()
        return writer


def forget(bus: KafkaBus, group: str) -> None:
    """Drop where a group stands, as soon as the session of its last member is over."""
    while True:
        try:
            return bus.forget_groups([group])
        except UnavailableError:
            time.sleep(0.5)


def made_up(ticks: int) -> list[EnrichedRecord]:
    """Enriched ticks of 100 symbols, in order of time."""
    chance = random.Random(1)
    found = []
    for number in range(ticks):
        paise = chance.randrange(100_000, 300_000, 5)
        sides = [
            [((paise + sign * 5 * level) / 100, chance.randrange(1, 5000)) for level in range(1, 6)] for sign in (-1, 1)
        ]
        found.append(
            EnrichedRecord(
                f"NSE_EQ:SYMBOL{chance.randrange(SYMBOLS):02d}", 1_767_584_700_000_000_000 + number * 10**6, number,
                paise / 100, number, chance.random() * 100, chance.random() * 100, chance.random() * 100,
                chance.random() * 100, 0.1, "B", 0, Depth(*sides),
            )
        )  # fmt: skip
    return found


def main() -> None:
    """Measure all ways in turns; print the medians, and the service's ratio to the client's best."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ticks", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[Rates]] = {}
    with tempfile.TemporaryDirectory() as home:
        fleet = Fleet(Path(home) / "servers", exit_with_parent=True)
        fleet.up(["kafka", "questdb"], ports="free")
        try:
            benchmark = Benchmark(fleet, options.ticks)
            bus = KafkaBus(KafkaOptions(benchmark.environment["KAFKA_BOOTSTRAP_SERVERS"]))
            benchmark.publish(bus)
            rows = tick_rows(benchmark.records)
            for _ in range(options.rounds):
                for size in FLUSHES:
                    found.setdefault(f"frames of {size:,}", []).append(benchmark.frames(rows, size))
                found.setdefault("the service", []).append(benchmark.service(bus))
        finally:
            fleet.down()
    medians = {name: Rates(*map(statistics.median, zip(*rates, strict=True))) for name, rates in found.items()}
    for name, (wall, cpu) in medians.items():
        print(f"{name:>18}: {wall:>9,.0f} rows visible per second, {cpu:>9,.0f} per CPU-second of the writer")
    service = medians.pop("the service").rows_per_second
    print(f"{'ratio to the best':>18}: {service / max(rates.rows_per_second for rates in medians.values()):.2f}")


if __name__ == "__main__":
    main()
