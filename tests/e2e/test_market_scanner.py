"""market_scanner on a real exchange, Kafka and Postgres: the embedded host's picks, once a scan time, whatever dies."""

import signal
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import msgspec
import pytest

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.ledger.views import LedgerDatabase
from quant_platform.domain.instruments import nifty_100
from quant_platform.domain.session import session_on
from quant_platform.domain.ticks import NS_PER_MINUTE
from quant_platform.domain.topics import EQUITY_TICKS, SCANNER_SUGGESTIONS
from quant_platform.hosts.faults import VARIABLE
from quant_platform.hosts.home import HomeFolder
from quant_platform.hosts.scans import moments_of
from quant_platform.ports.bus import Record
from quant_platform.services.strategy_runtime.schema import TradingSettings
from tests.e2e.platform_rig import quant
from tests.e2e.service_rig import eventually, exchange, service
from tests.servers import Database, KafkaServer

pytestmark = pytest.mark.slow

DAY = "2025-10-21"
"""Muhurat trading: an hour."""
DEMO = ["--date", DAY, "--seed", "3"]


def moments() -> list[int]:
    session = session_on(date.fromisoformat(DAY))
    assert session is not None
    return moments_of(session, nifty_100(), TradingSettings(), 5)


@pytest.fixture
def environment(kafka: KafkaServer, bus: KafkaBus, database: Database) -> Mapping[str, str]:
    bus.ensure([EQUITY_TICKS, SCANNER_SUGGESTIONS])
    return kafka.environment | database.environment


def suggestions(bus: KafkaBus) -> list[Record]:
    return list(bus.history(SCANNER_SUGGESTIONS.name, {0: 0}))


def test_killed_between_postgres_and_kafka_it_stores_and_suggests_what_the_embedded_host_picks(
    environment: Mapping[str, str], bus: KafkaBus, database: Database, tmp_path: Path
) -> None:
    killed_at, wanted = 3, moments()[:6]
    home = tmp_path / "home"
    assert quant("up", *DEMO, "--speed", "max", "--until-close", "--home", str(home), cwd=tmp_path).code == 0
    with exchange(*DEMO, "--speed", "max", folder=tmp_path) as market, LedgerDatabase(database.url) as stored:
        environment = {**environment, **market.environment}
        dying = {**environment, VARIABLE: f"scan stored:{killed_at}"}
        with service("market_scanner", folder=tmp_path, environment=dying) as scanner:
            for number, moment in enumerate(wanted[:killed_at], 1):
                market.advance(moment)
                eventually(lambda moment=moment: stored.scan_of(moment))
                if number < killed_at:
                    eventually(lambda number=number: len(suggestions(bus)) == number)
            scanner.wait_until_killed()
        assert len(suggestions(bus)) == killed_at - 1
        market.advance(wanted[killed_at - 1] + NS_PER_MINUTE)  # scanned again, it would find other quotes
        with service("market_scanner", folder=tmp_path, environment=environment):
            for number, moment in enumerate(wanted[killed_at - 1 :], killed_at):
                market.advance(moment)
                eventually(lambda number=number: len(suggestions(bus)) == number)
        with LedgerDatabase(HomeFolder(home).ledger) as embedded:
            picks = {moment: embedded.scan_of(moment) for moment in wanted}
        assert {moment: stored.scan_of(moment) for moment in wanted} == picks
    with database.connect() as connection:
        rows = connection.execute("SELECT timestamp FROM scanner_results").fetchall()
    assert list(Counter(rows).values()) == [5] * len(wanted)
    told = [msgspec.json.decode(record.value) for record in suggestions(bus)]
    assert told == [[pick.symbol for pick in picks[moment]] for moment in wanted]


def test_a_second_run_of_a_simulated_day_is_scanned_anew(
    environment: Mapping[str, str], bus: KafkaBus, database: Database, tmp_path: Path
) -> None:
    first = moments()[0]
    picked = []
    for number, seed in enumerate(("3", "4"), 1):
        with exchange("--date", DAY, "--seed", seed, "--speed", "max", folder=tmp_path) as market:
            environment = {**environment, **market.environment}
            with service("market_scanner", folder=tmp_path, environment=environment) as scanner:
                scanner.wait_until_ready()
                market.advance(first)
                eventually(lambda number=number: len(suggestions(bus)) == number)
        with LedgerDatabase(database.url) as stored:
            picked.append(stored.scan_of(first))
    assert picked[0] != picked[1]


def test_the_ingestor_subscribes_what_is_suggested(
    environment: Mapping[str, str], bus: KafkaBus, database: Database, tmp_path: Path
) -> None:
    with exchange(*DEMO, "--speed", "20", folder=tmp_path) as market:
        environment = {**environment, **market.environment}
        with service("upstox_ingestor", folder=tmp_path, environment=environment) as ingestor:
            ingestor.wait_until_ready()
            with service("market_scanner", folder=tmp_path, environment=environment):
                [told] = eventually(lambda: suggestions(bus)[:1])
                picked = set(msgspec.json.decode(told.value))
                start = dict.fromkeys(range(bus.partitions(EQUITY_TICKS.name)), 0)
                eventually(lambda: picked <= {record.key for record in bus.history(EQUITY_TICKS.name, start)})


def test_it_waits_visibly_for_its_exchange_and_for_a_token_and_stops_when_told(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    with exchange(*DEMO, "--speed", "max", folder=tmp_path) as market:
        for beside, reason in (
            ({"UPSTOX_BASE_URL": "http://127.0.0.1:1", "UPSTOX_ACCESS_TOKEN": "any"}, "does not answer"),
            ({"UPSTOX_BASE_URL": market.url, "UPSTOX_ACCESS_TOKEN": "another"}, "refuses the token"),
            ({}, "access token"),
        ):
            with service("market_scanner", folder=tmp_path, environment={**environment, **beside}) as scanner:
                eventually(lambda scanner=scanner, reason=reason: reason in scanner.state["reason"])
                assert not scanner.state["ready"]
                scanner.process.send_signal(signal.SIGTERM)
                assert scanner.process.wait(30) == 0


def test_a_token_that_comes_into_the_dotenv_file_is_taken_without_a_restart(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    with exchange(*DEMO, "--speed", "max", folder=tmp_path) as market:
        environment = {**environment, "UPSTOX_BASE_URL": market.url}
        with service("market_scanner", folder=tmp_path, environment=environment) as scanner:
            eventually(lambda: "no Upstox access token" in scanner.state["reason"])
            (tmp_path / ".env").write_text(f"UPSTOX_ACCESS_TOKEN={market.token}\n")
            scanner.wait_until_ready()


def test_a_scan_that_falls_due_while_kafka_or_postgres_is_away_is_made_up_for(
    environment: Mapping[str, str], bus: KafkaBus, kafka: KafkaServer, database: Database, tmp_path: Path
) -> None:
    wanted = moments()[:2]
    with exchange(*DEMO, "--speed", "max", folder=tmp_path) as market:
        environment = {**environment, **market.environment}
        with service("market_scanner", folder=tmp_path, environment=environment) as scanner:
            scanner.wait_until_ready()
            for number, (server, moment) in enumerate(zip((kafka, database.server), wanted, strict=True), 1):
                server.stop()
                market.advance(moment)
                eventually(lambda scanner=scanner: not scanner.state["ready"])
                server.start()
                eventually(lambda number=number: len(set(map(place, suggestions(bus)))) == number)
                scanner.wait_until_ready()
        with LedgerDatabase(database.url) as stored:
            picks = [[pick.symbol for pick in stored.scan_of(moment)] for moment in wanted]
    told = {place(record): msgspec.json.decode(record.value) for record in suggestions(bus)}
    assert list(told.values()) == picks


def place(record: Record) -> str:
    """The scan time, by which a suggestion that was told twice is known."""
    return record.key


def test_the_distributed_platform_trades_what_its_scanner_picks(
    environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = ["up", "--mode", "distributed", *DEMO, "--speed", "120", "--until-close", "--json"]
    numbers = quant(*command, "--home", str(tmp_path / "home"), cwd=tmp_path).numbers
    assert numbers["scans"] > 0
    assert numbers["fills"] > 0
