"""Which adapter stands behind which port of a distributed service."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import URL

from quant_platform.adapters.bus.kafka import KafkaBus, KafkaOptions
from quant_platform.adapters.cache.redis import RedisCache
from quant_platform.adapters.ledger.copies import LedgerCopies
from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.questdb_reader import QuestdbReader
from quant_platform.domain.errors import ConfigurationError
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed.lookups import LookupReader, LookupWriter
from quant_platform.hosts.health import Health

if TYPE_CHECKING:
    from quant_platform.adapters.ticks.questdb import QuestdbWriter

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


MIGRATING = "the schema of the ledger is brought up to date; nothing is to be done"


def postgres(settings: Settings, waiting: Callable[[str], None] = lambda _: None) -> SqlLedger:
    """The ledger of the settings.

    Args:
        settings: of the installation.
        waiting: told again and again while the schema is brought up to date, from another thread.

    Raises:
        ConfigurationError: the password is missing or wrong, or the schema is newer than the program.
        UnavailableError: Postgres cannot be reached.
    """
    url = postgres_url(settings).render_as_string(hide_password=False)
    return SqlLedger(url, migrating=lambda: waiting(MIGRATING))


def gateway_ledger(settings: Settings, waiting: Callable[[str], None] = lambda _: None) -> GatewayLedger:
    """The same, as the API gateway sees it. Arguments and errors as of :func:`postgres`."""
    url = postgres_url(settings).render_as_string(hide_password=False)
    return GatewayLedger(url, migrating=lambda: waiting(MIGRATING))


def postgres_copies(settings: Settings) -> LedgerCopies:
    """The same, to be copied or made from a copy. Raises as :func:`postgres`."""
    return LedgerCopies(postgres_url(settings).render_as_string(hide_password=False))


def postgres_url(settings: Settings) -> URL:
    """Where the ledger of the settings is, with the password, which it does not show.

    Raises:
        ConfigurationError: the password is missing.
    """
    wanted = settings.postgres
    if wanted.password is None:
        raise ConfigurationError(
            "setting postgres.password is missing",
            "set POSTGRES_PASSWORD; `quant servers env` prints that of our servers",
        )
    return URL.create(
        "postgresql+psycopg", wanted.user, wanted.password.get_secret_value(), wanted.host, wanted.port, wanted.database
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


def series_writer(settings: Settings) -> "QuestdbWriter":
    """The time series of the settings, to be written.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    # Brings pandas along, which no other service has to load.
    from quant_platform.adapters.ticks.questdb import QuestdbWriter  # noqa: PLC0415

    wanted = settings.questdb
    return QuestdbWriter(wanted.http_url.get_secret_value(), keep_days=wanted.keep_days)


def series_reader(settings: Settings) -> QuestdbReader:
    """The time series of the settings, to be read; it connects at the first question."""
    wanted = settings.questdb
    password = wanted.pg_password.get_secret_value() if wanted.pg_password else None
    return QuestdbReader(wanted.pg_host, wanted.pg_port, wanted.pg_user, password)
