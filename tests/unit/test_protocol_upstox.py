"""The wire of the broker: generated code is current, messages match the broker, limits and errors hold."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from quant_platform.protocol.upstox import codes, feed_requests, limits, paths
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire

ROOT = Path(__file__).resolve().parents[2]
PROTO = "quant_platform/protocol/upstox/market_data_feed.proto"


def test_generated_files_are_what_the_proto_file_gives(tmp_path: Path) -> None:
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--plugin=protoc-gen-mypy={plugin}"]
    outputs = [f"--python_out={tmp_path}", f"--mypy_out={tmp_path}"]
    subprocess.run([*command, *outputs, PROTO], cwd=ROOT, check=True, capture_output=True)
    for suffix in ("_pb2.py", "_pb2.pyi"):
        name = PROTO.replace(".proto", suffix)
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name} is stale: generate it anew"


def test_messages_have_the_members_of_the_official_sdk() -> None:
    official = pytest.importorskip("upstox_client.feeder.proto.MarketDataFeedV3_pb2").DESCRIPTOR
    assert set(official.message_types_by_name) == set(wire.DESCRIPTOR.message_types_by_name)
    for name, message in official.message_types_by_name.items():
        ours = wire.DESCRIPTOR.message_types_by_name[name].fields
        assert {(f.name, f.number, f.type) for f in ours} == {(f.name, f.number, f.type) for f in message.fields}
    for name, enum in official.enum_types_by_name.items():
        ours_enum = wire.DESCRIPTOR.enum_types_by_name[name].values
        assert {(v.name, v.number) for v in ours_enum} == {(v.name, v.number) for v in enum.values}


def test_every_paisa_survives_the_double_on_the_wire() -> None:
    for paise in (*range(1, 30_000), 2_147_483_646, 2_147_483_647):
        frame = wire.LTPC(ltp=paise / 100).SerializeToString()
        assert round(wire.LTPC.FromString(frame).ltp * 100) == paise


def test_error_envelope_carries_both_spellings_and_no_data() -> None:
    body = codes.error_envelope(codes.INVALID_KEY, path="instrumentKey", value="NSE_EQ|X")
    assert "data" not in body
    error = body["errors"][0]
    assert error["errorCode"] == error["error_code"] == "UDAPI100011"
    assert error["propertyPath"] == error["property_path"] == "instrumentKey"
    assert error["invalidValue"] == error["invalid_value"] == "NSE_EQ|X"
    assert error["message"] == "invalid instrument key"


@pytest.mark.parametrize("key", ["errorCode", "error_code"])
def test_errors_are_read_in_either_spelling(key: str) -> None:
    body = json.loads(json.dumps({"status": "error", "errors": [{key: "UDAPI10005", "message": "slow down"}]}))
    assert codes.problems(body) == [codes.Problem("UDAPI10005", "slow down")]


@pytest.mark.parametrize("body", [None, [], "text", {}, {"errors": None}, {"errors": ["x"]}])
def test_a_reply_that_is_no_error_envelope_has_no_errors(body: object) -> None:
    assert codes.problems(body) == []


@pytest.mark.parametrize(
    ("unit", "interval", "last", "first"),
    [
        ("minutes", 1, date(2026, 3, 31), date(2026, 2, 28)),
        ("minutes", 15, date(2026, 1, 10), date(2025, 12, 10)),
        ("minutes", 16, date(2026, 1, 10), date(2025, 10, 10)),
        ("hours", 1, date(2026, 5, 31), date(2026, 2, 28)),
        ("days", 1, date(2026, 5, 31), date(2016, 5, 31)),
        ("weeks", 1, date(2026, 5, 31), None),
    ],
)
def test_earliest_from_date_of_a_candle_request(unit: str, interval: int, last: date, first: date | None) -> None:
    assert limits.earliest_from(unit, interval, last) == first


def test_candle_paths_quote_the_key_and_put_the_last_date_first() -> None:
    path = paths.history("NSE_INDEX|Nifty 50", "minutes", 1, date(2026, 8, 18), date(2026, 8, 1))
    assert path == "/v3/historical-candle/NSE_INDEX%7CNifty%2050/minutes/1/2026-08-18/2026-08-01"
    assert paths.intraday("NSE_EQ|INE002A01018", "minutes", 5).endswith("/intraday/NSE_EQ%7CINE002A01018/minutes/5")


def test_feed_requests_survive_the_wire() -> None:
    for method in (feed_requests.SUBSCRIBE, feed_requests.CHANGE_MODE):
        request = feed_requests.FeedRequest("g", method, ("NSE_EQ|A", "NSE_EQ|B"), feed_requests.FULL)
        assert feed_requests.decode_request(request.encode()) == request
    unsubscribe = feed_requests.FeedRequest("g", feed_requests.UNSUBSCRIBE, ("NSE_EQ|A",))
    assert b"mode" not in unsubscribe.encode()
    assert feed_requests.decode_request(unsubscribe.encode().decode()) == unsubscribe


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\xff", "no JSON"),
        (b"[]", "instrumentKeys"),
        (b'{"method": "sub", "data": {"instrumentKeys": "A"}}', "instrumentKeys"),
        (b'{"method": "buy", "data": {"instrumentKeys": []}}', "unknown method 'buy'"),
        (b'{"method": "sub", "data": {"mode": "deep", "instrumentKeys": []}}', "unknown mode 'deep'"),
    ],
)
def test_a_malformed_feed_request_says_what_is_wrong(message: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        feed_requests.decode_request(message)
