"""Look-ups by name and type over any state cache: quotes, picks, subscriptions, notes, the halt flag's copy."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from quant_platform.domain import lookups
from quant_platform.domain.lookups import HaltCopy, LatestPicks, LatestQuote, Lookup
from quant_platform.ports.state_cache import CacheEntry, StateCache

_encode = msgspec.json.Encoder().encode
_KINDS = (lookups.QUOTE, lookups.SESSION, lookups.SUBSCRIPTIONS, lookups.HALT, lookups.PICKS)
_decoders = {kind.name: msgspec.json.Decoder(kind.schema).decode for kind in _KINDS}


class Lookups:
    """What services leave in the cache for each other and for screens.

    A value that cannot be read, as one of another version of the program, counts as not known. Every method passes
    on what the cache raises; a :class:`~quant_platform.hosts.forgiving_cache.ForgivingCache` raises nothing.

    Args:
        cache: where they are kept.
    """

    def __init__(self, cache: StateCache) -> None:
        self._cache = cache

    def put_quotes(self, quotes: Sequence[LatestQuote]) -> None:
        """Leave the newest quote of each of these symbols, in one round trip."""
        kind = lookups.QUOTE
        if quotes:
            self._cache.put(
                [CacheEntry(kind.key(quote.symbol), _encode(quote), kind.lives_s, lasting=False) for quote in quotes]
            )

    def quotes(self, symbols: Sequence[str]) -> dict[str, LatestQuote]:
        """Symbol → its latest quote, of those that are known, in one round trip."""
        values = self._cache.get([lookups.QUOTE.key(symbol) for symbol in symbols])
        found = {symbol: _read(lookups.QUOTE, value) for symbol, value in zip(symbols, values, strict=True)}
        return {symbol: quote for symbol, quote in found.items() if quote is not None}

    def put_subscriptions(self, symbols: Collection[str]) -> None:
        """Leave all symbols that are subscribed to now."""
        self._put(lookups.SUBSCRIPTIONS, sorted(symbols))

    def subscriptions(self) -> list[str] | None:
        """The symbols subscribed to, sorted; None where nobody has said so."""
        found: list[str] | None = self._get(lookups.SUBSCRIPTIONS)
        return found

    def put_picks(self, picks: LatestPicks) -> None:
        """Leave the scanner's last picks."""
        self._put(lookups.PICKS, picks)

    def picks(self) -> LatestPicks | None:
        """The scanner's last picks, where known."""
        found: LatestPicks | None = self._get(lookups.PICKS)
        return found

    def put_halt(self, portfolio: str, halt: HaltCopy) -> None:
        """Leave a copy of the halt flag. It lives for a minute: write it anew well within that."""
        self._put(lookups.HALT, halt, portfolio)

    def halt(self, portfolio: str) -> HaltCopy | None:
        """The copy of the halt flag; None where there is none, and then only the ledger knows."""
        found: HaltCopy | None = self._get(lookups.HALT, portfolio)
        return found

    def put_session(self, name: str, notes: Mapping[str, Any]) -> None:
        """Leave a small JSON object under a name."""
        self._put(lookups.SESSION, notes, name)

    def session(self, name: str) -> dict[str, Any] | None:
        """The JSON object of this name, where known."""
        found: dict[str, Any] | None = self._get(lookups.SESSION, name)
        return found

    def _put(self, kind: Lookup, value: object, of: str = "") -> None:
        self._cache.put([CacheEntry(kind.key(of), _encode(value), kind.lives_s)])

    def _get(self, kind: Lookup, of: str = "") -> Any:
        [value] = self._cache.get([kind.key(of)])
        return _read(kind, value)


def _read(kind: Lookup, value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return _decoders[kind.name](value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
