"""``quant servers`` as a user has it: up, status, env, down, and what happens when something is in the way."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from redis import Redis

from tests.e2e.platform_rig import Outcome, quant
from tests.servers import require_programs, settings_of, temporary_home

NAMES = ("postgres", "redis")
"""The two that start in no time; all five stand in ``tests/integration/test_real_servers.py``."""


class Servers:
    """``quant servers`` on one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, verb: str, *arguments: str) -> Outcome:
        return quant("servers", verb, *arguments, "--home", self.home, cwd=self.home)

    def asked(self, verb: str, *arguments: str) -> dict[str, Any]:
        done = self.run(verb, *arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def up(self, *arguments: str) -> dict[str, dict[str, Any]]:
        return by_name(self.asked("up", *NAMES, *arguments))

    def status(self) -> dict[str, dict[str, Any]]:
        return by_name(self.asked("status"))

    def passwords(self) -> list[str]:
        kept = json.loads((self.home / "servers" / "servers.json").read_text("utf-8"))
        return [password for server in kept.values() for password in server["passwords"].values()]


def by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {server["name"]: server for server in answer["servers"]}


def port_of(server: dict[str, Any]) -> int:
    return int(server["address"].rpartition(":")[2])


def redis_of(environment: dict[str, str]) -> Redis:
    return Redis.from_url(environment["REDIS_URL"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Servers]:
    require_programs(*NAMES)
    with temporary_home() as home:
        servers = Servers(home)
        servers.up("--ports", "free")
        try:
            yield servers
        finally:
            servers.run("down")


@pytest.fixture
def servers(shared: Servers) -> Servers:
    """Both run."""
    shared.up()
    return shared


def test_the_lines_of_env_lead_a_shell_and_the_platform_to_the_servers(servers: Servers) -> None:
    lines = servers.run("env").out
    shell = subprocess.run(["sh", "-c", f"{lines}\nenv"], capture_output=True, text=True, env={}, check=True)
    found = dict(line.split("=", 1) for line in shell.stdout.splitlines() if line.startswith(("POSTGRES", "REDIS")))
    assert found == servers.asked("env")
    settings = settings_of(found)
    assert settings.postgres.password is not None
    with psycopg.connect(
        host=settings.postgres.host,
        port=settings.postgres.port,
        user=settings.postgres.user,
        password=settings.postgres.password.get_secret_value(),
        dbname=settings.postgres.database,
    ) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("admin", "quant_platform")
    with Redis.from_url(settings.redis.url.get_secret_value()) as client:
        assert client.ping()


def test_env_of_one_server_names_no_other(servers: Servers) -> None:
    assert list(servers.asked("env", "redis")) == ["REDIS_URL"]


def test_status_tells_each_server_with_address_process_and_log(servers: Servers) -> None:
    known = servers.status()
    assert {name: server["state"] for name, server in known.items()} == {
        "kafka": "stopped", "postgres": "running", "questdb": "stopped", "redis": "running", "minio": "stopped",
    }  # fmt: skip
    for name in NAMES:
        assert psutil.pid_exists(known[name]["pid"])
        assert Path(known[name]["log"]).is_file()
        with socket.create_connection(("127.0.0.1", port_of(known[name]))):
            pass
    table = servers.run("status").out
    assert f"127.0.0.1:{port_of(known['redis'])}" in table


def test_a_second_up_leaves_alone_what_runs(servers: Servers) -> None:
    before = servers.status()
    assert servers.up() == before
    assert servers.up("--ports", "free") == before


def test_a_killed_server_shows_as_failed_and_comes_back_where_it_was_with_its_data(servers: Servers) -> None:
    before, environment = servers.status(), servers.asked("env")
    with psycopg.connect(conninfo(environment), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(before["postgres"]["pid"], signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid) for pid in [before["postgres"]["pid"]] if psutil.pid_exists(pid)], 10)
    killed = servers.status()
    assert killed["postgres"]["state"] == "failed"
    assert killed["postgres"]["pid"] is None
    assert killed["redis"] == before["redis"]
    after = servers.up()
    assert after["postgres"]["state"] == "running"
    assert after["postgres"]["address"] == before["postgres"]["address"]
    assert after["redis"] == before["redis"]
    assert servers.asked("env") == environment
    with psycopg.connect(conninfo(environment)) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def conninfo(environment: dict[str, str]) -> str:
    host, port, user, password, name = (
        environment[f"POSTGRES_{key}"] for key in ("HOST", "PORT", "USER", "PASSWORD", "DB")
    )
    return f"host={host} port={port} user={user} password={password} dbname={name}"


def test_down_ends_those_named_and_keeps_their_ports_and_passwords(servers: Servers) -> None:
    environment, pid = servers.asked("env"), servers.status()["redis"]["pid"]
    with redis_of(environment) as client:
        client.set("thing", "kept")
    after = by_name(servers.asked("down", "redis"))
    assert (after["redis"]["state"], after["postgres"]["state"]) == ("stopped", "running")
    assert not psutil.pid_exists(pid)
    servers.up()
    assert servers.asked("env") == environment
    with redis_of(environment) as client:
        assert client.get("thing") == b"kept"


def test_purge_deletes_data_log_ports_and_passwords(servers: Servers) -> None:
    before = servers.asked("env", "redis")
    with redis_of(before) as client:
        client.set("thing", "deleted")
    servers.asked("down", "redis", "--purge")
    assert "redis" not in {path.name.partition(".")[0] for path in (servers.home / "servers").iterdir()}
    nothing = servers.run("env", "redis")
    assert nothing.code == 2
    assert "quant servers up" in nothing.err
    servers.up("--ports", "free")
    after = servers.asked("env", "redis")
    assert after != before
    with redis_of(after) as client:
        assert client.dbsize() == 0


def test_a_port_that_another_program_took_is_named_and_free_ports_are_the_cure(servers: Servers) -> None:
    servers.asked("down", "redis")
    port = port_of(servers.status()["redis"])
    with closing(socket.create_server(("127.0.0.1", port))):
        refused = servers.run("up", "redis", "postgres")
        assert refused.code == 1
        assert f"Redis cannot listen on 127.0.0.1:{port}" in refused.err
        assert "--ports free" in refused.err
        assert servers.status()["postgres"]["state"] == "running"
        moved = servers.up("--ports", "free")
        assert moved["redis"]["state"] == "running"
        assert port_of(moved["redis"]) != port


def test_a_usual_port_that_is_taken_is_left_to_who_has_it(servers: Servers) -> None:
    servers.asked("down", "redis", "--purge")
    try:
        other = socket.create_server(("127.0.0.1", 6379))
    except OSError:
        other = socket.socket()  # somebody's own Redis does as well
    with closing(other):
        assert port_of(servers.up()["redis"]) != 6379


def test_a_server_that_nobody_knows_is_refused_with_the_names_of_those_there_are(servers: Servers) -> None:
    for verb in ("up", "down", "env"):
        refused = servers.run(verb, "mysql")
        assert refused.code == 2
        assert "kafka, postgres, questdb, redis, minio" in refused.err


def test_fetch_has_the_programs_and_starts_nothing(servers: Servers) -> None:
    before = servers.status()
    fetched = quant("servers", "fetch", *NAMES, cwd=servers.home)
    assert fetched.code == 0
    assert fetched.out.splitlines() == ["PostgreSQL is there", "Redis is there"]
    assert servers.status() == before
    assert quant("servers", "fetch", "mysql", cwd=servers.home).code == 2


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = quant("servers", "up", "redis", "--home", tmp_path / "file" / "home", cwd=tmp_path)
    assert refused.code == 1
    assert str(tmp_path / "file" / "home") in refused.err
    assert "--home" in refused.err


def test_a_server_that_cannot_start_is_told_with_the_end_of_its_log(servers: Servers) -> None:
    servers.asked("down", "redis")
    data = servers.home / "servers" / "redis" / "data" / "appendonlydir"
    (data / "appendonly.aof.manifest").write_text("nonsense\n", "utf-8")
    refused = servers.run("up", "redis")
    servers.asked("down", "redis", "--purge")
    assert refused.code == 1
    assert "Redis ended instead of starting" in refused.err
    assert "manifest" in refused.err
    assert "redis.log" in refused.err


def test_passwords_are_told_by_env_alone(servers: Servers) -> None:
    told = servers.run("up", *NAMES).out + servers.run("status").out + servers.run("status", "--json").out
    passwords = servers.passwords()
    assert len(passwords) == len(NAMES)
    for password in passwords:
        assert password not in told
        assert password in servers.run("env").out
