"""Which adapter stands behind which port of a distributed service."""

from typing import TYPE_CHECKING

from sqlalchemy import URL

from quant_platform.adapters.bus.kafka import KafkaBus, KafkaOptions
from quant_platform.adapters.cache.redis import RedisCache
from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.questdb_reader import QuestdbReader
from quant_platform.domain.errors import ConfigurationError
from quant_platform.hosts.config import Settings
from quant_platform.hosts.forgiving_cache import ForgivingCache
from quant_platform.hosts.lookups import Lookups

if TYPE_CHECKING:
    from quant_platform.adapters.ticks.questdb import QuestdbWriter


def kafka(settings: Settings) -> KafkaBus:
    """The bus of the settings."""
    wanted = settings.kafka
    return KafkaBus(
        KafkaOptions(
            wanted.bootstrap_servers, wanted.partitions, wanted.session_timeout_ms, wanted.transaction_timeout_ms
        )
    )


def postgres(settings: Settings) -> SqlLedger:
    """The ledger of the settings.

    Raises:
        ConfigurationError: the password is missing or wrong, or the schema is newer than the program.
        UnavailableError: Postgres cannot be reached.
    """
    return SqlLedger(postgres_url(settings).render_as_string(hide_password=False))


def gateway_ledger(settings: Settings) -> GatewayLedger:
    """The ledger of the settings as the API gateway sees it. Raises as :func:`postgres`."""
    return GatewayLedger(postgres_url(settings).render_as_string(hide_password=False))


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


def lookups(settings: Settings) -> Lookups:
    """Redis of the settings, whose absence makes everything in it unknown.

    Raises:
        ConfigurationError: its address cannot be read.
    """
    return Lookups(ForgivingCache(RedisCache(settings.redis.url.get_secret_value())))
