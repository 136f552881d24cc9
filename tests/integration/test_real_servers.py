"""The real servers that the tests use: what a fixture gives is fresh, and a server survives what tests do to it."""

from pathlib import Path

import pytest
from psycopg import OperationalError

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.topics import Topic
from quant_platform.hosts.servers.fleet import Fleet
from tests import servers
from tests.servers import Database, KafkaServer

TOPIC = Topic("things", 2)


def read_all(bus: KafkaBus) -> list[bytes]:
    return [record.value for record in bus.history(TOPIC.name, {0: 0, 1: 0})]


@pytest.mark.parametrize("turn", ["first", "second"])
def test_every_test_finds_an_empty_bus(bus: KafkaBus, kafka: KafkaServer, turn: str) -> None:
    with pytest.raises(UnavailableError, match="topic things is not there yet"):
        bus.partitions(TOPIC.name)
    bus.ensure([TOPIC])
    assert read_all(bus) == []
    writer = bus.writer()
    writer.send(TOPIC.name, "", turn.encode(), partition=0)
    writer.flush()
    reader = bus.group_reader("readers", "one", TOPIC.name)
    records = [reader.poll(1, 10.0)[0]]
    reader.commit({(TOPIC.name, 0): 1})
    reader.close()
    writer.close()
    assert [record.value for record in records] == [turn.encode()]


def test_kafka_keeps_what_it_took_when_it_is_killed(bus: KafkaBus, kafka: KafkaServer) -> None:
    bus.ensure([TOPIC])
    writer = bus.writer()
    writer.send(TOPIC.name, "", b"durable", partition=1)
    writer.flush()
    kafka.kill()
    kafka.start()
    assert read_all(bus) == [b"durable"]
    writer.close()


@pytest.mark.parametrize("turn", ["first", "second"])
def test_every_test_finds_an_empty_database(database: Database, turn: str) -> None:
    with database.connect() as connection:
        connection.execute("CREATE TABLE things (name TEXT)")
        connection.execute("INSERT INTO things VALUES (%s)", [turn])
    database.server.restart()
    with database.connect() as connection:
        assert connection.execute("SELECT name FROM things").fetchall() == [(turn,)]


def test_postgres_keeps_what_it_took_when_it_is_killed(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("CREATE TABLE things AS SELECT 7 AS number")
    database.server.kill()
    with pytest.raises(OperationalError):
        database.connect()
    database.server.start()
    with database.connect() as connection:
        assert connection.execute("SELECT number FROM things").fetchall() == [(7,)]


@pytest.mark.parametrize(("forbidden", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_a_program_that_cannot_be_had_skips_the_test_and_fails_it_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: bool, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("QUANT_SERVERS_CACHE", str(tmp_path))
    monkeypatch.setattr(servers, "FORBIDDEN_TO_SKIP", forbidden)
    with pytest.raises(outcome, match=r"kafka cannot be had.*Java 17"):
        servers.started(Fleet(tmp_path / "servers"), "kafka")
