"""Bring a database's schema to this program's, or refuse one that is newer."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, select

from quant_platform.adapters.ledger.tables import HEAD_REVISION, alembic_version, metadata
from quant_platform.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def stored_revision(connection: Connection) -> str | None:
    """The revision the database stands at; None for one without our tables."""
    if not inspect(connection).has_table(alembic_version.name):
        return None
    return connection.scalar(select(alembic_version.c.version_num))


def create_directly(connection: Connection) -> None:
    """Make the newest schema in an empty database without Alembic, which takes half a second to load."""
    metadata.create_all(connection)
    alembic_version.create(connection)
    connection.execute(alembic_version.insert().values(version_num=HEAD_REVISION))


def migrate(connection: Connection) -> None:
    """Take the database forward from any released revision, within the connection's transaction.

    Raises:
        ConfigurationError: the database was made by a newer program.
    """
    revision = stored_revision(connection)
    if revision == HEAD_REVISION:
        return
    from alembic import command  # noqa: PLC0415 - slow to import, and needed once in a database's life

    if revision is not None and not is_known(revision):
        raise ConfigurationError(
            f"the ledger {connection.engine.url.render_as_string()} has schema {revision}, "
            f"newer than this program's {HEAD_REVISION}",
            "upgrade quant-platform, or name another ledger",
        )
    command.upgrade(_config(connection), "head")


def is_known(revision: str) -> bool:
    """Whether this program has the migration that made a revision; one of a newer program it has not."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - slow to import

    return revision in {step.revision for step in ScriptDirectory.from_config(_config(None)).walk_revisions()}


def _config(connection: Connection | None) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - slow to import

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", MIGRATIONS.as_posix().replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
