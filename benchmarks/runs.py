"""The ledger's runs, seen from outside: how far the one that a benchmark has begun is."""

import json
from typing import Self

import psycopg

from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed import ledger_connections


class Runs:
    """Runs that begin after it was opened, or after :meth:`forget`; those of earlier rounds are not looked at.

    Args:
        settings: say where Postgres is; its tables are made where there are none.
    """

    def __init__(self, settings: Settings) -> None:
        ledger_connections.postgres(settings).close()  # makes the tables
        url = ledger_connections.postgres_url(settings).set(drivername="postgresql")
        self._ledger = psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)
        self.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.close()

    def forget(self) -> None:
        """Look at those only that begin from now on."""
        found = self._ledger.execute("SELECT count(*) FROM runs").fetchone()
        self._earlier = 0 if found is None else found[0]

    def ticks(self) -> int:
        """How many ticks the first run since has committed; 0 while there is none."""
        newer = "SELECT counters FROM runs ORDER BY started_at LIMIT 1 OFFSET %s"
        found = self._ledger.execute(newer, (self._earlier,)).fetchone()
        return 0 if found is None else int(json.loads(found[0]).get("ticks", 0))
