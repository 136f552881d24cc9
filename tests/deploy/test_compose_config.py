"""What Compose itself makes of the file: with the .env files that `quant init` writes, without them, and for a demo."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from quant_platform import cli
from quant_platform.domain.errors import UnavailableError
from tests.deploy.compose_file import OURS, REPOSITORY, SERVERS
from tests.deploy.engine_tools import cannot_be_had, compose_command


@pytest.fixture(scope="session")
def compose() -> Sequence[str]:
    try:
        return compose_command()
    except UnavailableError as error:
        cannot_be_had("Compose", error)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What Compose reads of a checkout, and no .env of the one that is tested."""
    (tmp_path / "compose.yaml").write_bytes((REPOSITORY / "compose.yaml").read_bytes())
    (tmp_path / "infra").mkdir()
    for name in ("docker-compose.yml", "Dockerfile"):
        (tmp_path / "infra" / name).write_bytes((REPOSITORY / "infra" / name).read_bytes())
    (tmp_path / "services" / "ingestion").mkdir(parents=True)
    return tmp_path


def ask(compose: Sequence[str], checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [*compose, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def described(compose: Sequence[str], checkout: Path, *before: str) -> Mapping[str, Any]:
    done = ask(compose, checkout, *before, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def initialise(checkout: Path, *arguments: str) -> None:
    assert cli.run_command(["init", "--folder", str(checkout), *arguments]) == 0


@pytest.mark.parametrize("before", [(), ("--env-file", ".env", "-f", "infra/docker-compose.yml")])
def test_compose_takes_the_file_from_the_root_and_by_its_name(
    compose: Sequence[str], checkout: Path, before: Sequence[str]
) -> None:
    initialise(checkout)
    found = described(compose, checkout, *before)
    assert found["name"] == "quant-platform"
    assert set(found["services"]) == {*SERVERS, *OURS, "quant_grafana"} - {"data_backfiller"}
    assert found["services"]["feature_engine"]["build"]["context"] == str(checkout)


def test_without_quant_init_compose_says_what_to_run(compose: Sequence[str], checkout: Path) -> None:
    done = ask(compose, checkout, "config", "--quiet")
    assert done.returncode != 0
    assert "run quant init" in done.stderr


def test_the_token_reaches_those_who_talk_to_upstox_and_an_empty_address_is_the_real_market(
    compose: Sequence[str], checkout: Path
) -> None:
    initialise(checkout)
    broker = checkout / "services" / "ingestion" / ".env"
    broker.write_text(broker.read_text("utf-8").replace("UPSTOX_ACCESS_TOKEN=", "UPSTOX_ACCESS_TOKEN=of-today"))
    services = described(compose, checkout, "--profile", "backfill")["services"]
    for name in ("upstox_ingestor", "market_scanner", "data_backfiller", "system_doctor"):
        environment = services[name]["environment"]
        assert environment["UPSTOX_ACCESS_TOKEN"] == "of-today"
        assert environment["QUANT_UPSTOX__ACCESS_TOKEN"] == environment["QUANT_UPSTOX__BASE_URL"] == ""
    assert services["strategy_runtime"]["environment"]["QUANT_UPSTOX__BASE_URL"] == ""
    holders = {name for name, service in services.items() if "UPSTOX_ACCESS_TOKEN" in service.get("environment", {})}
    assert holders == {"upstox_ingestor", "market_scanner", "data_backfiller", "system_doctor"}


def test_a_demo_adds_the_exchange_which_all_reach_by_one_token(compose: Sequence[str], checkout: Path) -> None:
    initialise(checkout, "--demo")
    found = described(compose, checkout)
    services = found["services"]
    token = services["exchange"]["environment"]["QUANT_EXCHANGE_TOKEN"]
    assert len(token) >= 32
    for name in ("upstox_ingestor", "market_scanner", "strategy_runtime"):
        assert services[name]["environment"]["QUANT_UPSTOX__BASE_URL"] == "http://exchange:8090"
        assert services[name]["environment"]["QUANT_UPSTOX__ACCESS_TOKEN"] == token
    assert {volume["name"] for volume in found["volumes"].values()} == {
        f"quant-platform-demo-{name}" for name in (*SERVERS, "grafana")
    }


def test_every_server_and_its_clients_are_given_the_same_password(compose: Sequence[str], checkout: Path) -> None:
    initialise(checkout)
    found = described(compose, checkout)
    inside = {name: service.get("environment", {}) for name, service in found["services"].items()}
    doctor = inside["system_doctor"]
    assert doctor["POSTGRES_PASSWORD"] == inside["postgres"]["POSTGRES_PASSWORD"]
    assert doctor["QUESTDB_HTTP_URL"] == f"http://admin:{inside['questdb']['QDB_HTTP_PASSWORD']}@questdb:9000"
    assert doctor["QUESTDB_PG_USER"] == inside["questdb"]["QDB_PG_READONLY_USER"]
    assert doctor["QUESTDB_PG_PASSWORD"] == inside["questdb"]["QDB_PG_READONLY_PASSWORD"]
    assert doctor["AWS_ACCESS_KEY_ID"] == inside["minio"]["MINIO_ROOT_USER"]
    assert doctor["AWS_SECRET_ACCESS_KEY"] == inside["minio"]["MINIO_ROOT_PASSWORD"]
    redis = inside["redis"]["REDISCLI_AUTH"]
    assert doctor["REDIS_URL"] == f"redis://:{redis}@redis:6379/0"
    assert f"requirepass {redis}\n" in found["configs"]["redis"]["content"]
    grafana = inside["quant_grafana"]
    assert grafana["GRAFANA_DB_PASSWORD"] == inside["postgres"]["GRAFANA_DB_PASSWORD"]
    assert grafana["QUESTDB_READER_PASSWORD"] == doctor["QUESTDB_PG_PASSWORD"]
