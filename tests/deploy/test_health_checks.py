"""The health checks of the compose file, run as they stand against real servers; only the port is another."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from quant_platform.hosts.health import Health, answering
from quant_platform.hosts.servers.questdb import Questdb
from quant_platform.hosts.servers.server import ADDRESS, Place
from tests.deploy.compose_file import DOCUMENT, OURS, SERVICES, environment, health_command
from tests.servers import KafkaServer, PostgresServer, RealServer, require_programs

POSTGRES_PROGRAMS = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))


def is_healthy(command: Sequence[str], port_inside: int, port: int, **variables: str) -> bool:
    """Run a check on another port than the container's; it must end by itself, as the engine demands."""
    arguments = [word.replace(str(port_inside), str(port)) for word in command]
    assert arguments != list(command)
    path = os.pathsep.join([os.environ["PATH"], *POSTGRES_PROGRAMS])
    arguments[0] = sys.executable if arguments[0] == "python" else arguments[0]
    assert shutil.which(arguments[0], path=path), f"{arguments[0]} is not here to be run"
    silent = subprocess.DEVNULL
    variables |= {"PATH": path}
    done = subprocess.run(arguments, env=variables, stdout=silent, stderr=silent, timeout=30, check=False)
    return done.returncode == 0


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers: a server that hangs."""
    with socket.create_server((ADDRESS, 0)) as listener:
        yield listener.getsockname()[1]


class Answering(BaseHTTPRequestHandler):
    """Answers what the test wants to its path, and 404 to all others."""

    path_known = ""
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == self.path_known else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output clean."""


@pytest.fixture
def web_server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer((ADDRESS, 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_kafkas_check_tells_a_broker_from_whatever_else_listens(
    kafka: KafkaServer, web_server: ThreadingHTTPServer, silent_port: int, closed_port: int
) -> None:
    kafka.start()
    command = health_command("kafka")
    assert is_healthy(command, 9092, int(kafka.bootstrap_servers.rpartition(":")[2]))
    assert not is_healthy(command, 9092, web_server.server_port)
    assert not is_healthy(command, 9092, silent_port)
    assert not is_healthy(command, 9092, closed_port)


def test_postgress_check_knows_a_server_that_takes_questions(postgres: PostgresServer, closed_port: int) -> None:
    postgres.start()
    command = health_command("postgres")
    assert is_healthy(command, 5432, postgres.settings.postgres.port)
    assert not is_healthy(command, 5432, closed_port)


def test_redis_starts_with_the_files_configuration_and_its_check_logs_in(tmp_path: Path, closed_port: int) -> None:
    require_programs("redis")
    content = DOCUMENT["configs"]["redis"]["content"]
    written = re.sub(r"\$\{.*\}", "secret", content).replace("/data", str(tmp_path))
    assert written.count("secret") == written.count(str(tmp_path)) == 1
    (tmp_path / "redis.conf").write_text(written, "utf-8")
    program = SERVICES["redis"]["command"][0]
    started = subprocess.Popen(
        [program, str(tmp_path / "redis.conf"), "--bind", ADDRESS, "--port", str(closed_port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    command = health_command("redis")
    try:
        give_up = time.monotonic() + 60
        while not is_healthy(command, 6379, closed_port, REDISCLI_AUTH="secret"):
            assert started.poll() is None, "Redis ended"
            assert time.monotonic() < give_up
        assert not is_healthy(command, 6379, closed_port, REDISCLI_AUTH="another")
    finally:
        started.kill()
        started.wait()
    assert not is_healthy(command, 6379, closed_port, REDISCLI_AUTH="secret")


def test_minios_check_knows_a_server_that_can_write(s3: RealServer) -> None:
    s3.start()
    assert is_healthy(health_command("minio"), 9000, urlsplit(s3.environment["S3_ENDPOINT_URL"]).port or 0)


def test_questdb_starts_with_the_files_environment_and_its_check_needs_no_password(tmp_path: Path) -> None:
    require_programs("questdb")
    (tmp_path / "questdb").mkdir()
    with socket.create_server((ADDRESS, 0)) as http, socket.create_server((ADDRESS, 0)) as sql:
        ports = {"http": http.getsockname()[1], "sql": sql.getsockname()[1]}
    server = Questdb()
    place = Place(tmp_path / "questdb", ports, dict.fromkeys(server.passwords, "secret"))
    launch = server.launch(place)
    given = {name: re.sub(r"\$\{.*\}", "secret", value) for name, value in environment("questdb").items()}
    started = subprocess.Popen(
        launch.command, env={**os.environ, **launch.environment, **given},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        give_up = time.monotonic() + 60
        while not is_healthy(health_command("questdb"), 9000, ports["http"]):
            assert started.poll() is None, "QuestDB ended"
            assert time.monotonic() < give_up
        server.check(place)
    finally:
        started.kill()
        started.wait()


@pytest.mark.parametrize(
    ("service", "path", "status"), [("questdb", "/ping", 204), ("minio", "/minio/health/cluster", 200)]
)
def test_checks_over_http_want_the_right_path_and_status(
    service: str,
    path: str,
    status: int,
    web_server: ThreadingHTTPServer,
    silent_port: int,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = health_command(service)
    monkeypatch.setattr(Answering, "path_known", path)
    monkeypatch.setattr(Answering, "status", status)
    assert is_healthy(command, 9000, web_server.server_port)
    monkeypatch.setattr(Answering, "status", 503)
    assert not is_healthy(command, 9000, web_server.server_port)
    assert not is_healthy(command, 9000, silent_port)
    assert not is_healthy(command, 9000, closed_port)


@pytest.mark.parametrize("service", OURS)
def test_our_services_are_healthy_when_they_are_ready(service: str) -> None:
    command, ports = health_command(service), []
    health = Health(service)
    with answering(health, ADDRESS, 0, ports.append):
        health.waiting("Kafka is away")
        assert not is_healthy(command, 8100, ports[0])
        health.working()
        assert is_healthy(command, 8100, ports[0])
    assert not is_healthy(command, 8100, ports[0])


def test_the_exchange_is_healthy_when_it_listens(silent_port: int, closed_port: int) -> None:
    assert is_healthy(health_command("exchange"), 8090, silent_port)
    assert not is_healthy(health_command("exchange"), 8090, closed_port)


def test_grafanas_check_wants_its_health_page(
    web_server: ThreadingHTTPServer, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answering, "path_known", "/api/health")
    assert is_healthy(health_command("quant_grafana"), 3000, web_server.server_port, no_proxy=ADDRESS)
    assert not is_healthy(health_command("quant_grafana"), 3000, closed_port, no_proxy=ADDRESS)


def test_the_port_that_is_asked_is_the_one_where_the_service_answers() -> None:
    for service in OURS:
        assert f", {SERVICES[service]['environment']['QUANT_SERVICE__PORT']}," in health_command(service)[-1]
