"""Run the platform's services over real servers, one by one or all of them, and look into the ledger they leave."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.topics import ENRICHED_TICKS, FEATURE_STATE
from quant_platform.hosts.distributed import connections
from quant_platform.ports.ledger_store import RunSummary
from tests.e2e.platform_rig import Outcome, quant, replay_of
from tests.e2e.service_rig import Service, service
from tests.servers import Database, KafkaServer, settings_of

KILLED = -signal.SIGKILL


class Recorded:
    """Servers, and a market on them that was run through once and whose ticks are still in Kafka.

    Args:
        kafka: holds the ticks.
        database: holds the ledger and the list of instruments.
        folder: for logs.
    """

    def __init__(self, kafka: KafkaServer, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self._kafka = kafka

    @property
    def environment(self) -> dict[str, str]:
        """Of every service: a simulated market with depth, which is over already."""
        simulated = {"QUANT_UPSTOX__BASE_URL": "http://127.0.0.1:9", "QUANT_FEED__DEPTH": "true"}
        return self._kafka.environment | self.database.environment | simulated

    def run_up(self, *options: str) -> Outcome:
        """The whole platform over a market with depth."""
        return quant("up", "--mode", "distributed", *options, cwd=self.folder, environment=self.environment)

    def forget_features(self) -> None:
        """Let the next feature_engine begin anew on the same raw ticks."""
        bus = self._bus()
        deadline = time.monotonic() + 20
        while True:
            try:
                bus.forget_groups(["feature_engine"])
            except UnavailableError:  # a killed member still counts as one
                assert time.monotonic() < deadline
                time.sleep(0.5)
            else:
                break
        bus.remove([ENRICHED_TICKS, FEATURE_STATE])

    def _bus(self) -> KafkaBus:
        return connections.kafka(settings_of(self._kafka.environment))

    def service(self, name: str, *arguments: str, **environment: str) -> AbstractContextManager[Service]:
        """One service; ended with the block where it still runs."""
        return service(name, *arguments, environment=self.environment | environment, folder=self.folder)

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    # The ledger.

    def summary(self, portfolio: str) -> RunSummary:
        with SqlLedger(self.database.url) as ledger:
            [last] = [view.last_run for view in ledger.portfolios() if view.name == portfolio]
            return ledger.run_summary(last)

    def executed(self, portfolio: str) -> int:
        """How many orders of a portfolio were executed so far."""
        query = "SELECT count(*) FROM executed_orders WHERE portfolio_id = %s"
        with self.database.connect() as connection:
            [[count]] = connection.execute(query, [portfolio]).fetchall()
        return int(str(count))

    def require_balanced(self) -> None:
        """Every portfolio flat, its audit chain whole, and nothing left in the outbox."""
        with SqlLedger(self.database.url) as ledger:
            assert ledger.verify_audit() > 0
            assert ledger.positions() == []
        with self.database.connect() as connection:
            assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def up_distributed(data: Path, home: Path, environment: Mapping[str, str], *more: str) -> Outcome:
    """A file through the exchange and every service, as fast as it goes."""
    command = ["up", "--mode", "distributed", *replay_of(data, home), *more]
    return quant(*command, cwd=data.parent, environment=environment)


def runtime_of(portfolio: str, *more: str) -> list[str]:
    """Arguments of a runtime that trades a recorded market to its end."""
    return ["--portfolio", portfolio, "--mode", "replay", "--identity", portfolio, "--until-over", *more]


def as_numbers(summary: RunSummary) -> dict[str, Any]:
    """What two runs must agree on, whatever ran them."""
    kept = ("ticks", "late", "duplicates", "orders", "fills", "cancelled", "refusals", "ledger_sha256")
    return {name: getattr(summary, name) for name in kept}


def pause(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGSTOP)


def go_on(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGCONT)
