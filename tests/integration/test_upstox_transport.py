"""Calls to the broker against a real server that misbehaves on demand."""

import asyncio
from collections.abc import Awaitable

import pytest
from starlette.responses import JSONResponse, Response
from structlog.testing import capture_logs

from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.adapters.broker.upstox_transport import RateLimiter
from quant_platform.domain.errors import AuthenticationError, BrokerError, RateLimitError, UnavailableError
from quant_platform.protocol.upstox import codes, paths

from .scripted_broker import TOKEN, ScriptedBroker, SteppingClock, data, error, with_client

PROFILE = data({"user_id": "AB1234", "user_name": "A Trader", "is_active": True, "poa": False})


def test_a_call_shows_the_token_of_its_moment() -> None:
    tokens = iter(["of-today\n", "of-tomorrow"])

    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, PROFILE)
        assert (await rest.profile()).user_id == "AB1234"
        await rest.profile()
        shown = [request.headers["Authorization"] for request in broker.requests]
        assert shown == ["Bearer of-today", "Bearer of-tomorrow"]

    with_client(body, lambda: next(tokens))


@pytest.mark.parametrize("token", ["", "  \n", "two words", "tök", "line\nbreak"])
def test_a_missing_or_malformed_token_is_never_sent_nor_shown(token: str) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        with pytest.raises(AuthenticationError) as caught:
            await rest.profile()
        assert "quant login" in str(caught.value)
        assert not token.strip() or token not in str(caught.value)
        assert broker.requests == []

    with_client(body, lambda: token)


def test_too_many_requests_is_waited_for_as_long_as_the_broker_asks() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.RATE_LIMIT, 429, **{"Retry-After": "7"}), PROFILE)
        await rest.profile()
        assert sum(clock.slept) == pytest.approx(7)

    with_client(body)


def test_a_rate_limit_under_http_200_is_recognised() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.RATE_LIMIT, 200), PROFILE)
        await rest.profile()
        assert len(broker.requests) == 2
        assert clock.slept

    with_client(body)


def test_a_retry_after_given_as_a_date_counts_from_the_replys_own_date() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        stamps = {"Date": "Fri, 24 Apr 2026 03:45:00 GMT", "Retry-After": "Fri, 24 Apr 2026 03:45:09 GMT"}
        broker.answer(paths.PROFILE, error(codes.RATE_LIMIT, 429, **stamps), PROFILE)
        await rest.profile()
        assert sum(clock.slept) == pytest.approx(9)

    with_client(body)


def test_a_pause_of_many_minutes_is_reported_instead_of_waited_for() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.RATE_LIMIT, 429, **{"Retry-After": "1800"}), PROFILE)
        with pytest.raises(RateLimitError, match="1800 s"):
            await rest.profile()
        assert clock.slept == []

    with_client(body)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failing_server_is_tried_again_with_growing_pauses(status: int) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        down = Response("<html>down</html>", status)
        broker.answer(paths.PROFILE, down, down, down, PROFILE)
        await rest.profile()
        assert clock.slept == pytest.approx([0.5, 1.0, 2.0])

    with capture_logs() as logged:
        with_client(body)
    assert [entry["path"] for entry in logged if entry["event"] == "asking the broker again"] == [paths.PROFILE] * 3
    assert TOKEN not in str(logged)


def test_a_server_that_stays_down_is_reported_after_the_last_try() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.SYSTEM_FAILURE, 500))
        with pytest.raises(UnavailableError, match=r"/v2/user/profile.*UDAPI100500, HTTP 500"):
            await rest.profile()
        assert len(broker.requests) == 3

    with_client(body, attempts=3)


def test_a_host_that_does_not_answer_is_named() -> None:
    async def run() -> None:
        rest = UpstoxRest("http://127.0.0.1:9", lambda: TOKEN, SteppingClock(), attempts=2)
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9 did not answer /v2/user/profile"):
            await rest.profile()
        await rest.close()

    asyncio.run(run())


def test_an_answer_cut_short_is_tried_again() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, Response(b'{"status":"success","data":{"user_', 200), PROFILE)
        assert (await rest.profile()).user_id == "AB1234"

    with_client(body)


@pytest.mark.parametrize("body_text", [b'{"status":"success"}', b'{"data":{"user_id":7}}', b"[]", b""])
def test_an_answer_of_another_shape_is_reported(body_text: bytes) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, Response(body_text))
        with pytest.raises(UnavailableError, match="not as documented"):
            await rest.profile()

    with_client(body)


def test_an_expired_token_is_not_tried_again_and_tells_the_cure() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.INVALID_TOKEN, 401))
        with pytest.raises(AuthenticationError) as caught:
            await rest.profile()
        assert (caught.value.code, caught.value.status) == ("UDAPI100050", 401)
        assert "quant login" in str(caught.value)
        assert TOKEN not in str(caught.value)
        assert len(broker.requests) == 1

    with_client(body)


@pytest.mark.parametrize("spelling", ["errorCode", "error_code"])
def test_both_spellings_of_an_error_are_read(spelling: str) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer("/v2/market/status/NOPE", JSONResponse({"errors": [{spelling: "UDAPI1089"}]}, 400))
        with pytest.raises(BrokerError) as caught:
            await rest.market_status("NOPE")
        assert caught.value.code == "UDAPI1089"
        assert "the exchange is invalid" in str(caught.value)

    with_client(body)


def in_any_window(sent: list[int], seconds: int) -> int:
    return max(sum(1 for other in sent if ts <= other < ts + seconds * 10**9) for ts in sent)


def test_no_window_of_time_ever_holds_more_calls_than_the_broker_allows() -> None:
    async def run() -> None:
        clock = SteppingClock()
        limiter = RateLimiter(clock, ((1, 5), (60, 20), (1800, 30)))
        sent: list[int] = []

        async def call() -> None:
            await limiter.acquire()
            sent.append(clock.now_ns())

        calls: list[Awaitable[None]] = [call() for _ in range(70)]
        await asyncio.gather(*calls)
        assert [in_any_window(sent, seconds) for seconds in (1, 60, 1800)] == [5, 20, 30]
        assert sum(clock.slept) == pytest.approx(3600, rel=0.01)

    asyncio.run(run())
