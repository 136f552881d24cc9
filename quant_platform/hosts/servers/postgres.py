"""PostgreSQL with one user and one database, durable, every connection by password."""

import os
import pwd
import subprocess
from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT

import psycopg

from quant_platform.domain.errors import UnavailableError
from quant_platform.hosts.servers.processes import Launch
from quant_platform.hosts.servers.programs import program, run_or_explain
from quant_platform.hosts.servers.server import ADDRESS, Place

USER = "admin"
DATABASE = "quant_platform"


class Postgres:
    """The server refuses to run as root, so root lends it another user of the system."""

    name = "postgres"
    title = "PostgreSQL"
    usual_ports: Mapping[str, int] = {"sql": 5432}
    passwords: tuple[str, ...] = ("admin",)
    stop_signal = SIGINT  # "fast": SIGTERM would wait for every client to leave

    def fetch(self) -> None:
        """PostgreSQL of the system."""
        _program("postgres")

    def launch(self, place: Place) -> Launch:
        """Make its data where there is none."""
        user = _other_user() if os.geteuid() == 0 else None
        _hand_over(place.folder, user)
        if not (place.data / "PG_VERSION").exists():
            _make_data(place, user)
        settings = {
            "listen_addresses": ADDRESS,
            "port": str(place.ports["sql"]),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        command = [str(_program("postgres")), "-D", str(place.data)]
        return Launch([*command, *(f"--{name}={value}" for name, value in settings.items())], user=user)

    def check(self, place: Place) -> None:
        """Connect, and make the database where it is not there yet."""
        with _connect(place, "postgres") as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def environment(self, place: Place) -> Mapping[str, str]:
        """Host, port, user, password and database."""
        return {
            "POSTGRES_HOST": ADDRESS,
            "POSTGRES_PORT": str(place.ports["sql"]),
            "POSTGRES_USER": USER,
            "POSTGRES_PASSWORD": place.passwords["admin"],
            "POSTGRES_DB": DATABASE,
        }


def _connect(place: Place, database: str) -> psycopg.Connection:
    return psycopg.connect(
        host=ADDRESS, port=place.ports["sql"], user=USER, password=place.passwords["admin"],
        dbname=database, connect_timeout=2, autocommit=True,
    )  # fmt: skip


def _program(name: str) -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return program(name, package="postgresql", folders=folders)


def _other_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _hand_over(folder: Path, user: str | None) -> None:
    """Give the folder to the user the server runs as, who must be able to reach it."""
    if user is None:
        return
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    reached = subprocess.run(  # noqa: S603
        ["/usr/bin/test", "-w", str(folder)], user=user, group=user, extra_groups=(), check=False
    )
    if reached.returncode != 0:
        raise UnavailableError(
            f"PostgreSQL does not run as root, and user {user} cannot enter {folder}",
            "choose a --home that others can enter, such as one below /var/lib",
        )


def _make_data(place: Place, user: str | None) -> None:
    password = place.folder / "password"
    password.touch(0o600)
    password.write_text(place.passwords["admin"], "utf-8")
    if user is not None:
        os.chown(password, pwd.getpwnam(user).pw_uid, -1)
    command = [str(_program("initdb")), "-D", str(place.data), "-U", USER, f"--pwfile={password}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]
    try:
        run_or_explain(
            command, f"PostgreSQL could not make {place.data}", "look at the disk's space and rights", user=user
        )
    finally:
        password.unlink()
