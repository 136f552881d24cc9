"""Kafka and Redis of the settings, for every service.

The ledger and the time series stand beside it: their drivers take long to load, and a service that begins anew loads
what it uses.
"""

from quant_platform.adapters.bus.kafka import KafkaBus, KafkaOptions
from quant_platform.adapters.cache.redis import RedisCache
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed.lookups import LookupReader, LookupWriter
from quant_platform.hosts.health import Health

READING_PATIENCE_S = 0.25
"""Of who has another place to look."""


def kafka(settings: Settings) -> KafkaBus:
    """The bus of the settings."""
    wanted = settings.kafka
    return KafkaBus(
        KafkaOptions(
            wanted.bootstrap_servers, wanted.partitions, wanted.session_timeout_ms, wanted.transaction_timeout_ms
        )
    )


def redis(settings: Settings, health: Health) -> LookupWriter:
    """The writer of look-ups to the Redis of the settings; nothing is connected yet.

    Raises:
        ConfigurationError: the address cannot be read.
    """
    return LookupWriter(RedisCache(settings.redis.url.get_secret_value()), health)


def lookups(settings: Settings) -> LookupReader:
    """The reader of look-ups from the Redis of the settings, in which a Redis that is away knows nothing.

    Raises:
        ConfigurationError: the address cannot be read.
    """
    return LookupReader(RedisCache(settings.redis.url.get_secret_value(), READING_PATIENCE_S))
