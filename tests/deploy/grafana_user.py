"""The database user that Grafana reads the ledger as: made by the script that deploys it, logged in as Grafana does."""

import os
import subprocess

import psycopg

from quant_platform.hosts.servers.programs import program
from tests.servers import Database

from .grafana_files import REPOSITORY, Connection, datasources

READER_SQL = REPOSITORY / "infra" / "postgres" / "grafana_reader.sql"
PASSWORD = "it's $ecret"


def run_reader_sql(database: Database, password: str | None = PASSWORD) -> "subprocess.CompletedProcess[str]":
    """The script as Postgres' image runs it on a new database."""
    wanted = database.settings.postgres
    assert wanted.password is not None
    environment = os.environ | {"PGPASSWORD": wanted.password.get_secret_value()}
    environment.pop("GRAFANA_DB_PASSWORD", None)
    if password is not None:
        environment["GRAFANA_DB_PASSWORD"] = password
    command = [
        str(program("psql", package="postgresql-client")),
        "-X",
        "-q",
        "-h",
        wanted.host,
        "-p",
        str(wanted.port),
        "-U",
        wanted.user,
        "-d",
        database.name,
    ]
    return subprocess.run([*command, "-f", READER_SQL], env=environment, capture_output=True, text=True, check=False)


def as_grafana(database: Database) -> Connection:
    """Logged in as the data source logs in."""
    source = datasources()["ledger"]
    wanted = database.settings.postgres
    return psycopg.connect(
        host=wanted.host,
        port=wanted.port,
        user=source["user"],
        password=PASSWORD,
        dbname=database.name,
        autocommit=True,
    )
