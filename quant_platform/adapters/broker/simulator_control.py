"""The line on which the platform drives a simulated exchange's clock; no real broker has one."""

from http import HTTPStatus
from typing import Literal, TypeVar

import httpx
import msgspec

from quant_platform.adapters.broker.upstox_transport import TokenSource, bearer, is_local
from quant_platform.domain.errors import AuthenticationError, BrokerError, UnavailableError

T = TypeVar("T")

ADVANCE_TIMEOUT_S = 600.0
"""An advance may compute a whole trading day."""


class Advanced(msgspec.Struct, frozen=True):
    """Where an advance came to."""

    now_ns: int  # ns UTC; below the moment asked for where the connection was cut
    frames: int  # sent on the newest connection so far, the first ones included
    connected: bool
    finished: bool  # the simulated market has nothing more to show


class SimulatorClock(msgspec.Struct, frozen=True):
    """The simulated exchange's time and what it plays."""

    now_ns: int  # ns UTC
    start_ns: int
    end_ns: int
    finished: bool  # the simulated market has nothing more to show, and its clock stands
    speed: float | Literal["max"]  # market seconds per second of the wall; max: driven in lockstep
    source: str  # demo | replay
    depth: bool  # whether frames carry a book


class SimulatorControl:
    """Client of the control endpoints.

    Args:
        base_url: of the simulator.
        token: read on every call.
    """

    def __init__(self, base_url: str, token: TokenSource) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._client = httpx.AsyncClient(timeout=ADVANCE_TIMEOUT_S, trust_env=not is_local(base_url))

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()

    async def clock(self) -> SimulatorClock:
        """The simulator's clock now."""
        return await self._call("GET", "/simulator/clock", None, SimulatorClock)

    async def advance(self, to_ns: int, requests: int) -> Advanced:
        """Let the simulated market go on to a moment and send everything until then.

        Args:
            to_ns: ns UTC.
            requests: sent on the newest feed connection; the simulator processes them all before it advances.
        """
        body = msgspec.json.encode({"to_ns": to_ns, "requests": requests})
        return await self._call("POST", "/simulator/advance", body, Advanced)

    async def _call(self, method: str, path: str, body: bytes | None, shape: type[T]) -> T:
        headers = bearer(self._token) | {"Content-Type": "application/json"}
        try:
            reply = await self._client.request(method, self._base_url + path, content=body, headers=headers)
        except httpx.RequestError as error:
            raise UnavailableError(
                f"the simulated exchange at {self._base_url} does not answer ({type(error).__name__})",
                "see whether its process still runs",
            ) from None
        if reply.status_code == HTTPStatus.UNAUTHORIZED:
            raise AuthenticationError(
                f"the simulated exchange at {self._base_url} refuses the token",
                "set UPSTOX_ACCESS_TOKEN to the token that `quant exchange` printed when it started",
                status=reply.status_code,
            )
        if reply.is_error:
            raise BrokerError(
                f"the simulated exchange refused {path} [HTTP {reply.status_code}]",
                "start `quant exchange` and the platform from the same version",
                status=reply.status_code,
            )
        try:
            return msgspec.json.decode(reply.content, type=shape, strict=False)
        except msgspec.DecodeError as error:
            raise BrokerError(f"the simulated exchange answered {path} unexpectedly ({error})") from None
