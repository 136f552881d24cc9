"""``/api/v1/ws``: steps of orders off Kafka to whoever listens, with a key; a slow listener holds nobody up."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.records import OrderEvent, encode
from quant_platform.domain.topics import ORDER_EVENTS
from quant_platform.services.api_gateway.shapes import OrderStep, order_step
from quant_platform.web.live import MOST_WAITING, LiveEvents
from tests.servers import Database, KafkaServer

from .gateway_rig import NOWHERE, GatewayProcess, add_key
from .ledger_days import OPEN

PATIENCE_S = 30.0


def event(number: int, portfolio: str = "main") -> OrderEvent:
    return OrderEvent(
        what="accepted",
        portfolio=portfolio,
        run_id=f"{portfolio}-0001",
        order_id=f"{portfolio}-0001-{number:06d}",
        ts=OPEN + number,
        symbol="NSE_EQ:TCS",
        transaction_type="BUY",
        quantity=10,
        price=140.05,
        reason="price above VWAP",
        tick=f"NSE_EQ:TCS@{OPEN + number}",
    )


@dataclass
class World:
    """A gateway beside Kafka, and somebody who writes events."""

    gateway: GatewayProcess
    kafka: KafkaServer
    bus: KafkaBus
    token: str

    def listen(self, query: str = "", token: str | None = None) -> ClientConnection:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        address = self.gateway.url.replace("http", "ws") + f"/api/v1/ws{query}"
        return connect(address, additional_headers=headers, open_timeout=PATIENCE_S)

    def write(self, *events: OrderEvent) -> None:
        writer = self.bus.writer()
        for each in events:
            writer.send(ORDER_EVENTS.name, each.symbol, encode(each))
        writer.flush()
        writer.close()

    def heard(self, listener: ClientConnection, count: int) -> list[dict[str, Any]]:
        return [json.loads(listener.recv(timeout=PATIENCE_S)) for _ in range(count)]

    def follows(self) -> None:
        """Wait until what is written is heard."""
        with self.listen("?portfolio=probe") as listener:

            def is_heard() -> bool:
                try:
                    self.write(event(0, "probe"))
                    listener.recv(timeout=1.0)
                except (TimeoutError, UnavailableError):  # a Kafka that has just begun has no leaders for a moment
                    return False
                return True

            self.gateway.until(is_heard)


@pytest.fixture
def world(kafka: KafkaServer, bus: KafkaBus, database: Database, tmp_path: Path) -> Iterator[World]:
    token = add_key(database.url).token
    with GatewayProcess(tmp_path, database.environment | kafka.environment | NOWHERE) as gateway:
        made = World(gateway.ready(), kafka, bus, token)
        made.follows()
        yield made


def test_each_step_of_an_order_is_sent_to_who_asked_for_its_portfolio(world: World) -> None:
    with world.listen() as everyone, world.listen("?portfolio=main") as one:
        world.write(event(1), event(2, "other"), event(3))
        heard = world.heard(everyone, 3)
        assert [each["data"]["order_id"] for each in heard] == [
            "main-0001-000001",
            "other-0001-000002",
            "main-0001-000003",
        ]
        assert world.heard(one, 2) == [heard[0], heard[2]]
    assert heard[0] == {
        "event": "order",
        "data": {
            "what": "accepted", "portfolio_id": "main", "run_id": "main-0001", "order_id": "main-0001-000001",
            "timestamp": "2025-08-01T09:25:00+05:30", "ts": OPEN + 1, "symbol": "NSE_EQ:TCS", "transaction_type": "BUY",
            "quantity": 10, "price": 140.05, "reason": "price above VWAP", "tick": f"NSE_EQ:TCS@{OPEN + 1}",
        },
    }  # fmt: skip


def test_without_a_key_or_with_a_wrong_parameter_nobody_listens(world: World) -> None:
    for query, token in (("", "quant_0123456789ab_no"), ("?portfolios=main", None)):
        with pytest.raises(InvalidStatus, match="403"):
            world.listen(query, token)


def test_after_kafka_was_away_events_are_heard_again(world: World) -> None:
    with world.listen("?portfolio=main") as listener:
        world.kafka.restart()
        world.follows()
        world.write(event(7))
        assert world.heard(listener, 1)[0]["data"]["ts"] == OPEN + 7
    assert world.gateway.get("/api/v1/portfolios", world.token).status_code == 200


def test_a_listener_that_goes_is_forgotten_and_a_stopping_gateway_says_goodbye(world: World) -> None:
    with world.listen():
        pass
    with world.listen() as listener:
        world.gateway.process.terminate()
        with pytest.raises(ConnectionClosed):
            listener.recv(timeout=PATIENCE_S)
        assert world.gateway.process.wait(PATIENCE_S) == 0


class StuckSocket:
    """A connection that takes nothing until it is let."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed: list[int] = []
        self.may_send = asyncio.Event()
        self.is_open = asyncio.Event()

    async def accept(self) -> None:
        self.is_open.set()

    async def send_text(self, text: str) -> None:
        await self.may_send.wait()
        self.sent.append(text)

    async def close(self, code: int, _reason: str) -> None:
        self.closed.append(code)

    async def receive(self) -> dict[str, str]:
        await asyncio.Event().wait()
        raise WebSocketDisconnect


def test_a_listener_that_is_too_slow_is_let_go_and_holds_nobody_up() -> None:
    steps: list[OrderStep] = [order_step(event(number)) for number in range(MOST_WAITING + 500)]

    async def scenario() -> tuple[StuckSocket, StuckSocket]:
        events = LiveEvents()
        slow, quick = StuckSocket(), StuckSocket()
        quick.may_send.set()
        serving = [asyncio.create_task(events.serve(each, None)) for each in (slow, quick)]  # type: ignore[arg-type]
        await slow.is_open.wait()
        await quick.is_open.wait()
        for start in range(0, len(steps), 100):
            await asyncio.to_thread(events.publish, steps[start : start + 100])
            await asyncio.sleep(0)
        while len(quick.sent) < len(steps):
            await asyncio.sleep(0.01)
        slow.may_send.set()
        await serving[0]
        serving[1].cancel()
        await asyncio.gather(serving[1], return_exceptions=True)
        return slow, quick

    slow, quick = asyncio.run(scenario())
    assert (slow.closed, len(slow.sent)) == ([1013], MOST_WAITING + 1)
    assert quick.closed == []
    assert [json.loads(text)["data"]["ts"] for text in quick.sent] == [step.ts for step in steps]
