"""Both dashboards over one run of the real services: what these export is what the panels ask for."""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.session import IST
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS
from quant_platform.hosts.distributed.system_doctor import sample_services
from quant_platform.services.system_doctor.samples import Answers
from tests.e2e.platform_rig import QUANT, SESSIONS, bare_environment, depth_file
from tests.servers import Database, KafkaServer, QuestdbServer

from .grafana_files import TimeRange, asked, expand, panel_sql
from .grafana_user import as_grafana, run_reader_sql
from .sampled_metrics import Metrics

ROWS_A_SESSION = 30_000
"""So many that every service is looked at while it works."""
SERVICES = {"upstox_ingestor", "feature_engine", "strategy_runtime"}


@contextlib.contextmanager
def platform_on(data: Path, environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """A replay over the servers, whose services go on once the market is over."""
    command = [*QUANT, "up", "--mode", "distributed", "--source", "replay", "--data", data.name, "--subscribe", "all"]
    with (data.parent / "platform.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--speed", "max", "--home", "home"],
            cwd=data.parent, env=bare_environment(**environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def services_of(platform: psutil.Process) -> Iterator[tuple[str, int]]:
    """Name and port of every service that listens."""
    for child in platform.children():
        with contextlib.suppress(psutil.Error):
            command = child.cmdline()
            listening = [each for each in child.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
            if "service" in command and listening:
                yield command[command.index("service") + 1], listening[0].laddr.port


class Seen:
    """How far each counter was seen to go since the first look at its service."""

    def __init__(self) -> None:
        self._services: set[str] = set()
        self._values: dict[tuple[str, str, str], list[float]] = {}

    def take(self, answers: Answers) -> None:
        for metric, labels, value in answers.numbers or ():
            at = answers.name, metric, "".join(labels.values())
            before = [0.0] if answers.name in self._services else []
            self._values.setdefault(at, before).append(value)
        if answers.numbers:
            self._services.add(answers.name)

    def grown(self, metric: str) -> dict[tuple[str, str], float]:
        """(service, label) → by how much."""
        return {(at[0], at[2]): seen[-1] - seen[0] for at, seen in self._values.items() if at[1] == metric}


@pytest.mark.slow
@pytest.mark.usefixtures("bus")  # an empty Kafka
def test_dashboards_show_what_a_run_of_the_services_did(
    tmp_path: Path, kafka: KafkaServer, database: Database, empty_questdb: QuestdbServer
) -> None:
    assert run_reader_sql(database).returncode == 0
    data = depth_file(tmp_path / "depth.parquet", rows_a_session=ROWS_A_SESSION)
    metrics, seen = Metrics(empty_questdb), Seen()
    with platform_on(data, kafka.environment | database.environment) as platform, SqlLedger(database.url) as ledger:
        deadline = monotonic() + 180
        while not (states := [view.last_run_state for view in ledger.portfolios()]) or states != ["complete"]:
            assert monotonic() < deadline, (tmp_path / "platform.log").read_text()
            answers = sample_services({name: f"http://127.0.0.1:{port}" for name, port in services_of(platform)})
            for one in answers:
                seen.take(one)
            metrics.take(one for one in answers if one.numbers)  # a runtime whose market is over ends
            sleep(0.3)

        # Operations.
        health = {row["Service"]: row["State"] for row in metrics.panel("Service health")}
        assert health == dict.fromkeys(SERVICES, "ready")
        read, written = seen.grown("quant_bus_records_read_total"), seen.grown("quant_bus_records_written_total")
        assert {service for service, _ in read} >= {"feature_engine", "strategy_runtime"}
        assert read["feature_engine", EQUITY_TICKS.name] > 3000
        for title, counts in (("Records read", read), ("Records written", written)):
            assert metrics.totals(title) == {f"{service} {topic}": count for (service, topic), count in counts.items()}
        [frames] = seen.grown("quant_feed_frames_total").values()
        assert metrics.totals("Feed") == {"upstox_ingestor": frames}
        orders = seen.grown("quant_runtime_orders_total")
        assert metrics.totals("Orders", each=1) == {side: count for (_, side), count in orders.items()}
        assert min(orders.values()) > 0
        lags = {row["metric"] for row in metrics.panel("Lag")}
        assert lags == {f"feature_engine {EQUITY_TICKS.name}", f"strategy_runtime {ENRICHED_TICKS.name}"}
        assert {row["metric"].split()[1] for row in metrics.panel("Time in each step")} >= {"poll", "process", "commit"}
        assert metrics.panel("Open positions")
        assert metrics.panel("Faults") == []
        assert len(seen.grown("quant_feed_in_session")) == 1
        assert metrics.firing("Service away") == metrics.firing("Feed stalled") == set()

        # Trading.
        [view] = ledger.portfolios()
        numbers = ledger.run_summary(view.last_run)
        chosen = TimeRange(datetime.combine(SESSIONS[0], time.min, IST), datetime.combine(SESSIONS[-1], time.max, IST))
        with as_grafana(database) as grafana:
            days = asked(grafana, expand(panel_sql("Daily P&L"), chosen, [view.name]))
            trades = asked(grafana, expand(panel_sql("Trade Execution History"), chosen, [view.name]))
    assert len(days) == len(SESSIONS)
    totals = [sum(day[name] for day in days) for name in ("Gross", "Charges", "Net")]
    assert totals == [Decimal(paise) / 100 for paise in (numbers.gross_pnl, numbers.charges, numbers.net_pnl)]
    assert len(trades) == numbers.fills
    metrics.close()
