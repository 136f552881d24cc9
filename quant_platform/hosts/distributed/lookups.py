"""What services leave in the state cache for screens and for each other, and how it is read."""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import structlog

from quant_platform.domain.errors import QuantError, UnavailableError
from quant_platform.domain.lookups import HALT, QUOTE, SESSION, SUBSCRIPTIONS, HaltCopy, Lookup, SessionState
from quant_platform.domain.money import rupees
from quant_platform.domain.records import EnrichedRecord, Reader, Unreadable, encode
from quant_platform.hosts.health import Health
from quant_platform.ports.ledger_store import HaltFlag, LedgerBlock
from quant_platform.ports.state_cache import CacheEntry, StateCache

EVERY_S = 0.2
AWAY_S = 1.0
"""How often values are sent, and how often a cache that is away is tried."""

_READERS = {kind.name: Reader(kind.schema) for kind in (QUOTE, SESSION, HALT, SUBSCRIPTIONS)}

_log = structlog.get_logger(__name__)


class LookupWriter:
    """Sends the newest values from a thread of its own while the ``with`` block lasts.

    Whoever hands one over never waits and never fails: a cache that is away gets the newest of each when it is back.
    One that comes back empty is told the rest by and by, as each value is put anew; after the market's close no more.

    Args:
        cache: closed with the block.
        health: shows whether the cache is there; the service is ready without it.

    Raises:
        ConfigurationError: the cache refuses us.
    """

    def __init__(self, cache: StateCache, health: Health) -> None:
        self._cache = cache
        self._available = health.gauge("quant_cache_available", "1 while the state cache takes values")
        self._failures = health.counter("quant_cache_failures_total", "Calls that the state cache failed")
        self._lock = threading.Lock()
        self._waiting: dict[str, CacheEntry] = {}
        self._trouble = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send_until_closed, name="lookups", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._cache.get([SUBSCRIPTIONS.key()])
        except UnavailableError as error:
            self._note(str(error))
        else:
            self._note("")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._cache.close()

    def put_quotes(self, records: Mapping[str, bytes]) -> None:
        """Leave the newest :class:`EnrichedRecord` of each symbol, encoded."""
        self._put(CacheEntry(QUOTE.key(symbol), value, QUOTE.lives_s) for symbol, value in records.items())

    def put_session(self, portfolio: str, run_id: str, block: LedgerBlock, halt: HaltFlag) -> None:
        """Leave how a portfolio stands after a block, and a copy of the halt flag that its commit found."""
        cash, equity = float(rupees(block.balance)), float(rupees(block.last_equity))
        state = SessionState(run_id, block.moment, cash, equity, len(block.positions))
        left = ((SESSION, state), (HALT, HaltCopy(halt.halted, halt.reason, block.moment)))
        self._put(CacheEntry(kind.key(portfolio), encode(value), kind.lives_s) for kind, value in left)

    def put_subscriptions(self, symbols: Collection[str]) -> None:
        """Leave all symbols that are subscribed to now."""
        self._put([CacheEntry(SUBSCRIPTIONS.key(), encode(sorted(symbols)), SUBSCRIPTIONS.lives_s)])

    def _put(self, entries: Iterable[CacheEntry]) -> None:
        with self._lock:
            self._waiting.update((entry.key, entry) for entry in entries)

    def _send_until_closed(self) -> None:
        while not self._closing.wait(AWAY_S if self._trouble else EVERY_S):
            self._send()
        self._send()

    def _send(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, {}
        if not taken:
            return
        try:
            self._cache.put(list(taken.values()))
        except QuantError as error:
            self._failures.inc()
            self._note(str(error))
            with self._lock:
                self._waiting = taken | self._waiting
        else:
            self._note("")

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            _log.warning("the state cache is away; everything goes on without it", reason=trouble)
        elif self._trouble and not trouble:
            _log.info("the state cache is back")
        self._trouble = trouble
        self._available.set(not trouble)


class LookupReader:
    """Reads what was left. A cache that is away knows nothing; nor is a value known that cannot be read.

    Args:
        cache: where from.
    """

    def __init__(self, cache: StateCache) -> None:
        self._cache = cache

    def quotes(self, symbols: Sequence[str]) -> dict[str, EnrichedRecord]:
        """Symbol → its newest tick, of those that are known, in one round trip."""
        values = self._get([QUOTE.key(symbol) for symbol in symbols])
        found = {symbol: _read(QUOTE, value) for symbol, value in zip(symbols, values, strict=True)}
        return {symbol: quote for symbol, quote in found.items() if quote is not None}

    def session(self, portfolio: str) -> SessionState | None:
        """How a portfolio stood at its runtime's last commit."""
        found: SessionState | None = self._one(SESSION, portfolio)
        return found

    def halt(self, portfolio: str) -> HaltCopy | None:
        """The copy of the halt flag; None where there is none, and then only the ledger knows."""
        found: HaltCopy | None = self._one(HALT, portfolio)
        return found

    def subscriptions(self) -> list[str] | None:
        """The symbols subscribed to, sorted; None where nobody has said so."""
        found: list[str] | None = self._one(SUBSCRIPTIONS)
        return found

    def _one(self, kind: Lookup, of: str = "") -> Any:
        [value] = self._get([kind.key(of)])
        return _read(kind, value)

    def _get(self, keys: Sequence[str]) -> list[bytes | None]:
        try:
            return self._cache.get(keys)
        except QuantError:
            return [None] * len(keys)


def _read(kind: Lookup, value: bytes | None) -> Any:
    found = None if value is None else _READERS[kind.name].read(value)
    return None if isinstance(found, Unreadable) else found
