"""Bearer keys: how one is made, written, read and proved.

A key is ``quant_<id>_<secret>``. The id finds its row, so that one hash is computed, not one for each key there is; the
secret is 256 random bits and is kept as an Argon2id hash only.
"""

import base64
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
_PREFIX = "quant"
_ID_BYTES = 6
_SECRET_BYTES = 32
_MAX_TOKEN = 128

# OWASP's first choice. A secret of 256 bits cannot be guessed at any price; more memory would only serve a flood.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class NewKey(NamedTuple):
    """A key that was just made. ``token`` is shown to its owner once and kept nowhere."""

    token: str
    key: ApiKey

    def __repr__(self) -> str:
        return f"NewKey({self.key.key_id})"


def new_key(name: str, scopes: Sequence[str], now: datetime, expires_at: datetime | None = None) -> NewKey:
    """Make a key.

    Raises:
        UsageError: the name is empty or too long, a scope is unknown, or the key would have expired already.
    """
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise UsageError(f"a key's name has 1 to {MAX_NAME} characters", "give one that says what it is for")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise UsageError(f"unknown scope {unknown[0]!r}" if unknown else "no scope", f"choose from {', '.join(SCOPES)}")
    if expires_at is not None and expires_at <= now:
        raise UsageError(f"the key would have expired at {expires_at:%Y-%m-%d %H:%M}", "give a later date")
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    held = tuple(scope for scope in SCOPES if scope in scopes)
    return NewKey(
        f"{_PREFIX}_{key_id}_{secret}", ApiKey(key_id, name, held, _hasher.hash(secret), now.astimezone(UTC), expires_at)
    )


def split_token(token: str) -> tuple[str, str] | None:
    """Id and secret of a key as its owner shows it; None where it cannot be one of ours."""
    prefix, _, rest = token.partition("_")
    key_id, _, secret = rest.partition("_")
    well_formed = prefix == _PREFIX and key_id.isalnum() and secret and len(token) <= _MAX_TOKEN and token.isascii()
    return (key_id, secret) if well_formed else None


def proves(secret: str, key: ApiKey) -> bool:
    """Whether this is the key's secret; takes some 20 ms, whatever the answer."""
    try:
        return _hasher.verify(key.secret_hash, secret)
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
