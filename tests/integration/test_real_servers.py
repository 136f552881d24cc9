"""The real servers that the tests use: what a fixture gives is fresh, and a server survives what tests do to it."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import obstore
import psutil
import psycopg
import pytest
from obstore.store import S3Store
from psycopg import OperationalError
from redis import Redis
from redis.exceptions import AuthenticationError

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.topics import Topic
from quant_platform.hosts.servers.fleet import Fleet
from quant_platform.hosts.servers.kafka import Kafka
from quant_platform.hosts.servers.server import Place
from tests import servers
from tests.contracts.bus_rig import commit
from tests.servers import Database, KafkaServer, QuestdbServer, RealServer, RedisServer

TOPIC = Topic("things", 2)


def eventually(ask: Callable[[], object], wanted: object) -> bool:
    deadline = time.monotonic() + 30
    while ask() != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return ask() == wanted


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
    commit(bus, reader, {(TOPIC.name, 0): 1})
    reader.close()
    writer.close()
    assert [record.value for record in records] == [turn.encode()]


def test_data_that_a_later_kafka_made_is_refused_with_a_cure(tmp_path: Path) -> None:
    servers.require_programs("kafka")
    place = Place(tmp_path, {"broker": 9092, "controller": 9093}, {})
    place.data.mkdir()
    (place.data / "meta.properties").touch()
    (tmp_path / "formatted-by").write_text("99.1.0", "utf-8")
    with pytest.raises(UnavailableError, match=r"Kafka 99\.1\.0 made .*, which Kafka .* cannot read — .* --purge"):
        Kafka().launch(place)


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


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_finds_an_empty_questdb(empty_questdb: QuestdbServer, turn: int) -> None:
    empty_questdb.ask(
        "CREATE TABLE things (timestamp TIMESTAMP, number LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    empty_questdb.ask(f"INSERT INTO things VALUES (now(), {turn})")
    empty_questdb.kill()
    empty_questdb.start()
    assert eventually(lambda: empty_questdb.ask("SELECT number FROM things"), [[turn]])


def test_questdb_lets_nobody_in_without_a_password_and_its_reader_only_read(empty_questdb: QuestdbServer) -> None:
    empty_questdb.ask("CREATE TABLE things (number LONG)")
    url = httpx.URL(empty_questdb.environment["QUESTDB_HTTP_URL"]).copy_with(path="/exec", username="", password="")
    assert httpx.get(url, params={"query": "SELECT 1"}).status_code == 401
    wanted = empty_questdb.settings.questdb
    assert wanted.pg_password is not None
    login = f"host={wanted.pg_host} port={wanted.pg_port} user={wanted.pg_user} dbname=qdb"
    with pytest.raises(OperationalError, match="password"):
        psycopg.connect(f"{login} password=quest")
    with psycopg.connect(f"{login} password={wanted.pg_password.get_secret_value()}", autocommit=True) as connection:
        assert connection.execute("SELECT count() FROM things").fetchall() == [(0,)]
        for statement in ("INSERT INTO things VALUES (1)", "DROP TABLE things", "CREATE TABLE others (number LONG)"):
            with pytest.raises(psycopg.Error, match="denied"):
                connection.execute(statement)


def test_questdb_makes_no_table_or_column_for_a_name_that_it_does_not_know(empty_questdb: QuestdbServer) -> None:
    empty_questdb.ask(
        "CREATE TABLE things (timestamp TIMESTAMP, number LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    url = httpx.URL(empty_questdb.environment["QUESTDB_HTTP_URL"]).copy_with(path="/write")
    assert httpx.post(url, content=b"things number=1i\n").status_code == 204
    for line, named in ((b"thinks number=1i\n", "thinks"), (b"things numbr=1i\n", "numbr")):
        refused = httpx.post(url, content=line)
        assert refused.status_code == 400
        assert named in refused.text


@pytest.mark.parametrize("turn", ["first", "second"])
def test_every_test_finds_an_empty_redis_that_keeps_its_keys_over_a_restart(
    empty_redis: RedisServer, turn: str
) -> None:
    with empty_redis.client() as client:
        assert client.dbsize() == 0
        client.set("thing", turn)
    empty_redis.restart()
    with empty_redis.client() as client:
        assert client.get("thing") == turn.encode()
    port = urlsplit(empty_redis.environment["REDIS_URL"]).port
    assert port is not None
    with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
        stranger.get("thing")


def test_s3_keeps_an_object_when_it_is_killed(s3: RealServer) -> None:
    wanted = s3.settings.objects
    assert wanted.access_key_id is not None
    assert wanted.secret_access_key is not None
    store = S3Store(
        "things",
        endpoint=wanted.endpoint_url,
        access_key_id=wanted.access_key_id.get_secret_value(),
        secret_access_key=wanted.secret_access_key.get_secret_value(),
        client_options={"allow_http": True},
    )
    assert httpx.put(obstore.sign(store, "PUT", "", timedelta(minutes=1))).is_success
    obstore.put(store, "thing", b"kept")
    s3.kill()
    s3.start()
    assert obstore.get(store, "thing").bytes() == b"kept"
    assert httpx.get(f"{wanted.endpoint_url}/things/thing").status_code == 403


@pytest.mark.usefixtures("kafka", "postgres", "questdb", "redis_server", "s3")
def test_passwords_stand_in_no_log_and_on_no_command_line_and_files_with_one_are_closed_to_others(fleet: Fleet) -> None:
    fleet.up()
    known = fleet.environment()
    secrets = [known[name] for name in known if "PASSWORD" in name or "SECRET" in name]
    secrets += [urlsplit(known[name]).password or "" for name in ("QUESTDB_HTTP_URL", "REDIS_URL")]
    assert len(secrets) == 5
    assert all(len(secret) >= 24 for secret in secrets)
    states = fleet.status()
    assert [state.state for state in states] == ["running"] * 5
    for state in states:
        process = psutil.Process(state.pid)
        shown = " ".join(argument for each in (process, *process.children()) for argument in each.cmdline())
        assert not [secret for secret in secrets if secret in shown + state.log.read_text("utf-8")], state.name
        assert state.log.stat().st_mode & 0o077 == 0
        assert (state.log.parent / state.name).stat().st_mode & 0o077 == 0
    assert (states[0].log.parent / "servers.json").stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("kafka", "postgres", "questdb", "redis_server", "s3")
def test_every_server_listens_on_this_machine_alone(fleet: Fleet) -> None:
    fleet.up()
    for state in fleet.status():
        process = psutil.Process(state.pid)
        family = (process, *process.children())
        listening = [c for each in family for c in each.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening, state.name
        assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, state.name


@pytest.mark.parametrize(("forbidden", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_a_program_that_cannot_be_had_skips_the_test_and_fails_it_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: bool, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(servers, "FORBIDDEN_TO_SKIP", forbidden)
    with pytest.raises(outcome, match="redis cannot be had: redis-server is not installed"):
        servers.require_programs("redis", "kafka")
