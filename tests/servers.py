"""Real servers for the tests: each started once a session on free ports of a temporary home, and ended with it."""

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psycopg
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis import Redis

from quant_platform.adapters.bus.kafka import KafkaBus, KafkaOptions
from quant_platform.domain.errors import UnavailableError
from quant_platform.hosts.config import USUAL_NAMES, Settings
from quant_platform.hosts.servers import processes
from quant_platform.hosts.servers.fleet import SERVERS, Fleet
from quant_platform.hosts.servers.processes import ProcessMark

FORBIDDEN_TO_SKIP = os.environ.get("CI") == "true"
GONE_WITHIN_S = 60.0
ANSWER_WITHIN_S = 5.0
SERVICE_GROUPS = ("feature_engine", "market_persistor", "market_persistor.greeks")


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings that these variables make, and nothing of this machine."""
    sections: dict[str, dict[str, str]] = {}
    for name, value in environment.items():
        section, key = USUAL_NAMES[name]
        sections.setdefault(section, {})[key] = value
    return Settings.model_validate(sections)


class RealServer:
    """One server of the fleet, to be used and to be ill-treated. Whoever ends it starts it again."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._fleet = fleet
        self._name = name

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which the platform looks for it, passwords included."""
        return self._fleet.environment([self._name])

    @property
    def settings(self) -> Settings:
        return settings_of(self.environment)

    @property
    def process(self) -> ProcessMark:
        found = self._fleet.process(self._name)
        assert found is not None, f"{self._name} was ended"
        return found

    def start(self) -> None:
        """Start it on the same ports and data, unless it runs; returns when it answers."""
        self._fleet.up([self._name])

    def stop(self) -> None:
        """End it gracefully."""
        self._fleet.down([self._name])

    def kill(self) -> None:
        """SIGKILL, to it and its children."""
        processes.kill(self.process)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it look hung; returns when every thread of it stands still, so that it takes nothing more."""
        processes.pause(self.process)
        while not all(state.startswith("T") for state in self._thread_states()):
            time.sleep(0.01)

    def resume(self) -> None:
        processes.resume(self.process)

    def _thread_states(self) -> list[str]:
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        return [thread.read_text().rpartition(") ")[2] for thread in threads]


class KafkaServer(RealServer):
    """Kafka; a test takes the fixture ``bus``, which empties it."""

    @property
    def bootstrap_servers(self) -> str:
        return self.environment["KAFKA_BOOTSTRAP_SERVERS"]

    def bus(self, partitions: int = 3, session_timeout_ms: int = 6000) -> KafkaBus:
        return KafkaBus(KafkaOptions(self.bootstrap_servers, partitions, session_timeout_ms))

    def clear(self) -> None:
        """Remove every topic and what was committed in it, and wait until no service counts as running any more."""
        self._remove_topics()
        if not self._has_forgotten_services():
            # Kafka looks once whether a session has ended, and a look that fails leaves a dead member in its group for
            # ever (``GroupMetadataManager`` sets that timer without a retry). A new process looks again.
            self.restart()
            has_forgotten = self._has_forgotten_services()
            assert has_forgotten, f"a service of an earlier test still runs: {self._members()}"

    def _remove_topics(self) -> None:
        admin = self._admin()
        deadline = time.monotonic() + GONE_WITHIN_S
        refusals: list[str] = []
        while names := [name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")]:
            assert time.monotonic() < deadline, f"topics that will not go: {names}, because of {refusals}"
            refusals.clear()
            # Asked again soon: a broker that has just been hung once kept such a request for 40 s without an answer.
            for future in admin.delete_topics(names, request_timeout=ANSWER_WITHIN_S).values():
                try:
                    future.result()
                except KafkaException as refusal:  # gone already, since the list was old; or no answer
                    refusals.append(str(refusal))

    def _has_forgotten_services(self) -> bool:
        """Drop where the services' groups stand; tells whether it could within a minute."""
        deadline = time.monotonic() + GONE_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(UnavailableError):  # a killed one is a member until its session ends
                self.bus().forget_groups(SERVICE_GROUPS)
                return True
            time.sleep(0.2)
        return False

    def _members(self) -> list[str]:
        asked = self._admin().describe_consumer_groups(list(SERVICE_GROUPS), request_timeout=ANSWER_WITHIN_S)
        return [f"{group}: {member.member_id}" for group, told in asked.items() for member in told.result().members]

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})


class PostgresServer(RealServer):
    """PostgreSQL; a test takes the fixture ``database``, which is its own."""

    def connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        wanted = self.settings.postgres
        assert wanted.password is not None
        return psycopg.connect(
            host=wanted.host, port=wanted.port, user=wanted.user, password=wanted.password.get_secret_value(),
            dbname=database, autocommit=True, connect_timeout=5,
        )  # fmt: skip


class QuestdbServer(RealServer):
    """QuestDB; a test takes the fixture ``empty_questdb``."""

    def ask(self, statement: str) -> list[list[object]]:
        """One statement over HTTP, as the user who may do everything; returns its rows."""
        url = httpx.URL(self.environment["QUESTDB_HTTP_URL"])
        answer = httpx.get(url.copy_with(path="/exec"), params={"query": statement}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json().get("dataset", [])

    def clear(self) -> None:
        """Drop every table."""
        for (name,) in self.ask("SELECT table_name FROM tables()"):
            self.ask(f"DROP TABLE '{name}'")


class RedisServer(RealServer):
    """Redis; a test takes the fixture ``empty_redis``."""

    def client(self) -> Redis:
        return Redis.from_url(self.environment["REDIS_URL"])


class Database:
    """An empty database of its own for one test."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def environment(self) -> dict[str, str]:
        return self.server.environment | {"POSTGRES_DB": self.name}

    @property
    def settings(self) -> Settings:
        return settings_of(self.environment)

    @property
    def url(self) -> str:
        """For SQLAlchemy, the password in it."""
        env = self.environment
        return (
            f"postgresql+psycopg://{env['POSTGRES_USER']}:{env['POSTGRES_PASSWORD']}"
            f"@{env['POSTGRES_HOST']}:{env['POSTGRES_PORT']}/{self.name}"
        )

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return self.server.connect(self.name)


def require_programs(*names: str) -> None:
    """Where a server's program cannot be had, skip the test, or fail it where nothing may be skipped."""
    for name in names:
        try:
            SERVERS[name].fetch()
        except UnavailableError as error:
            if FORBIDDEN_TO_SKIP:
                pytest.fail(f"CI=true, and {name} cannot be had: {error}", pytrace=False)
            pytest.skip(f"{name} cannot be had: {error}")


def started(fleet: Fleet, name: str) -> Fleet:
    require_programs(name)
    fleet.up([name], ports="free")
    return fleet


@contextlib.contextmanager
def temporary_home() -> Iterator[Path]:
    """A home that PostgreSQL can enter as well, which runs as another user where we are root."""
    home = Path(tempfile.mkdtemp(prefix="quant-tests-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Where the servers of this session live; the kernel ends them with us, however we end."""
    with temporary_home() as home:
        fleet = Fleet(home / "servers", exit_with_parent=True)
        try:
            yield fleet
        finally:
            fleet.down()


@pytest.fixture(scope="session")
def kafka(fleet: Fleet) -> KafkaServer:
    """Kafka, with whatever is in it; ``bus`` is an empty one."""
    return KafkaServer(started(fleet, "kafka"), "kafka")


@pytest.fixture(scope="session")
def postgres(fleet: Fleet) -> PostgresServer:
    """PostgreSQL, with whatever is in it; ``database`` is an empty one."""
    return PostgresServer(started(fleet, "postgres"), "postgres")


@pytest.fixture(scope="session")
def questdb(fleet: Fleet) -> QuestdbServer:
    """QuestDB, with whatever is in it; ``empty_questdb`` has no tables."""
    return QuestdbServer(started(fleet, "questdb"), "questdb")


@pytest.fixture(scope="session")
def redis_server(fleet: Fleet) -> RedisServer:
    """Redis, with whatever is in it; ``empty_redis`` has no keys."""
    return RedisServer(started(fleet, "redis"), "redis")


@pytest.fixture(scope="session")
def s3(fleet: Fleet) -> RealServer:
    """MinIO; a test makes its own bucket."""
    return RealServer(started(fleet, "minio"), "minio")


@pytest.fixture
def bus(kafka: KafkaServer) -> KafkaBus:
    """An empty Kafka that runs, whatever the test before did to it; topics get three partitions."""
    kafka.start()
    kafka.clear()
    return kafka.bus()


@contextlib.contextmanager
def database_on(postgres: PostgresServer) -> Iterator[Database]:
    """An empty database of a PostgreSQL that runs, dropped after the block."""
    name = f"test_{uuid.uuid4().hex}"
    postgres.start()
    with postgres.connect() as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield Database(postgres, name)
    postgres.start()
    with postgres.connect() as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """A database of the test's own."""
    with database_on(postgres) as found:
        yield found


@pytest.fixture
def empty_questdb(questdb: QuestdbServer) -> QuestdbServer:
    """A QuestDB that runs, without a table."""
    questdb.start()
    questdb.clear()
    return questdb


@pytest.fixture
def empty_redis(redis_server: RedisServer) -> RedisServer:
    """A Redis that runs, without a key."""
    redis_server.start()
    with redis_server.client() as client:
        client.flushall()
    return redis_server
