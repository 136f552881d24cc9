"""The gateway does what its OpenAPI document says: schemathesis asks for what that allows, and for what it does not."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.servers import PostgresServer, QuestdbServer, RedisServer

from .gateway_rig import GatewayProcess, add_key, database_of_its_own, fill_ledger, fill_ticks, tick_rows

PATHS = [f"/api/v1/{name}" for name in (
    "portfolios", "positions", "orders", "equity", "scanner", "quotes", "ticks", "services",
)]  # fmt: skip


@pytest.fixture(scope="module")
def api(
    postgres: PostgresServer,
    questdb: QuestdbServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OpenApiSchema]:
    questdb.start()
    questdb.clear()
    redis_server.start()
    with database_of_its_own(postgres) as database:
        fill_ledger(database.url)
        fill_ticks(questdb.environment, tick_rows("NSE_EQ:TCS", 5))
        token = add_key(database.url).token
        environment = database.environment | questdb.environment | redis_server.environment
        with GatewayProcess(tmp_path_factory.mktemp("gateway"), environment) as gateway:
            headers = {"Authorization": f"Bearer {token}"}
            yield schemathesis.openapi.from_url(f"{gateway.ready().url}/openapi.json", headers=headers)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "not allowed"])
@pytest.mark.parametrize("path", PATHS)
def test_every_operation_keeps_what_its_document_says(api: OpenApiSchema, path: str, mode: GenerationMode) -> None:
    statuses = set()

    @given(case=api[path]["GET"].as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(case: schemathesis.Case) -> None:
        statuses.add(case.call_and_validate().status_code)

    ask()
    assert statuses
    if mode is GenerationMode.NEGATIVE:
        assert 200 not in statuses


def test_the_document_describes_these_operations_and_no_other(api: OpenApiSchema) -> None:
    operations = [result.ok() for result in api.get_all_operations()]
    assert [(operation.method, operation.path) for operation in operations] == [("get", path) for path in PATHS]
