"""Look at Redis without changing it."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from quant_platform.adapters.cache.redis import faults_named
from quant_platform.domain.errors import ConfigurationError
from quant_platform.ports.server_probes import CacheFound


def probe_redis(url: str, within_s: float) -> CacheFound:
    """Ask Redis about itself.

    Args:
        url: ``redis://`` or ``rediss://``, with the password where there is one.
        within_s: how long to wait for a connection, and for each answer.

    Raises:
        UnavailableError: it cannot be reached now.
        ConfigurationError: the URL cannot be read, or it refuses us.
    """
    try:
        redis = Redis.from_url(
            url, socket_timeout=within_s, socket_connect_timeout=within_s, retry=Retry(NoBackoff(), 0)
        )
    except (ValueError, TypeError):  # their texts may quote the URL, and so the password
        raise ConfigurationError(
            "setting redis.url is no address of a Redis server", "write it like redis://:password@127.0.0.1:6379/0"
        ) from None
    with redis, faults_named():
        about = redis.info("server")
        seconds, microseconds = redis.time()
    return CacheFound(str(about["redis_version"]), (seconds * 1_000_000 + microseconds) * 1000)
