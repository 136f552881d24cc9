"""How a call reaches Upstox: within the rate limits, tried again where that helps, with clear errors."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog

from quant_platform.domain.errors import (
    AuthenticationError,
    BrokerError,
    QuantError,
    RateLimitError,
    UnavailableError,
)
from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.ports.clock import Clock
from quant_platform.protocol.upstox import codes, limits

TokenSource = Callable[[], str]
"""Where the access token is read, anew on every use: it dies at 03:30 IST and is then replaced."""

LOGIN_CURE = codes.CODES[codes.INVALID_TOKEN].cure
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 8.0
LONGEST_HOLD_S = 60.0
"""A broker that asks to wait longer than this is reported instead of waited for."""

_TOKEN_CODES = frozenset({codes.INVALID_TOKEN, "UDAPI100016", "UDAPI100067"})
_log = structlog.get_logger(__name__)


def is_local(url: str) -> bool:
    """Whether a URL leads to this machine, where no proxy of the environment may stand between."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def bearer(token: TokenSource) -> dict[str, str]:
    """The header that carries the token of this moment.

    Raises:
        AuthenticationError: there is no token, or it has characters that no token has.
    """
    text = token().strip()
    if not text:
        raise AuthenticationError("there is no Upstox access token", LOGIN_CURE)
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise AuthenticationError("the Upstox access token is malformed", LOGIN_CURE)
    return {"Authorization": f"Bearer {text}"}


class RateLimiter:
    """Lets calls through so that no window of time ever holds more than its limit.

    Args:
        clock: what is waited on.
        windows: (seconds, calls) pairs.
    """

    def __init__(self, clock: Clock, windows: Sequence[tuple[int, int]]) -> None:
        self._clock = clock
        self._windows = windows
        self._sent: deque[int] = deque(maxlen=max(calls for _, calls in windows))
        self._held_until_ns = 0
        self._turn = asyncio.Lock()

    def hold(self, seconds: float) -> None:
        """Let nothing through for this long: the broker said so."""
        self._held_until_ns = max(self._held_until_ns, self._clock.now_ns() + round(seconds * NS_PER_SECOND))

    async def acquire(self) -> None:
        """Wait for a free place, in order of arrival, and take it.

        Raises:
            RateLimitError: the broker asked for a longer pause than is waited for.
        """
        async with self._turn:
            held_s = (self._held_until_ns - self._clock.now_ns()) / NS_PER_SECOND
            if held_s > LONGEST_HOLD_S:
                raise RateLimitError(f"Upstox asked to be left alone for {held_s:.0f} s", "try again then")
            while (wait_ns := self._free_at_ns() - self._clock.now_ns()) > 0:
                if wait_ns > LONGEST_BACKOFF_S * NS_PER_SECOND:
                    _log.info("waiting for the broker's rate limit", seconds=round(wait_ns / NS_PER_SECOND, 1))
                await self._clock.sleep(wait_ns / NS_PER_SECOND)
            self._sent.append(self._clock.now_ns())

    def _free_at_ns(self) -> int:
        free_at = self._held_until_ns
        for seconds, calls in self._windows:
            if len(self._sent) >= calls:
                free_at = max(free_at, self._sent[-calls] + seconds * NS_PER_SECOND)
        return free_at


class UpstoxTransport:
    """GET requests to one host.

    A reply of 429 or 5xx, a reply that is no JSON and a connection error are tried again. Before that all
    calls are held back for a growing pause on the clock, or as long as ``Retry-After`` says.

    Args:
        base_url: ``https://api.upstox.com``, or a simulator's.
        token: read on every call.
        clock: what pauses and rate limits are measured on.
        attempts: tries of one call altogether.
        timeout_s: for each try, seconds of the wall.
    """

    def __init__(
        self, base_url: str, token: TokenSource, clock: Clock, *, attempts: int = 5, timeout_s: float = 10.0
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._token = token
        self._clock = clock
        self._attempts = attempts
        self._limiter = RateLimiter(clock, limits.STANDARD.windows)
        self._client = httpx.AsyncClient(
            headers={"Accept": "application/json"}, timeout=timeout_s, trust_env=not is_local(base_url)
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        host: str = "",
        authorised: bool = True,
        attempts: int | None = None,
    ) -> bytes:
        """The body of a reply that succeeded.

        Args:
            path: below the host.
            query: parameters, not yet encoded.
            host: another host than the base URL.
            authorised: send the token.
            attempts: tries altogether, where other than usual.

        Raises:
            AuthenticationError: the token is missing, wrong or expired.
            RateLimitError: the broker refused for longer than is waited for.
            BrokerError: the broker refused the call.
            UnavailableError: the broker cannot be reached, or failed on every try.
        """
        pause_s = FIRST_BACKOFF_S
        attempt = 0
        while True:
            attempt += 1
            await self._limiter.acquire()
            try:
                return await self._try(path, f"{host or self.base_url}{path}", query, authorised)
            except (RateLimitError, UnavailableError) as failure:
                if attempt >= (attempts or self._attempts):
                    raise
                _log.warning("asking the broker again", path=path, attempt=attempt, reason=failure.what)
            self._limiter.hold(pause_s)
            pause_s = min(2 * pause_s, LONGEST_BACKOFF_S)

    async def _try(self, path: str, url: str, query: Mapping[str, str] | None, authorised: bool) -> bytes:
        headers = bearer(self._token) if authorised else {}
        try:
            reply = await self._client.get(url, params=query, headers=headers)
        except httpx.RequestError as error:
            raise UnavailableError(
                f"{self.base_url} did not answer {path} ({type(error).__name__})",
                "check the network and Upstox's status page",
            ) from None
        failure = failure_of(path, reply)
        if failure is None:
            return reply.content
        self._limiter.hold(_retry_after_s(reply))
        raise failure


def failure_of(path: str, reply: httpx.Response) -> QuantError | None:
    """What a reply says went wrong; an error may also arrive under HTTP 200."""
    status = reply.status_code
    body: object = None
    if status >= HTTPStatus.BAD_REQUEST or reply.content.startswith(b"{"):
        try:
            body = msgspec.json.decode(reply.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if status < HTTPStatus.BAD_REQUEST:
                return UnavailableError(f"the answer to {path} is no valid JSON", "try again")
    found = codes.problems(body)
    if status < HTTPStatus.BAD_REQUEST and not found:
        return None
    return _error(path, status, found[0] if found else codes.Problem("", reply.reason_phrase))


def _error(path: str, status: int, problem: codes.Problem) -> QuantError:
    """The exception for one error of the broker, in words of our own where the code is known."""
    meaning = codes.CODES.get(problem.code, codes.Meaning(problem.message or "no reason given"))
    named = f" ({problem.property_path}: {problem.invalid_value})" if problem.invalid_value else ""
    number = f"{problem.code}, HTTP {status}" if problem.code else f"HTTP {status}"
    what = f"Upstox refused {path}: {meaning.what}{named} [{number}]"
    if status == HTTPStatus.TOO_MANY_REQUESTS or problem.code == codes.RATE_LIMIT:
        return RateLimitError(
            what, meaning.cure or codes.CODES[codes.RATE_LIMIT].cure, code=problem.code, status=status
        )
    if status == HTTPStatus.UNAUTHORIZED or problem.code in _TOKEN_CODES:
        return AuthenticationError(what, meaning.cure or LOGIN_CURE, code=problem.code, status=status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError(what, meaning.cure or "try again")
    return BrokerError(what, meaning.cure, code=problem.code, status=status)


def _retry_after_s(reply: httpx.Response) -> float:
    """Seconds that the broker asks to wait, given as a number or as a date; 0 when it does not say."""
    text = reply.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(reply.headers.get("Date", ""))
        return max((until - now).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return 0.0
