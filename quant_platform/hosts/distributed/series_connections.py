"""The time series on QuestDB of the settings, to be written and to be read."""

from typing import TYPE_CHECKING

from quant_platform.adapters.ticks.questdb_reader import QuestdbReader
from quant_platform.hosts.config import Settings

if TYPE_CHECKING:
    from quant_platform.adapters.ticks.questdb import QuestdbWriter


def series_writer(settings: Settings) -> "QuestdbWriter":
    """The time series of the settings, to be written.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    # Brings pandas along, which no reader has to load.
    from quant_platform.adapters.ticks.questdb import QuestdbWriter  # noqa: PLC0415

    wanted = settings.questdb
    return QuestdbWriter(wanted.http_url.get_secret_value(), keep_days=wanted.keep_days)


def series_reader(settings: Settings) -> QuestdbReader:
    """The time series of the settings, to be read; it connects at the first question."""
    wanted = settings.questdb
    password = wanted.pg_password.get_secret_value() if wanted.pg_password else None
    return QuestdbReader(wanted.pg_host, wanted.pg_port, wanted.pg_user, password)
