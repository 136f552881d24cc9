"""What a client asks of the market data feed: small JSON documents in binary WebSocket messages."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from quant_platform.protocol.upstox import market_data_feed_pb2 as wire

SUBSCRIBE = "sub"
UNSUBSCRIBE = "unsub"
CHANGE_MODE = "change_mode"

LTPC = "ltpc"
FULL = "full"
OPTION_GREEKS = "option_greeks"

REQUEST_MODES: Mapping[str, wire.RequestMode.ValueType] = {
    LTPC: wire.ltpc,
    FULL: wire.full_d5,
    OPTION_GREEKS: wire.option_greeks,
    "full_d30": wire.full_d30,
}
"""Mode of subscription → ``requestMode`` of the frames."""


class FeedRequest(NamedTuple):
    """One request of a client."""

    guid: str
    method: str  # SUBSCRIBE | UNSUBSCRIBE | CHANGE_MODE
    keys: tuple[str, ...]
    mode: str = LTPC

    def encode(self) -> bytes:
        """The message to send, as binary."""
        data: dict[str, object] = {"instrumentKeys": list(self.keys)}
        if self.method != UNSUBSCRIBE:
            data["mode"] = self.mode
        return json.dumps({"guid": self.guid, "method": self.method, "data": data}).encode()


def decode_request(message: bytes | str) -> FeedRequest:
    """The request in a client's message.

    Raises:
        ValueError: the message is no request; the text says why.
    """
    try:
        document = json.loads(message)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"the request is no JSON: {error}") from None
    document = document if isinstance(document, dict) else {}
    data = document.get("data")
    data = data if isinstance(data, dict) else {}
    keys = data.get("instrumentKeys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("the request has no list data.instrumentKeys")
    method = document.get("method")
    if method not in {SUBSCRIBE, UNSUBSCRIBE, CHANGE_MODE}:
        raise ValueError(f"unknown method {method!r}; known are sub, unsub, change_mode")
    mode = data.get("mode") or LTPC
    if mode not in REQUEST_MODES:
        raise ValueError(f"unknown mode {mode!r}; known are {', '.join(REQUEST_MODES)}")
    return FeedRequest(str(document.get("guid") or ""), method, tuple(keys), mode)
