"""The ledger's schema: the same by migration and directly, newer ones refused, and good for Postgres."""

import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from quant_platform.adapters.ledger.engine import database_url
from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.adapters.ledger.schema import MIGRATIONS
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ledger.tables import HEAD_REVISION, metadata
from quant_platform.adapters.ledger.views import LedgerDatabase
from quant_platform.domain.errors import ConfigurationError

from .ledger_days import TABLES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_migrations_and_metadata_make_the_same_schema(tmp_path: Path) -> None:
    def schema(path: Path, durable: bool) -> dict[str, list[str]]:
        SqlLedger(path, durable).close()
        with sqlite3.connect(path) as raw:
            made = raw.execute("SELECT name, coalesce(sql, '') FROM sqlite_master").fetchall()
        # SQLite adds a column to the text of its table behind the last constraint, on the same line.
        return {name: sorted(part.strip("\t ,") for part in re.split(r"\n|, (?=\w+ [A-Z])", sql)) for name, sql in made}

    migrated = schema(tmp_path / "migrated.sqlite", durable=True)
    assert migrated == schema(tmp_path / "direct.sqlite", durable=False)
    assert {*TABLES, "alembic_version"} <= set(migrated)


def test_the_newest_migration_is_the_one_the_program_expects() -> None:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD_REVISION]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_ledger_of_the_first_release_is_taken_forward_with_its_rows(
    kind: str, path: Path, request: pytest.FixtureRequest
) -> None:
    where = path if kind == "sqlite" else request.getfixturevalue("database").url
    engine = create_engine(database_url(where))
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", MIGRATIONS.as_posix())
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO portfolios VALUES ('main', 'me', 'paper', '20000.00', '19000.50', '19000.50', 0, '',"
            " '2026-08-03 04:00:00.000000+00:00')"
        )
    engine.dispose()
    with GatewayLedger(where) as ledger:
        [portfolio] = ledger.portfolios()
        assert (portfolio.name, portfolio.balance) == ("main", 19_000_50)
        assert ledger.list_keys() == []


def test_a_ledger_newer_than_the_program_is_refused(path: Path) -> None:
    SqlLedger(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match=r"schema 9999, newer than this program's .* — upgrade"):
        SqlLedger(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("This is a letter, not a ledger. " * 100)
    with pytest.raises(ConfigurationError, match="not a ledger of ours"):
        SqlLedger(path)


def test_a_ledger_of_this_version_opens_without_loading_alembic(path: Path) -> None:
    SqlLedger(path).close()
    code = (
        "import sys; from quant_platform.adapters.ledger.sql import SqlLedger; "
        "SqlLedger(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_live_ledger_is_durable_and_a_throw_away_one_is_not(tmp_path: Path) -> None:
    def pragmas(durable: bool) -> tuple[Any, ...]:
        with (
            SqlLedger(tmp_path / f"{durable}.sqlite", durable) as ledger,
            ledger._engine.connect() as connection,
        ):
            names = ("journal_mode", "synchronous", "foreign_keys")
            return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names)

    assert pragmas(durable=True) == ("wal", 2, 1)
    assert pragmas(durable=False) == ("memory", 0, 1)


def test_the_schema_can_be_made_on_postgres() -> None:
    dialect = postgresql.dialect()
    made = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    made += [str(CreateIndex(i).compile(dialect=dialect)) for t in metadata.sorted_tables for i in t.indexes]
    ddl = "\n".join(made)
    assert "balance NUMERIC(20, 2) NOT NULL" in ddl
    assert "timestamp TIMESTAMP WITH TIME ZONE NOT NULL" in ddl
    assert "id BIGSERIAL NOT NULL" in ddl
    assert "state BYTEA NOT NULL" in ddl


def test_a_screen_opens_and_reads_while_a_run_is_being_written(path: Path) -> None:
    SqlLedger(path).close()
    with sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("PRAGMA busy_timeout = 0")
        writer.execute("BEGIN IMMEDIATE")
        with LedgerDatabase(path) as screen:
            assert screen.portfolios() == []
            assert screen.verify_audit() == 0
        writer.execute("ROLLBACK")
