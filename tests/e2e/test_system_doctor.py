"""system_doctor on a real QuestDB: metrics stored, kept while QuestDB is away, and a verdict on everything."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from quant_platform.adapters.ticks.questdb_reader import QuestdbReader
from quant_platform.domain.errors import UnavailableError
from quant_platform.hosts.health import Health, answering
from quant_platform.ports.series_store import SERVICE_METRICS, MetricRows
from tests.e2e.service_rig import Service, eventually, service
from tests.servers import QuestdbServer

pytestmark = pytest.mark.slow

LAG = ("quant_bus_lag_records", 'topic="market.equity.ticks"', 42.0)


@pytest.fixture
def looks() -> list[int]:
    """When the service that works was asked for its numbers, ns since the epoch."""
    return []


@pytest.fixture
def watched(looks: list[int]) -> Iterator[str]:
    """Where a service that works answers."""

    def count() -> int:
        looks.append(time.time_ns())
        return len(looks)

    ports: list[int] = []
    health = Health("feature_engine")
    health.working()
    health.lag.labels("market.equity.ticks").set(42)
    health.counter_of("looks_total", "Times it was asked", count)
    with answering(health, "127.0.0.1", 0, ports.append):
        yield f"http://127.0.0.1:{ports[0]}"


@pytest.fixture
def environment(empty_questdb: QuestdbServer, watched: str) -> dict[str, str]:
    services = {"feature_engine_2": watched, "market_scanner": "http://127.0.0.1:1"}
    return {
        **empty_questdb.environment,
        "QUANT_API__SERVICES": ",".join(f"{name}={url}" for name, url in services.items()),
        "QUANT_DOCTOR__SAMPLE_S": "0.3",
        "QUANT_DOCTOR__CHECK_S": "1",
    }


@pytest.fixture
def reader(empty_questdb: QuestdbServer) -> Iterator[QuestdbReader]:
    wanted = empty_questdb.settings.questdb
    password = wanted.pg_password
    assert password is not None
    found = QuestdbReader(wanted.pg_host, wanted.pg_port, wanted.pg_user, password.get_secret_value())
    yield found
    found.close()


def stored(reader: QuestdbReader, name: str) -> MetricRows | None:
    """The newest rows of a service; None while there are none."""
    try:
        rows = reader.newest(SERVICE_METRICS, name, 5000)
    except UnavailableError:
        return None
    return rows if rows.timestamp.size else None


def levels(doctor: Service) -> dict[str, float]:
    """What it says of each part."""
    text = httpx.get(f"{doctor.url}/metrics", timeout=10).text
    return {
        sample.labels["part"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "quant_doctor_level"
    }


def test_services_are_sampled_and_judged(environment: dict[str, str], reader: QuestdbReader, tmp_path: Path) -> None:
    with service("system_doctor", folder=tmp_path, environment=environment) as doctor:
        rows = eventually(lambda: stored(reader, "feature_engine"))
        dead = eventually(lambda: stored(reader, "market_scanner"))
        found = eventually(lambda: levels(doctor))
        doctor.wait_until_ready()
    assert set(rows.instance.texts()) == {"2"}
    numbers = set(zip(rows.metric.texts(), rows.labels.texts(), rows.value.tolist(), strict=True))
    assert {LAG, ("up", "", 1.0), ("quant_service_alive", "", 1.0), ("quant_service_ready", "", 1.0)} <= numbers
    assert "quant_process_commits_total" in rows.metric.texts()
    dead_numbers = set(zip(dead.metric.texts(), dead.value.tolist(), strict=True))
    assert dead_numbers == {("up", 0.0), ("quant_service_alive", 0.0), ("quant_service_ready", 0.0)}
    assert (found["service feature_engine_2"], found["service market_scanner"], found["questdb"]) == (0, 3, 0)
    assert "calendar" in found


def test_samples_wait_while_questdb_is_away_and_the_verdict_does_not(
    environment: dict[str, str],
    looks: list[int],
    reader: QuestdbReader,
    empty_questdb: QuestdbServer,
    tmp_path: Path,
) -> None:
    with service("system_doctor", folder=tmp_path, environment=environment) as doctor:
        eventually(lambda: stored(reader, "feature_engine"))
        empty_questdb.stop()
        gone_ns = time.time_ns()
        eventually(lambda: levels(doctor).get("questdb") == 3)
        eventually(lambda: "QuestDB" in doctor.state["reason"])
        eventually(lambda: sum(look > gone_ns for look in looks) > 1)  # the first may have begun before
        back_ns = time.time_ns()
        empty_questdb.start()
        doctor.wait_until_ready()
        eventually(lambda: levels(doctor).get("questdb") == 0)

        def has_waited() -> bool:
            rows = stored(reader, "feature_engine")
            return rows is not None and bool(((rows.timestamp > gone_ns) & (rows.timestamp < back_ns)).any())

        eventually(has_waited)


def test_a_wrong_password_ends_it_with_code_2(environment: dict[str, str], tmp_path: Path) -> None:
    url = httpx.URL(environment["QUESTDB_HTTP_URL"]).copy_with(password="wrong")
    with service("system_doctor", folder=tmp_path, environment={**environment, "QUESTDB_HTTP_URL": str(url)}) as doctor:
        assert doctor.process.wait(60) == 2
        log = doctor.log.read_text()
    assert "questdb.http_url" in log
    assert "wrong@" not in log
