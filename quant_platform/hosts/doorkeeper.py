"""Who may in: judges shown keys by the ledger's rows."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock

from quant_platform.hosts.api_keys import allows, proves, split_token
from quant_platform.ports.api_keys import Admission, ApiKey, KeyStore

MOST_REMEMBERED = 1000
"""Proved keys; beyond, they are proved anew."""


def utc_now() -> datetime:
    """The wall's time, by which keys expire."""
    return datetime.now(UTC)


class Doorkeeper:
    """Judges keys. Threads may share it.

    A key's row is read at every request, so that one that was revoked is refused at once. The slow hash is computed
    once for each key: that a token was the right one for this hash is remembered, as a digest of the two.

    Args:
        keys: the store; raises :class:`UnavailableError` while it is away.
        now: by which keys expire.
    """

    def __init__(self, keys: Callable[[], KeyStore], now: Callable[[], datetime] = utc_now) -> None:
        self._keys = keys
        self._now = now
        self._proved: set[bytes] = set()
        # One proof at a time: wrong keys may take one core and 19 MB, not all there is.
        self._proving = Lock()

    def admit(self, token: str, scope: str) -> Admission:
        """Judge a key as it was shown.

        Args:
            token: what the client sent as its key.
            scope: what it would do.

        Raises:
            UnavailableError: the store cannot be reached now.
        """
        parts = split_token(token)
        if parts is None:
            return Admission.UNKNOWN
        key_id, secret = parts
        key = self._keys().find_key(key_id)
        if not self._is_proved(token, secret, key) or key is None:
            return Admission.UNKNOWN
        if key.revoked_at is not None:
            return Admission.REVOKED
        if key.expires_at is not None and key.expires_at <= self._now():
            return Admission.EXPIRED
        return Admission.ADMITTED if allows(key, scope) else Admission.NOT_ENOUGH

    def _is_proved(self, token: str, secret: str, key: ApiKey | None) -> bool:
        digest = hashlib.sha256(f"{token} {key.secret_hash if key else ''}".encode()).digest()
        if digest in self._proved:
            return True
        with self._proving:
            proved = proves(secret, key)
            if proved:
                if len(self._proved) >= MOST_REMEMBERED:
                    self._proved.clear()
                self._proved.add(digest)
        return proved
