"""Bearer keys of the HTTP API: how one is made, written, read and proved.

A key is ``quant_<id>_<secret>``. The id finds its row, so that one hash is computed and not one for each key there is;
the secret is 256 random bits, of which only an Argon2id hash is kept.
"""

import base64
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from quant_platform.domain.errors import ConfigurationError, UsageError
from quant_platform.ports.api_keys import ApiKey

SCOPES = {
    "read": "look at everything the API shows",
    "trade": "halt, resume and square off",
    "admin": "all of it",
}
"""Scope → what its holder may do. ``admin`` includes the others; ``trade`` does not include ``read``."""

MAX_NAME = 100
_TOKEN = re.compile(r"quant_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_ID_BYTES = 6
_SECRET_BYTES = 32

# OWASP's first choice. A secret of 256 bits cannot be guessed at any price; more memory would only serve a flood.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODYS_HASH = _hasher.hash(secrets.token_bytes(_SECRET_BYTES))


class NewKey(NamedTuple):
    """A key that was just made. ``token`` is shown to its owner once and kept nowhere."""

    token: str
    key: ApiKey

    def __repr__(self) -> str:
        return f"NewKey({self.key.key_id})"


def new_key(name: str, scopes: Sequence[str], now: datetime, expires_at: datetime | None = None) -> NewKey:
    """Make a key.

    Args:
        name: what it is for.
        scopes: of :data:`SCOPES`, at least one.
        now: when it is made.
        expires_at: when it ends; None for never.

    Raises:
        UsageError: the name is empty or too long, a scope is unknown, or the key would have expired already.
    """
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise UsageError(f"a key's name has 1 to {MAX_NAME} characters", "give one that says what it is for")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise UsageError(f"unknown scope {unknown[0]!r}" if unknown else "no scope", f"choose from {', '.join(SCOPES)}")
    if expires_at is not None and expires_at <= now:
        raise UsageError(f"the key would have expired at {expires_at:%Y-%m-%d %H:%M}", "give a later time")
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    held = tuple(scope for scope in SCOPES if scope in scopes)
    key = ApiKey(key_id, name, held, _hasher.hash(secret), now.astimezone(UTC), expires_at)
    return NewKey(f"quant_{key_id}_{secret}", key)


def split_token(token: str) -> tuple[str, str] | None:
    """Id and secret of a key as its owner shows it; None where it cannot be one of ours."""
    match = _TOKEN.fullmatch(token)
    return None if match is None else (match[1], match[2])


def proves(secret: str, key: ApiKey | None) -> bool:
    """Whether this is the key's secret; takes some 20 ms, whatever the answer, and also where there is no key."""
    try:
        return _hasher.verify(_NOBODYS_HASH if key is None else key.secret_hash, secret) and key is not None
    except (VerificationError, InvalidHashError):
        return False


def allows(key: ApiKey, scope: str) -> bool:
    """Whether a key may do what needs this scope."""
    return scope in key.scopes or "admin" in key.scopes


def seal(key: ApiKey) -> str:
    """A key's row as one word for a settings file, by which the gateway takes it in; it does not reveal the secret."""
    # Not as JSON: the dollar signs of the hash would be variables to Compose.
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode()


def unseal(word: str) -> ApiKey:
    """What :func:`seal` wrote.

    Raises:
        ConfigurationError: it is something else.
    """
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(word), type=ApiKey)
    except (ValueError, msgspec.MsgspecError):
        raise ConfigurationError(
            "setting api.first_key is not a sealed key", "take the word that `quant init` wrote, or leave it out"
        ) from None
