"""How the API gateway starts, waits, ends on a wrong setting, and asks the other services how they are."""

import socket
from pathlib import Path

import pytest

from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.hosts.api_keys import new_key, seal
from quant_platform.hosts.health import Health, answering
from tests.servers import Database, QuestdbServer

from .gateway_rig import NOW, NOWHERE, GatewayProcess, add_key


def test_a_gateway_that_starts_before_postgres_waits_for_it_and_takes_the_first_key_in(
    database: Database, tmp_path: Path
) -> None:
    first = new_key("first", ["admin"], NOW)
    environment = database.environment | NOWHERE | {"QUANT_API__FIRST_KEY": seal(first.key)}
    database.server.stop()
    with GatewayProcess(tmp_path, environment) as gateway:
        gateway.listening()
        assert gateway.get("/healthz", None).status_code == 200
        answer = gateway.get("/api/v1/portfolios", first.token)
        assert (answer.status_code, answer.json()["detail"]) == (503, "the ledger was not reached yet")
        database.server.start()
        gateway.ready()
        assert gateway.rows("/api/v1/portfolios", first.token) == []
        with GatewayLedger(database.url) as ledger:
            assert ledger.revoke_key(first.key.key_id, NOW)
    with GatewayProcess(tmp_path, environment) as gateway:
        assert gateway.ready().get("/api/v1/portfolios", first.token).status_code == 401, "a restart forgives nothing"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"POSTGRES_PASSWORD": "wrong"}, "Postgres refuses this program"),
        ({"POSTGRES_PASSWORD": ""}, "setting postgres.password is missing"),
        ({"QUANT_API__FIRST_KEY": "nonsense"}, "setting api.first_key is not a sealed key"),
        ({"QUANT_API__SERVICES": "nonsense"}, "setting api.services in environment"),
        ({"REDIS_URL": "nonsense"}, "setting redis.url is no address"),
    ],
)
def test_a_wrong_setting_ends_the_gateway_and_is_named(
    database: Database, tmp_path: Path, wrong: dict[str, str], complaint: str
) -> None:
    gateway = GatewayProcess(tmp_path, database.environment | NOWHERE | wrong).start()
    assert gateway.process.wait(60) == 2, gateway.log
    assert complaint in gateway.log
    assert not any(value and value in gateway.log for value in wrong.values())


def test_a_wrong_password_of_questdb_ends_the_gateway_and_is_named(
    database: Database, empty_questdb: QuestdbServer, tmp_path: Path
) -> None:
    wrong = {"QUESTDB_PG_PASSWORD": "mistyped"}
    gateway = GatewayProcess(tmp_path, database.environment | empty_questdb.environment | wrong).start()
    assert gateway.process.wait(60) == 2, gateway.log
    assert "correct questdb.pg_user and questdb.pg_password" in gateway.log
    assert "mistyped" not in gateway.log


def test_a_port_that_is_taken_is_named_with_its_setting(database: Database, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = {"QUANT_API__PORT": str(taken.getsockname()[1])}
        gateway = GatewayProcess(tmp_path, database.environment | NOWHERE | port).start()
        assert gateway.process.wait(60) == 1, gateway.log
    assert "cannot be listened on — set QUANT_API__PORT to a free port" in gateway.log


def test_services_are_asked_how_they_are(database: Database, tmp_path: Path) -> None:
    ports: dict[str, int] = {}
    well, ill = Health("feature_engine"), Health("strategy_runtime")
    well.working()
    ill.waiting("Kafka at 127.0.0.1:9092 cannot be reached")
    stuck = Health("market_persistor")
    stuck.working()
    stuck._turned -= 1000  # seconds since its loop turned last
    token = add_key(database.url).token
    with (
        answering(well, "127.0.0.1", 0, lambda port: ports.update(well=port)),
        answering(ill, "127.0.0.1", 0, lambda port: ports.update(ill=port)),
        answering(stuck, "127.0.0.1", 0, lambda port: ports.update(stuck=port)),
    ):
        addresses = {
            "feature_engine": f"http://127.0.0.1:{ports['well']}",
            "strategy_runtime": f"http://127.0.0.1:{ports['ill']}/",
            "market_persistor": f"http://127.0.0.1:{ports['stuck']}",
            "market_scanner": "http://127.0.0.1:1",
            "system_doctor": f"http://127.0.0.1:{ports['well']}/nothing",
            "api_gateway": "http://127.0.0.1:1",
        }
        services = ", ".join(f"{name}={url}" for name, url in addresses.items())
        environment = database.environment | NOWHERE | {"QUANT_API__SERVICES": services}
        with GatewayProcess(tmp_path, environment) as gateway:
            states = gateway.ready().rows("/api/v1/services", token)
    assert states == [
        {"service": "api_gateway", "state": "ready", "reason": None},
        {"service": "feature_engine", "state": "ready", "reason": None},
        {"service": "strategy_runtime", "state": "waiting", "reason": "Kafka at 127.0.0.1:9092 cannot be reached"},
        {"service": "market_persistor", "state": "stuck", "reason": "its loop has not turned for long"},
        {"service": "market_scanner", "state": "away", "reason": "it does not answer: ConnectError"},
        {
            "service": "system_doctor",
            "state": "away",
            "reason": "what answers at its address in api.services is another program",
        },
    ]
