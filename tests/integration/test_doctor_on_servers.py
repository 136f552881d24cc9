"""`quant doctor` on real servers: well, stopped, of another make, behind wrong passwords, and services beside them."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from sqlalchemy import create_engine, inspect

from quant_platform import cli
from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ledger.views import LedgerDatabase
from quant_platform.adapters.ticks.questdb import QuestdbWriter
from quant_platform.domain.commands import Halt
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS, SCANNER_SUGGESTIONS, TOPICS
from quant_platform.hosts import doctor
from quant_platform.hosts.health import Health, answering
from quant_platform.hosts.options import DoctorOptions
from quant_platform.ports.bus import Record
from quant_platform.ports.ledger_store import LedgerBlock, RunRequest
from quant_platform.services.system_doctor.verdict import Level, Verdict
from tests.contracts.bus_rig import commit
from tests.servers import Database, KafkaServer, PostgresServer, QuestdbServer, RealServer, RedisServer

SECRETS = ("POSTGRES_PASSWORD", "QUESTDB_PG_PASSWORD", "AWS_SECRET_ACCESS_KEY")
WRONG = "not-the-password"

Look = Callable[..., dict[str, Verdict]]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Look:
    """Set variables, and have everything judged: part → verdict."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "clock_drift_s", lambda _: None)

    def verdicts(**environment: str) -> dict[str, Verdict]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return {verdict.part: verdict for verdict in doctor.verdicts_on(DoctorOptions())}

    return verdicts


@pytest.fixture
def everything(
    kafka: KafkaServer,
    bus: KafkaBus,
    database: Database,
    empty_questdb: QuestdbServer,
    empty_redis: RedisServer,
    s3: RealServer,
) -> dict[str, str]:
    """All servers, with topics and tables made; the variables that name them."""
    bus.ensure(TOPICS)
    with SqlLedger(database.url) as ledger:
        ledger.begin(RunRequest("default", "paper", "momentum", "{}", None, 20_000_00))
        ledger.finish()
    s3.start()
    named = {
        **kafka.environment,
        **database.environment,
        **empty_questdb.environment,
        **empty_redis.environment,
        **s3.environment,
        "QUANT_KAFKA__PARTITIONS": "3",
    }
    writer = QuestdbWriter(named["QUESTDB_HTTP_URL"])
    writer.prepare()
    writer.close()
    return named


def levels(verdicts: Mapping[str, Verdict], above: Level = Level.NOTE) -> dict[str, Level]:
    return {part: verdict.level for part, verdict in verdicts.items() if verdict.level > above}


def test_servers_that_are_well_need_no_cure_and_no_secret_is_printed(
    everything: dict[str, str], look: Look, capsys: pytest.CaptureFixture[str]
) -> None:
    found = look(**everything)
    assert levels(found) == {}
    assert found["postgres"].what.startswith("version 1")
    assert found["questdb"].what.startswith("version 9.")
    assert found["redis"].what.startswith("version ")
    assert found["topic market.equity.ticks"].what == "3 partitions, kept 7 days"
    assert found["topic feature_engine.changelog"].what == "1 partition, compacted"
    assert found["table service_metrics"].level is Level.OK
    assert found["audit"].what.startswith("the chains of ")
    assert found["server clocks"].level is Level.OK
    assert cli.run_command(["doctor", "--json"]) == 0
    assert cli.run_command(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown.splitlines()[0])["broken"] is False
    of_urls = [urlsplit(everything[name]).password for name in ("QUESTDB_HTTP_URL", "REDIS_URL")]
    secrets = [everything[name] for name in SECRETS] + [secret for secret in of_urls if secret]
    assert len(secrets) >= 4
    assert not [secret for secret in secrets if secret in shown]


def test_a_portfolio_of_the_services_that_is_halted_is_named(
    everything: dict[str, str], look: Look, database: Database
) -> None:
    assert look(**everything)["services' halts"].what == "no portfolio is halted"
    with LedgerDatabase(database.url) as ledger:
        ledger.command(Halt.OUT, "", "local", datetime.now(UTC))
    found = look(**everything)["services' halts"]
    assert found.what == "default is squared off"
    assert "`quant resume --portfolio default --mode distributed`" in found.cure


def test_servers_that_are_stopped_are_named_with_a_cure(
    everything: dict[str, str],
    look: Look,
    kafka: KafkaServer,
    postgres: PostgresServer,
    questdb: QuestdbServer,
    redis_server: RedisServer,
    s3: RealServer,
) -> None:
    servers = (kafka, postgres, questdb, redis_server, s3)
    try:
        for server in servers:
            server.stop()
        found = look(**everything)
    finally:
        for server in servers:
            server.start()
    broken, warned = Level.BROKEN, Level.WARNING
    assert levels(found) == {"kafka": broken, "postgres": broken, "questdb": broken, "redis": warned, "s3": warned}
    assert all(found[part].cure for part in levels(found))
    assert levels(look(**everything)) == {}


def test_a_server_that_hangs_is_reported(everything: dict[str, str], look: Look, postgres: PostgresServer) -> None:
    postgres.pause()
    try:
        found = look(**everything)
    finally:
        postgres.resume()
    assert levels(found) == {"postgres": Level.BROKEN}


def test_wrong_passwords_are_refused_and_not_repeated(everything: dict[str, str], look: Look) -> None:
    def with_password(url: str) -> str:
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.username or ''}:{WRONG}@{parts.hostname}:{parts.port}").geturl()

    found = look(
        **everything
        | {
            "POSTGRES_PASSWORD": WRONG,
            "QUESTDB_HTTP_URL": with_password(everything["QUESTDB_HTTP_URL"]),
            "REDIS_URL": with_password(everything["REDIS_URL"]),
            "AWS_SECRET_ACCESS_KEY": WRONG,
        }
    )
    assert set(levels(found)) == {"postgres", "questdb", "redis", "s3"}
    told = " ".join(f"{found[part].what} {found[part].cure}" for part in levels(found))
    assert WRONG not in told
    for part, cure in (("postgres", "postgres.password"), ("questdb", "questdb.http_url"), ("redis", "redis.url")):
        assert cure in found[part].cure
    assert "objects.secret_access_key" in found["s3"].cure


def test_a_password_that_is_not_set_is_asked_for(everything: dict[str, str], look: Look) -> None:
    found = look(**everything | {"POSTGRES_PASSWORD": ""})
    assert found["postgres"].what == "setting postgres.password is missing"


def test_topics_that_are_missing_or_otherwise_made_are_named(
    everything: dict[str, str], look: Look, bus: KafkaBus, kafka: KafkaServer
) -> None:
    bus.remove([SCANNER_SUGGESTIONS])
    wrong = ConfigResource(
        ResourceType.TOPIC,
        ENRICHED_TICKS.name,
        incremental_configs=[ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)],
    )
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    [future] = admin.incremental_alter_configs([wrong]).values()
    future.result(10)
    found = look(**everything)
    assert set(levels(found)) == {"topic scanner.suggestions", "topic market.enriched.ticks"}
    assert found["topic scanner.suggestions"].what == "missing"
    assert "retention.ms=604800000" in found["topic market.enriched.ticks"].cure


def test_records_that_wait_are_counted_for_each_group(
    everything: dict[str, str], look: Look, bus: KafkaBus, database: Database
) -> None:
    writer = bus.writer()
    for _ in range(5):
        writer.send(EQUITY_TICKS.name, "NSE_EQ:INFY", b"{}", partition=1)
    writer.set_aside(Record(EQUITY_TICKS.name, 1, 0, "tick", 1, "NSE_EQ:INFY", b"{}"), "for a test")
    writer.flush()
    writer.close()
    reader = bus.group_reader("feature_engine", "1", EQUITY_TICKS.name)
    while not reader.poll(1, 0.1):
        pass
    commit(bus, reader, {(EQUITY_TICKS.name, 1): 3})
    reader.close()
    with SqlLedger(database.url) as ledger:
        ledger.begin(RunRequest("second", "paper", "momentum", "{}", None, 20_000_00))
        ledger.commit(LedgerBlock(balance=20_000_00, moment=1, offsets={(EQUITY_TICKS.name, 1): 1}))
    found = look(**everything)
    assert found["lag feature_engine"].what == "2 records of market.equity.ticks, at most 2 in partition 1"
    assert found["dead letters"].what == "set aside so far: 1 in market.equity.ticks.dead"
    assert found["lag strategy_runtime of second"].what.startswith("4 records of market.equity.ticks")


def test_a_transaction_that_nobody_ends_does_not_hide_how_far_a_group_is(
    everything: dict[str, str], look: Look, bus: KafkaBus, kafka: KafkaServer
) -> None:
    writer = bus.writer()
    writer.send(EQUITY_TICKS.name, "NSE_EQ:INFY", b"{}", partition=1)
    writer.flush()
    writer.close()
    reader = bus.group_reader("feature_engine", "1", EQUITY_TICKS.name)
    while not reader.poll(1, 0.1):
        pass
    dying = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": "dying"})
    dying.init_transactions(10)
    dying.begin_transaction()
    dying.send_offsets_to_transaction([TopicPartition(EQUITY_TICKS.name, 1, 1)], reader.membership(), 10)
    found = look(**everything)
    dying.abort_transaction(10)
    reader.close()
    assert found["kafka"].level is Level.OK, found["kafka"]
    assert "lag feature_engine" not in found  # it has committed nothing yet


def test_an_empty_database_is_looked_at_and_not_touched(
    everything: dict[str, str], look: Look, database: Database
) -> None:
    with database.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    found = look(**everything)
    assert (found["schema"].level, found["schema"].what) == (Level.NOTE, "no tables yet")
    engine = create_engine(database.url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_a_schema_of_another_make_and_a_table_that_is_gone_are_broken(
    everything: dict[str, str], look: Look, database: Database
) -> None:
    with database.connect() as connection:
        connection.execute("DROP TABLE scanner_results, executed_orders")
        gone = look(**everything)
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert levels(gone) == {"tables": Level.BROKEN}
    assert gone["tables"].what == "missing: executed_orders, scanner_results"
    newer = look()
    assert newer["schema"].level is Level.BROKEN
    assert "newer than this program's" in newer["schema"].what


def test_a_ledger_that_was_changed_from_outside_is_broken(
    everything: dict[str, str], look: Look, database: Database
) -> None:
    with database.connect() as connection:
        connection.execute("UPDATE audit_log SET what = 'nothing' WHERE seq = 1")
    found = look(**everything)
    assert levels(found) == {"audit": Level.BROKEN}
    assert "row 1 of audit chain 'default'" in found["audit"].what


def test_a_table_of_time_series_of_another_make_is_broken(
    everything: dict[str, str], look: Look, questdb: QuestdbServer
) -> None:
    questdb.ask("DROP TABLE ticks")
    questdb.ask("CREATE TABLE ticks (timestamp TIMESTAMP_NS, symbol SYMBOL) TIMESTAMP(timestamp) PARTITION BY DAY WAL")
    found = look(**everything)
    assert levels(found) == {"table ticks": Level.BROKEN}
    assert "has no column seq" in found["table ticks"].what


@pytest.fixture
def services() -> Iterator[Mapping[str, str]]:
    """A service that works, one that waits, and addresses of what is none and of nothing: name → url."""
    ports: list[int] = []
    working, waiting = Health("feature_engine"), Health("market_scanner")
    working.working()
    waiting.waiting("Kafka is away")
    with answering(working, "127.0.0.1", 0, ports.append), answering(waiting, "127.0.0.1", 0, ports.append):
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        yield {
            "feature_engine": urls[0],
            "market_scanner": urls[1],
            "api_gateway": "http://somebody:secret@127.0.0.1:1",
        }


def test_services_are_asked_how_they_are(services: Mapping[str, str], look: Look, redis_server: RedisServer) -> None:
    found = look(QUANT_API__SERVICES=",".join(f"{name}={url}" for name, url in services.items()))
    assert found["service feature_engine"].what == "ready"
    assert found["service market_scanner"].what == "not ready: Kafka is away"
    assert found["service api_gateway"].level is Level.BROKEN
    assert "secret" not in found["service api_gateway"].what
    assert "kafka" not in found


def test_what_is_no_server_of_its_kind_is_reported(
    look: Look, redis_server: RedisServer, database: Database, services: Mapping[str, str]
) -> None:
    host, port = urlsplit(redis_server.environment["REDIS_URL"]).hostname, database.environment["POSTGRES_PORT"]
    found = look(
        KAFKA_BOOTSTRAP_SERVERS=f"{host}:{port}",
        REDIS_URL=f"redis://{host}:{port}/0",
        QUESTDB_HTTP_URL=services["feature_engine"],
        S3_ENDPOINT_URL=services["feature_engine"],
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        **{name: value for name, value in database.environment.items() if name != "POSTGRES_PORT"},
        POSTGRES_PORT=str(urlsplit(services["feature_engine"]).port),
    )
    assert set(levels(found)) == {"kafka", "postgres", "questdb", "redis", "s3"}
