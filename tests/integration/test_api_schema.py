"""The gateway does what its OpenAPI document says: schemathesis asks for what that allows, and for what it does not."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.servers import PostgresServer, QuestdbServer, RedisServer, database_on

from .gateway_rig import GatewayProcess, add_key, fill_ledger, fill_ticks, tick_rows

PATHS = [f"/api/v1/{name}" for name in (
    "portfolios", "positions", "orders", "equity", "scanner", "instruments", "quotes", "ticks", "candles", "strategies",
    "services",
)]  # fmt: skip
ORDERS = [f"/api/v1/{name}" for name in ("halt", "resume", "squareoff")]
OPERATIONS = [*(("get", path) for path in PATHS), *(("post", path) for path in ORDERS)]
WITHOUT_PARAMETERS = ("/api/v1/portfolios", "/api/v1/strategies", "/api/v1/services")
BOUNDED = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


class Api(NamedTuple):
    """The document, and the key with which its operations are asked."""

    schema: OpenApiSchema
    headers: dict[str, str]


@pytest.fixture(scope="module")
def api(
    postgres: PostgresServer,
    questdb: QuestdbServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Api]:
    questdb.start()
    questdb.clear()
    redis_server.start()
    with database_on(postgres) as database:
        fill_ledger(database.url)
        fill_ticks(questdb.environment, tick_rows("NSE_EQ:TCS", 5))
        token = add_key(database.url, "admin").token
        environment = database.environment | questdb.environment | redis_server.environment
        with GatewayProcess(tmp_path_factory.mktemp("gateway"), environment) as gateway:
            headers = {"Authorization": f"Bearer {token}"}
            schema = schemathesis.openapi.from_url(f"{gateway.ready().url}/openapi.json", headers=headers)
            schema.config.generation.update(with_security_parameters=False)
            yield Api(schema, headers)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_the_document_allows_is_answered_as_it_says(api: Api, method: str, path: str) -> None:
    statuses = set()

    @given(case=api.schema[path][method].as_strategy())
    @BOUNDED
    def ask(case: schemathesis.Case) -> None:
        case.query.pop("cursor", None)  # one that we never gave is refused, however well it is written
        if "portfolio" in case.query:
            case.query["portfolio"] = "main"  # and so is any other
        statuses.add(case.call_and_validate(headers=api.headers).status_code)

    ask()
    assert statuses == {200}


@pytest.mark.parametrize(("method", "path"), [each for each in OPERATIONS if each[1] not in WITHOUT_PARAMETERS])
def test_what_the_document_does_not_allow_is_refused_as_it_says(api: Api, method: str, path: str) -> None:
    statuses = set()

    @given(case=api.schema[path][method].as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    @BOUNDED
    def ask(case: schemathesis.Case) -> None:
        statuses.add(case.call_and_validate(headers=api.headers).status_code)

    ask()
    assert 422 in statuses  # some are allowed once they are written into an address, as null for a name is


def test_the_document_describes_these_operations_and_no_other(api: Api) -> None:
    operations = [result.ok() for result in api.schema.get_all_operations()]
    assert [(operation.method, operation.path) for operation in operations] == OPERATIONS
