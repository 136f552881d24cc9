"""Nothing but ``/healthz`` is answered without a key: every path, every method, every wrong key; and none is logged."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.hosts.api_keys import new_key
from tests.servers import Database, PostgresServer, database_on

from .gateway_rig import GatewayProcess, add_key, fill_ledger

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
API = [f"/api/v1/{name}" for name in (
    "portfolios", "positions", "orders", "equity", "scanner", "instruments", "quotes", "ticks", "candles", "strategies",
    "services",
)]  # fmt: skip
ORDERS = [f"/api/v1/{name}" for name in ("halt", "resume", "squareoff")]
BEHIND_THE_DOOR = [
    *ORDERS,
    "/api/v1/ws",
    *API, "/openapi.json", "/docs", "/readyz", "/metrics", "/", "/nothing", "/api/v1/nothing", "/api/v1/orders/",
    "/healthz/", "//healthz", "/healthz/../api/v1/orders", "/HEALTHZ", "/healthz%2f", "/healthz;x",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"]


@dataclass
class Door:
    """A gateway, and keys that should not open it."""

    gateway: GatewayProcess
    database: Database
    token: str
    wrong: dict[str, str | None]

    def ask(self, method: str, path: str, authorization: str | None) -> httpx.Response:
        headers = {} if authorization is None else {"Authorization": authorization}
        # As it stands: httpx itself would resolve the dots.
        url = httpx.URL(self.gateway.url).copy_with(raw_path=path.encode())
        return self.gateway.client.request(method, url, headers=headers)


@pytest.fixture(scope="module")
def door(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with database_on(postgres) as database:
        fill_ledger(database.url)
        good = add_key(database.url)
        revoked = add_key(database.url)
        expired = add_key(database.url, days=30, made=LONG_AGO)
        stranger = new_key("stranger", ["admin"], LONG_AGO)
        with GatewayLedger(database.url) as ledger:
            ledger.revoke_key(revoked.key.key_id, LONG_AGO)
        wrong = {
            "none": None,
            "empty": "",
            "a scheme alone": "Bearer",
            "no scheme": good.token,
            "another scheme": f"Basic {good.token}",
            "a stranger's key": f"Bearer {stranger.token}",
            "another secret": f"Bearer {good.token[:-43]}{stranger.token[-43:]}",
            "the id alone": f"Bearer quant_{good.key.key_id}",
            "the hash": f"Bearer quant_{good.key.key_id}_{good.key.secret_hash}",
            "a cut key": f"Bearer {good.token[:-1]}",
            "a long key": f"Bearer {good.token}{'x' * 10_000}",
            "two keys": f"Bearer {good.token}, Bearer {good.token}",
            "a revoked key": f"Bearer {revoked.token}",
            "an expired key": f"Bearer {expired.token}",
        }
        with GatewayProcess(tmp_path_factory.mktemp("door"), database.environment) as gateway:
            yield Door(gateway.ready(), database, good.token, wrong)


def test_the_list_of_paths_is_whole(door: Door) -> None:
    document = door.ask("GET", "/openapi.json", f"Bearer {door.token}").json()
    assert sorted(document["paths"]) == sorted([*API, *ORDERS])


@pytest.mark.parametrize("path", BEHIND_THE_DOOR)
def test_no_path_is_answered_without_a_key_by_any_method(door: Door, path: str) -> None:
    for method in METHODS:
        answer = door.ask(method, path, None)
        assert answer.status_code == 401, method
        assert answer.headers["www-authenticate"] == 'Bearer realm="quant-platform"'
        assert answer.headers["content-type"] == "application/problem+json"
        assert method == "HEAD" or answer.json()["detail"] == "this needs a key"


def test_no_path_is_answered_with_a_wrong_key(door: Door) -> None:
    for path in BEHIND_THE_DOOR:
        for what, authorization in door.wrong.items():
            assert door.ask("GET", path, authorization).status_code == 401, (path, what)


def test_who_holds_an_old_key_is_told_and_nobody_else_learns_which_keys_there_are(door: Door) -> None:
    said = {what: door.ask("GET", API[0], shown).json()["detail"] for what, shown in door.wrong.items()}
    assert said["a revoked key"] == "the key was revoked"
    assert said["an expired key"] == "the key has expired"
    assert said["a stranger's key"] == said["another secret"] == said["a cut key"] == "the key is not accepted"


def test_healthz_alone_is_answered_without_a_key(door: Door) -> None:
    assert door.ask("GET", "/healthz", None).json() == {"service": "api_gateway", "status": "alive"}
    assert door.ask("GET", "/healthz", "Bearer wrong").status_code == 200
    assert door.ask("POST", "/healthz", None).status_code == 405


def test_a_key_opens_every_path_that_is_there(door: Door) -> None:
    shown = f"Bearer {door.token}"
    for path in ("/openapi.json", "/docs", "/readyz", "/metrics", API[0], "/api/v1/orders"):
        assert door.ask("GET", path, shown).status_code == 200, path
    assert door.ask("GET", API[0], f"bearer   {door.token}").status_code == 200, "the scheme's case does not matter"
    assert door.ask("GET", "/nothing", shown).status_code == 404


def test_a_key_that_may_only_look_orders_nothing_and_one_that_may_trade_does_not_look(door: Door) -> None:
    trader = add_key(door.database.url, "trade")
    for path in ORDERS:
        refused = door.ask("POST", path, f"Bearer {door.token}")
        assert refused.status_code == 403
        assert refused.json()["detail"] == "the key lacks the scope trade"
        assert door.ask("GET", path, f"Bearer {door.token}").status_code == 405
    assert door.ask("GET", API[0], f"Bearer {trader.token}").json()["detail"] == "the key lacks the scope read"
    with GatewayLedger(door.database.url) as ledger:
        assert [view.halt.halted for view in ledger.portfolios()] == [False]


def test_a_halt_is_in_the_ledger_when_it_is_answered_and_says_who_ordered_it(door: Door) -> None:
    trader = add_key(door.database.url, "trade")

    def order(what: str) -> dict[str, object]:
        answer = door.ask("POST", f"/api/v1/{what}", f"Bearer {trader.token}")
        assert answer.status_code == 200, answer.text
        [portfolio] = answer.json()["items"]
        return {name: portfolio[name] for name in ("id", "halt", "halt_reason")}

    assert order("halt?reason=fog") == {"id": "main", "halt": "halted", "halt_reason": "fog"}
    assert order("squareoff?portfolio=main") == {"id": "main", "halt": "squared off", "halt_reason": "by hand"}
    assert order("resume") == {"id": "main", "halt": None, "halt_reason": None}
    nobody = door.ask("POST", "/api/v1/halt?portfolio=mian", f"Bearer {trader.token}")
    assert (nobody.status_code, nobody.json()["detail"]) == (404, "there is no portfolio 'mian'")
    with door.database.connect() as connection:
        rows = connection.execute("SELECT actor, what FROM audit_log WHERE chain = 'main/commands' ORDER BY seq")
        who = f"API key {trader.key.key_id}"
        assert rows.fetchall() == [(who, "halted"), (who, "squared off"), (who, "resumed")]


def test_the_documentation_is_one_page_with_every_operation_and_nothing_from_elsewhere(door: Door) -> None:
    page = door.ask("GET", "/docs", f"Bearer {door.token}").text
    for path in API:
        assert f"<code>GET {path}</code>" in page
    for path in ORDERS:
        assert f"<code>POST {path}</code>" in page
    assert "<td>symbol</td><td>array of string</td><td>required</td><td>Repeat it for several</td>" in page
    assert "<td>limit</td><td>integer 1 … 1000</td>" in page
    assert "<td>executed_at</td><td>string (date-time) or null</td>" in page
    for outside in ("://", "<script", "<link", "<img"):
        assert outside not in page


def test_a_websocket_is_refused_without_a_key(door: Door) -> None:
    address = f"ws{door.gateway.url.removeprefix('http')}/api/v1/ws"
    with pytest.raises(InvalidStatus) as refused, connect(address):
        pass
    assert refused.value.response.status_code == 403


def test_a_key_without_the_scope_is_forbidden_and_told_which_it_lacks(door: Door) -> None:
    trading = add_key(door.database.url, "trade").token
    for path in BEHIND_THE_DOOR:
        answer = door.ask("GET", path, f"Bearer {trading}")
        assert (answer.status_code, answer.json()["detail"]) == (403, "the key lacks the scope read"), path
    assert door.ask("GET", API[0], f"Bearer {add_key(door.database.url, 'admin').token}").status_code == 200


def test_a_key_is_rotated_without_a_moment_in_which_neither_works(door: Door) -> None:
    old, new = add_key(door.database.url), add_key(door.database.url)

    def statuses() -> list[int]:
        return [door.ask("GET", API[0], f"Bearer {key.token}").status_code for key in (old, new)]

    assert statuses() == [200, 200]
    with GatewayLedger(door.database.url) as ledger:
        ledger.revoke_key(old.key.key_id, old.key.created_at + timedelta(seconds=1))
    assert statuses() == [401, 200]


def test_no_key_and_no_part_of_one_is_logged_or_measured(door: Door) -> None:
    door.ask("GET", "/api/v1/orders?limit=wrong", f"Bearer {door.token}")
    door.ask("GET", f"/{door.token}", None)
    metrics = httpx.get(f"{door.gateway.health_url}/metrics").text
    assert 'quant_api_requests_total{route="/api/v1/orders",status="422"}' in metrics
    assert 'quant_api_requests_total{route="none",status="401"}' in metrics
    assert "the API answers" in door.gateway.log
    for said in (door.gateway.log, metrics):
        assert door.token[-43:] not in said
        assert door.token[:20] not in said
        assert "argon2" not in said
        assert door.database.environment["POSTGRES_PASSWORD"] not in said


def test_the_services_own_port_answers_without_a_key_and_knows_nothing_else(door: Door) -> None:
    for path, status in (("/readyz", 200), ("/metrics", 200), (API[0], 404), ("/docs", 404)):
        assert httpx.get(door.gateway.health_url + path).status_code == status, path
