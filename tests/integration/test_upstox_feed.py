"""The feed client against a real server: it authorizes, subscribes, watches and reconnects."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.responses import Response

from quant_platform.adapters.broker.upstox_feed import KEYS_PER_REQUEST, UpstoxFeed
from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.domain.errors import AuthenticationError, BrokerError, UnavailableError

from .scripted_broker import FeedLine, Listener, ScriptedBroker, SteppingClock, scripted_broker

NS_PER_MS = 1_000_000


class Scene:
    """A server, a client and who listens to it."""

    def __init__(self, broker: ScriptedBroker) -> None:
        self.broker = broker
        self.token = "today"
        self.clock = SteppingClock()
        self.listener = Listener()
        self.in_session = True
        self.rest = UpstoxRest(broker.url, lambda: self.token, self.clock, attempts=1)
        self.feed = self.make_feed()
        self.tasks: list[asyncio.Task[None]] = []

    def make_feed(self, stall_after_s: float = 60.0) -> UpstoxFeed:
        return UpstoxFeed(self.rest, self.clock, self.listener, lambda: self.in_session, stall_after_s=stall_after_s)

    def start(self) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.feed.run())
        self.tasks.append(task)
        return task

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.feed.disconnect("the test is over")
        await self.rest.close()


def play(body: Callable[[Scene], Coroutine[Any, Any, None]], *scripts: Any) -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            broker.scripts = list(scripts)
            scene = Scene(broker)
            try:
                await body(scene)
            finally:
                await scene.close()

    asyncio.run(run())


async def stay(line: FeedLine) -> None:
    await line.until_closed()


async def one_frame_then_close(line: FeedLine) -> None:
    await line.take_request()
    await line.send(1000)


async def one_frame_then_stay(line: FeedLine) -> None:
    await line.take_request()
    await line.send(2000)
    await line.until_closed()


async def silent(line: FeedLine) -> None:
    await line.take_request()
    await line.until_closed()


def test_keys_subscribed_before_the_feed_is_up_are_asked_for_when_it_is() -> None:
    async def body(scene: Scene) -> None:
        await scene.feed.subscribe(["NSE_EQ|A", "NSE_EQ|B", "NSE_EQ|A"])
        assert scene.feed.requests_sent == 0
        await scene.feed.connect_once()
        await scene.feed.drained(1)
        (request,) = scene.broker.lines[0].requests
        assert (request.method, request.mode, request.keys) == ("sub", "full", ("NSE_EQ|A", "NSE_EQ|B"))
        assert request.guid
        assert (scene.feed.requests_sent, scene.feed.frames_received) == (1, 1)

    play(body, one_frame_then_stay)


def test_keys_are_asked_for_once_and_in_batches() -> None:
    keys = [f"NSE_EQ|{i}" for i in range(KEYS_PER_REQUEST + 1)]

    async def take_three(line: FeedLine) -> None:
        for _ in range(3):
            await line.take_request()
        await line.send(1)
        await line.until_closed()

    async def body(scene: Scene) -> None:
        await scene.feed.connect_once()
        await scene.feed.subscribe(keys)
        await scene.feed.subscribe(keys)
        await scene.feed.unsubscribe([keys[0], "NSE_EQ|never"])
        await scene.feed.drained(1)
        first, second, third = scene.broker.lines[0].requests
        assert first.keys + second.keys == tuple(keys)
        assert (third.method, third.keys) == ("unsub", (keys[0],))
        assert scene.feed.requests_sent == 3

    play(body, take_three)


def test_frames_wait_until_the_handler_is_prepared() -> None:
    async def five_frames(line: FeedLine) -> None:
        await line.take_request()
        for stamp in range(1, 6):
            await line.send(stamp)
        await line.until_closed()

    async def body(scene: Scene) -> None:
        async def wait_for_all() -> None:
            async with asyncio.timeout(20):
                while scene.feed.frames_received < 5:
                    await asyncio.sleep(0.005)

        scene.listener.prepare = wait_for_all
        await scene.feed.subscribe(["NSE_EQ|A"])
        await scene.feed.connect_once()
        assert scene.listener.heard == ["connecting", "connected", *(f"frame {i}" for i in range(1, 6))]

    play(body, five_frames)


def test_keys_may_be_subscribed_while_the_handler_prepares() -> None:
    async def body(scene: Scene) -> None:
        scene.listener.prepare = lambda: scene.feed.subscribe(["NSE_EQ|A"])
        await scene.feed.connect_once()
        await scene.feed.drained(1)
        assert scene.listener.heard[-1] == "frame 2000"
        assert scene.feed.requests_sent == 1

    play(body, one_frame_then_stay)


def test_a_connection_lost_while_the_handler_prepares_is_reported_after_its_frames() -> None:
    async def body(scene: Scene) -> None:
        async def wait_for_the_loss() -> None:
            async with asyncio.timeout(20):
                while scene.feed.connected:
                    await asyncio.sleep(0.005)

        scene.listener.prepare = wait_for_the_loss
        await scene.feed.subscribe(["NSE_EQ|A"])
        await scene.feed.connect_once()
        assert scene.listener.heard == ["connecting", "connected", "frame 1000", "disconnected"]

    play(body, one_frame_then_close)


def test_a_lost_connection_is_opened_again_and_its_keys_asked_for_again() -> None:
    async def body(scene: Scene) -> None:
        await scene.feed.subscribe(["NSE_EQ|A"])
        scene.start()
        await scene.listener.until(lambda: 2000 in scene.listener.stamps)
        assert scene.listener.stamps == [1000, 2000]
        assert scene.listener.lost_since == [None, 1000 * NS_PER_MS]
        assert [line.requests[0].keys for line in scene.broker.lines] == [("NSE_EQ|A",)] * 2
        assert len(scene.broker.tokens) == 2  # authorized anew: a code opens the feed once
        assert "1012" in scene.listener.reasons[0]
        assert scene.feed.frames_received == 1

    play(body, one_frame_then_close, one_frame_then_stay)


def test_pauses_between_failing_connects_grow_on_the_market_clock() -> None:
    refused = Response(status_code=503)

    async def body(scene: Scene) -> None:
        await scene.feed.subscribe(["NSE_EQ|A"])
        scene.start()
        await scene.listener.until(lambda: bool(scene.listener.stamps))
        assert scene.clock.slept == [1.0, 2.0, 4.0]
        assert len(scene.listener.reasons) == 3

    play(body, refused, refused, refused, one_frame_then_stay)


def test_a_refused_token_is_reported_and_a_new_one_is_read_for_the_next_try() -> None:
    async def body(scene: Scene) -> None:
        scene.broker.accepted_token = "tomorrow"
        await scene.feed.subscribe(["NSE_EQ|A"])
        scene.start()
        await scene.listener.until(lambda: bool(scene.listener.reasons))
        assert "quant login" in scene.listener.reasons[0]
        assert "today" not in scene.listener.reasons[0]
        scene.token = "tomorrow"
        await scene.listener.until(lambda: bool(scene.listener.stamps))
        assert scene.broker.tokens[-1] == "Bearer tomorrow"

    play(body, one_frame_then_stay)


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (403, BrokerError), (503, UnavailableError)])
def test_a_refused_handshake_is_reported_without_its_one_time_code(status: int, error: type[Exception]) -> None:
    async def body(scene: Scene) -> None:
        with pytest.raises(error, match=str(status)) as caught:
            await scene.feed.connect_once()
        assert "code-" not in str(caught.value)
        assert not scene.feed.connected

    play(body, Response(status_code=status))


def test_a_server_that_is_gone_is_reported_as_unavailable() -> None:
    async def run() -> None:
        rest = UpstoxRest("http://127.0.0.1:9", lambda: "token", SteppingClock(), attempts=1)
        feed = UpstoxFeed(rest, SteppingClock(), Listener(), lambda: True)
        with pytest.raises(UnavailableError):
            await feed.connect_once()
        await rest.close()

    asyncio.run(run())


def test_silence_in_session_drops_the_connection_and_opens_another() -> None:
    async def body(scene: Scene) -> None:
        scene.feed = scene.make_feed(stall_after_s=0.3)
        await scene.feed.subscribe(["NSE_EQ|A"])
        scene.start()
        await scene.listener.until(lambda: bool(scene.listener.stamps))
        assert "no frame for" in scene.listener.reasons[0]
        assert len(scene.broker.lines) == 2

    play(body, silent, one_frame_then_stay)


def test_silence_outside_the_session_is_no_fault_until_the_session_begins() -> None:
    async def body(scene: Scene) -> None:
        scene.feed = scene.make_feed(stall_after_s=0.3)
        scene.in_session = False
        await scene.feed.subscribe(["NSE_EQ|A"])
        scene.start()
        await scene.listener.until(lambda: "connected" in scene.listener.heard)
        await asyncio.sleep(1.0)  # three times what would be a stall in session
        assert scene.listener.reasons == []
        scene.in_session = True
        await scene.listener.until(lambda: bool(scene.listener.reasons))
        assert "no frame for" in scene.listener.reasons[0]

    play(body, silent)


def test_a_feed_that_nobody_subscribed_to_may_be_silent() -> None:
    async def body(scene: Scene) -> None:
        scene.feed = scene.make_feed(stall_after_s=0.2)
        scene.start()
        await scene.listener.until(lambda: "connected" in scene.listener.heard)
        await asyncio.sleep(0.7)
        assert scene.listener.reasons == []

    play(body, stay)


def test_a_text_of_the_server_is_no_frame() -> None:
    async def text_then_frame(line: FeedLine) -> None:
        await line.socket.send_text('{"status": "failed", "method": "sub"}')
        await line.send(7)
        await line.until_closed()

    async def body(scene: Scene) -> None:
        await scene.feed.connect_once()
        await scene.feed.drained(1)
        assert scene.listener.stamps == [7]
        assert scene.feed.frames_received == 1

    play(body, text_then_frame)


def test_waiting_for_frames_ends_when_the_connection_is_lost() -> None:
    async def body(scene: Scene) -> None:
        await scene.feed.subscribe(["NSE_EQ|A"])
        await scene.feed.connect_once()
        async with asyncio.timeout(20):
            await scene.feed.drained(5)
        assert scene.listener.stamps == [1000]
        assert not scene.feed.connected

    play(body, one_frame_then_close)


def test_an_error_of_the_handler_closes_the_feed_and_comes_out() -> None:
    async def body(scene: Scene) -> None:
        scene.listener.frame_error = ZeroDivisionError("a core failed")
        await scene.feed.subscribe(["NSE_EQ|A"])
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(20):
                await scene.start()
        assert not scene.feed.connected
        assert scene.listener.stamps == []

    play(body, one_frame_then_stay)


def test_a_handler_that_cannot_prepare_leaves_no_connection_behind() -> None:
    async def body(scene: Scene) -> None:
        async def fail() -> None:
            raise UnavailableError("no history")

        scene.listener.prepare = fail
        with pytest.raises(UnavailableError, match="no history"):
            await scene.feed.connect_once()
        assert not scene.feed.connected
        assert scene.listener.heard == ["connecting", "disconnected"]
        assert scene.listener.reasons == ["no history"]
        scene.listener.prepare = None
        await scene.feed.subscribe(["NSE_EQ|A"])
        await scene.feed.connect_once()
        await scene.feed.drained(1)
        assert scene.listener.stamps == [2000]

    play(body, stay, one_frame_then_stay)


def test_frames_that_came_while_preparing_failed_belong_to_the_gap() -> None:
    async def body(scene: Scene) -> None:
        async def fail_after_a_frame() -> None:
            async with asyncio.timeout(20):
                while scene.feed.frames_received < 1:
                    await asyncio.sleep(0.005)
            raise UnavailableError("no history")

        await scene.feed.subscribe(["NSE_EQ|A"])
        await scene.feed.connect_once()
        await scene.feed.drained(1)
        scene.listener.prepare = fail_after_a_frame
        with pytest.raises(UnavailableError):
            await scene.feed.connect_once()
        scene.listener.prepare = None
        await scene.feed.connect_once()
        assert scene.listener.lost_since == [None, 1000 * NS_PER_MS, 1000 * NS_PER_MS]

    play(body, one_frame_then_close, one_frame_then_stay)


def test_cancelling_the_feed_closes_the_connection() -> None:
    async def body(scene: Scene) -> None:
        task = scene.start()
        await scene.listener.until(lambda: "connected" in scene.listener.heard)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert scene.listener.reasons == ["stopped"]
        assert not scene.feed.connected

    play(body, stay)
