"""Look at Redis without changing it."""

from quant_platform.adapters.cache.redis import client_of, faults_named
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
    with client_of(url, within_s, tries=1) as redis, faults_named():
        about = redis.info("server")
        seconds, microseconds = redis.time()
    return CacheFound(str(about["redis_version"]), (seconds * 1_000_000 + microseconds) * 1000)
