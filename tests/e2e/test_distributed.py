"""Every service a process over real Kafka and PostgreSQL: the numbers are those of a backtest."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.topics import ORDER_EVENTS
from tests.e2e.distributed_rig import Recorded, as_numbers, runtime_of, up_distributed
from tests.e2e.platform_rig import FEED_KEYS, RULE_KEYS, RUN_KEYS, backtest, by_the_rules, candle_file, depth_file
from tests.servers import Database, KafkaServer

pytestmark = pytest.mark.usefixtures("bus")  # an empty Kafka

MUHURAT = "2025-10-21"
"""A session of an hour."""


def require_equal_to_a_backtest(data: Path, kafka: KafkaServer, database: Database, *more: str, engines: int) -> None:
    tested = backtest(data, *more)
    environment = kafka.environment | database.environment
    several = ("--feature-engines", str(engines))
    numbers = up_distributed(data, data.parent / "home", environment, *several, *more).numbers
    assert by_the_rules(numbers) == by_the_rules(tested)
    assert set(numbers) == {*RULE_KEYS, *RUN_KEYS, *FEED_KEYS, "restarts"}
    assert (numbers["mode"], numbers["source"], numbers["obi"]) == ("distributed", "replay", tested["obi"])
    assert (numbers["restarts"], numbers["feed"]["gaps"]) == (0, 0)
    assert tested["orders"] > 100
    require_every_order_told(kafka.bus(), numbers)


def require_every_order_told(bus: KafkaBus, numbers: dict[str, Any]) -> None:
    """Of a run that is over, the outbox keeps nothing back."""
    topic = ORDER_EVENTS.name
    records = bus.history(topic, dict.fromkeys(range(bus.partitions(topic)), 0))
    told = Counter(json.loads(record.value)["what"] for record in records)
    assert (told["accepted"], told["filled"]) == (numbers["orders"], numbers["fills"])


def test_depth_is_traded_like_a_backtest(tmp_path: Path, kafka: KafkaServer, database: Database) -> None:
    require_equal_to_a_backtest(depth_file(tmp_path / "depth.parquet"), kafka, database, engines=2)


def test_candles_are_traded_like_a_backtest(tmp_path: Path, kafka: KafkaServer, database: Database) -> None:
    data = candle_file(tmp_path / "candles.parquet")
    require_equal_to_a_backtest(data, kafka, database, "--set", "max_positions=5", "--set", "rsi_period=9", engines=1)


@pytest.mark.slow
def test_a_demo_day_traded_again_from_its_topics_gives_the_same_ledger(
    tmp_path: Path, kafka: KafkaServer, database: Database
) -> None:
    recorded = Recorded(kafka, database, tmp_path)
    options = ["--date", MUHURAT, "--speed", "300", "--until-close", "--json", "--home", str(tmp_path / "home")]
    numbers = recorded.run_up(*options, "--portfolio", "day").numbers
    recorded.forget_features()
    with (
        recorded.service("feature_engine"),
        recorded.service("strategy_runtime", *runtime_of("again"), "--mode", "demo") as runtime,
    ):
        assert runtime.process.wait(120) == 0
    assert numbers["fills"] > 2
    assert as_numbers(recorded.summary("again")) == as_numbers(recorded.summary("day"))
    assert recorded.summary("again").ledger_sha256 == numbers["ledger_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "capital", "engines"),
    [
        ("candles_1m_TCS_2025-01.parquet", "100000", 1),
        ("candles_1m_2021-03-30_2021-05-07.parquet", "20000", 3),
        ("ticks_depth_synthetic.parquet", "200000", 1),
        ("ticks_depth_synthetic.parquet", "200000", 3),
    ],
)
def test_real_files_are_traded_like_a_backtest(
    shared_data: Path, tmp_path: Path, kafka: KafkaServer, database: Database, file: str, capital: str, engines: int
) -> None:
    data = tmp_path / file
    data.symlink_to(shared_data / file)
    require_equal_to_a_backtest(data, kafka, database, "--capital", capital, engines=engines)
