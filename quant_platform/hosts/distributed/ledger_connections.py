"""The ledger on Postgres of the settings, for those who write, show and copy it."""

from collections.abc import Callable

from sqlalchemy import URL

from quant_platform.adapters.ledger.copies import LedgerCopies
from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import ConfigurationError
from quant_platform.hosts.config import Settings

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
