"""QuestDB: rows go in over HTTP as one user, questions come over the PostgreSQL wire as another that only reads."""

from collections.abc import Mapping
from signal import SIGTERM
from urllib.parse import quote

import httpx
import psycopg

from quant_platform.hosts.servers.processes import Launch
from quant_platform.hosts.servers.programs import jars, java
from quant_platform.hosts.servers.server import ADDRESS, Place

_HEAP = ("-Xms128m", "-Xmx1g", "-XX:+UseParallelGC")
_WRITER = "admin"
_READER = "reader"
_SETTINGS = {
    # A flush that returned is on the disk: Kafka's offsets move on right after it.
    "QDB_CAIRO_COMMIT_MODE": "sync",
    # Tables are made by statements: a misspelt name shall fail, not make one.
    "QDB_LINE_AUTO_CREATE_NEW_TABLES": "false",
    "QDB_LINE_AUTO_CREATE_NEW_COLUMNS": "false",
    "QDB_LINE_TCP_ENABLED": "false",  # lines over plain TCP know no password
    "QDB_HTTP_MIN_ENABLED": "false",
    "QDB_TELEMETRY_ENABLED": "false",
    "QDB_TELEMETRY_DISABLE_COMPLETELY": "true",
    "QDB_LOG_W_STDOUT_LEVEL": "ERROR",  # else every statement is logged
    # Rounds in which a worker that found nothing to do looks again at once; then it rests 1 ms, and 10 ms at last.
    # The usual 7,000 and 10,000 take a sixth of a processor from the services while rows trickle in.
    "QDB_SHARED_WORKER_NAP_THRESHOLD": "20",
    "QDB_SHARED_WORKER_SLEEP_THRESHOLD": "500",
    "QDB_PG_READONLY_USER_ENABLED": "true",
}


class Questdb:
    """The web console and HTTP take the writer's password only; both users may come over the PostgreSQL wire."""

    name = "questdb"
    title = "QuestDB"
    usual_ports: Mapping[str, int] = {"http": 9000, "sql": 8812}
    passwords: tuple[str, ...] = (_WRITER, _READER)
    stop_signal = SIGTERM

    def fetch(self) -> None:
        """Java of the system, and QuestDB's jar."""
        java()
        jars("questdb")

    def launch(self, place: Place) -> Launch:
        """QuestDB makes its data itself; all settings go in as variables, which no other user can see."""
        place.data.mkdir(exist_ok=True)
        writer = place.passwords[_WRITER]
        environment = _SETTINGS | {
            "QDB_HTTP_BIND_TO": f"{ADDRESS}:{place.ports['http']}",
            "QDB_PG_NET_BIND_TO": f"{ADDRESS}:{place.ports['sql']}",
            "QDB_HTTP_USER": _WRITER,
            "QDB_HTTP_PASSWORD": writer,
            "QDB_PG_USER": _WRITER,
            "QDB_PG_PASSWORD": writer,
            "QDB_PG_READONLY_USER": _READER,
            "QDB_PG_READONLY_PASSWORD": place.passwords[_READER],
        }
        run = [str(java()), *_HEAP, "-p", str(jars("questdb")), "-m", "io.questdb/io.questdb.ServerMain"]
        return Launch([*run, "-d", str(place.data), "-n"], environment)

    def check(self, place: Place) -> None:
        """Ask a question over each door, as the user it is for."""
        login = _WRITER, place.passwords[_WRITER]
        url = f"http://{ADDRESS}:{place.ports['http']}/exec"
        httpx.get(url, params={"query": "SELECT 1"}, auth=login, timeout=2).raise_for_status()
        with psycopg.connect(
            host=ADDRESS, port=place.ports["sql"], user=_READER, password=place.passwords[_READER],
            dbname="qdb", connect_timeout=2, autocommit=True,
        ) as connection:  # fmt: skip
            connection.execute("SELECT 1")

    def environment(self, place: Place) -> Mapping[str, str]:
        """The writer's URL, and the reader's host, port, name and password."""
        login = f"{_WRITER}:{quote(place.passwords[_WRITER], safe='')}"
        return {
            "QUESTDB_HTTP_URL": f"http://{login}@{ADDRESS}:{place.ports['http']}",
            "QUESTDB_PG_HOST": ADDRESS,
            "QUESTDB_PG_PORT": str(place.ports["sql"]),
            "QUESTDB_PG_USER": _READER,
            "QUESTDB_PG_PASSWORD": place.passwords[_READER],
        }
