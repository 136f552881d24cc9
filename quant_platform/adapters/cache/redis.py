"""A state cache on Redis (:class:`~quant_platform.ports.state_cache.StateCache`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as ConnectionLost
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from quant_platform.domain.errors import ConfigurationError, UnavailableError
from quant_platform.ports.state_cache import CacheEntry

PATIENCE_S = 1.0
"""How long a call waits for an answer."""

_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)


class RedisCache:
    """Values in a Redis server, each batch in one round trip; may be used by several threads.

    A call on a connection that died with the server is repeated once, on a new one.

    Args:
        url: ``redis://`` or ``rediss://``, with the password where there is one.
        patience_s: how long to wait for a connection, and for each answer.

    Raises:
        ConfigurationError: the URL cannot be read. Nothing is connected yet.
    """

    def __init__(self, url: str, patience_s: float = PATIENCE_S) -> None:
        self._redis = client_of(url, patience_s, tries=2)

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """Keep values; each replaces what its key had.

        Raises:
            UnavailableError: the server cannot be reached, or does not take them now.
            ConfigurationError: it refuses us.
        """
        with faults_named(), self._redis.pipeline(transaction=False) as pipeline:
            for entry in entries:
                pipeline.set(entry.key, entry.value, ex=entry.lives_s)
            pipeline.execute()

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of these keys; None for what is not known or has outlived its time.

        Raises:
            UnavailableError: the server cannot be reached now.
            ConfigurationError: it refuses us.
        """
        if not keys:
            return []
        with faults_named():
            return cast(list[bytes | None], self._redis.mget(keys))

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()


def client_of(url: str, patience_s: float, *, tries: int) -> Redis:
    """A client that connects at its first call.

    Args:
        url: ``redis://`` or ``rediss://``, with the password where there is one.
        patience_s: how long to wait for a connection, and for each answer.
        tries: how often a call is made whose connection is lost.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    try:
        return Redis.from_url(
            url,
            socket_timeout=patience_s,
            socket_connect_timeout=patience_s,
            retry=Retry(NoBackoff(), tries - 1, (ConnectionLost,)),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),  # it would wait for longer
            driver_info=None,  # nor introduce ourselves at length
        )
    except (ValueError, TypeError):  # their texts may quote the URL, and so the password
        raise ConfigurationError(
            "setting redis.url is no address of a Redis server", "write it like redis://:password@127.0.0.1:6379/0"
        ) from None


@contextmanager
def faults_named() -> Iterator[None]:
    """Turn the driver's errors into those that a person should see.

    Raises:
        UnavailableError: the server cannot be reached, or does not do it now.
        ConfigurationError: it refuses us.
    """
    try:
        yield
    except _REFUSED as error:
        raise ConfigurationError(f"Redis refuses us: {error}", "correct the password in redis.url") from None
    except ResponseError as error:
        if "DB index" in str(error):
            raise ConfigurationError(f"Redis has no such database: {error}", "correct redis.url") from None
        raise UnavailableError(f"Redis does not do it now: {error}", "look at its log") from None
    except (RedisError, OSError) as error:
        raise UnavailableError(
            f"Redis cannot be reached: {error}", "start it, or correct redis.url; nothing is lost meanwhile"
        ) from None
