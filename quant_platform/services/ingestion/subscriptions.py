"""Which symbols the feed is asked for: a set that only grows within a session."""

from collections.abc import Iterable

from quant_platform.domain.snapshots import pack, unpack

KIND = "subscriptions/1"


class Subscriptions:
    """The symbols of one session, in the order they were picked."""

    def __init__(self) -> None:
        self._day = 0
        self._symbols: dict[str, None] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """All of the session so far."""
        return tuple(self._symbols)

    def begin(self, day: int) -> list[str]:
        """Start the session of an IST date (days since the epoch), unless it is the one that runs.

        Returns:
            The symbols of the session before, which are now to be unsubscribed.
        """
        if day == self._day:
            return []
        gone = list(self._symbols)
        self._day = day
        self._symbols.clear()
        return gone

    def add(self, picks: Iterable[str]) -> list[str]:
        """Take picks in; nothing picked earlier in the session leaves.

        Returns:
            Those that are new, each once, in order.
        """
        new = [symbol for symbol in dict.fromkeys(picks) if symbol not in self._symbols]
        self._symbols.update(dict.fromkeys(new))
        return new

    def snapshot(self) -> bytes:
        """The session and its symbols."""
        return pack(KIND, {}, {"day": self._day, "symbols": list(self._symbols)})

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            LedgerError: it was made by another version.
        """
        _, values = unpack(KIND, state, {})
        self._day = values["day"]
        self._symbols = dict.fromkeys(values["symbols"])
