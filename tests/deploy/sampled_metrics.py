"""``service_metrics`` on a real QuestDB: filled as system_doctor fills it, asked as Grafana asks."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import psycopg

from quant_platform.adapters.ticks.questdb import QuestdbWriter
from quant_platform.adapters.ticks.questdb_reader import QuestdbReader
from quant_platform.hosts.health import Health
from quant_platform.ports.series_store import SERVICE_METRICS, Labels, MetricRows
from quant_platform.services.system_doctor.samples import Answers, Number, metric_rows
from tests.servers import QuestdbServer

from .grafana_files import INTERVAL_S, Connection, Json, TimeRange, asked, datasources, expand, firing, panel_sql


class Sample(NamedTuple):
    """One row of ``service_metrics``."""

    seconds_ago: float
    service: str
    metric: str
    value: float
    labels: Mapping[str, str] = {}
    instance: str = "1"


class Metrics:
    """``service_metrics`` of a real QuestDB, as the doctor fills it and Grafana reads it."""

    def __init__(self, server: QuestdbServer) -> None:
        wanted = server.settings.questdb
        assert wanted.pg_password is not None
        login = wanted.pg_host, wanted.pg_port, wanted.pg_user, wanted.pg_password.get_secret_value()
        source = datasources()["questdb"]
        assert wanted.pg_user == source["user"]
        self.writer = QuestdbWriter(wanted.http_url.get_secret_value())
        self.writer.prepare()
        self.reader = QuestdbReader(*login)
        self.grafana: Connection = psycopg.connect(
            host=login[0], port=login[1], user=source["user"], password=login[3],
            dbname=source["jsonData"]["database"], autocommit=True,
        )  # fmt: skip
        self.now_ns = time.time_ns()
        now = datetime.fromtimestamp(self.now_ns / 1e9, UTC)
        self.chosen = TimeRange(now - timedelta(minutes=30), now + timedelta(minutes=5))

    def fill(self, samples: Iterable[Sample]) -> None:
        rows = list(samples)
        texts = ([getattr(row, name) for row in rows] for name in ("service", "instance", "metric"))
        self.writer.append(
            SERVICE_METRICS,
            MetricRows(
                np.array([self.now_ns - round(row.seconds_ago * 1e9) for row in rows], np.int64),
                *map(Labels.of, texts),
                Labels.of(",".join(f'{name}="{value}"' for name, value in row.labels.items()) for row in rows),
                np.array([row.value for row in rows], np.float64),
            ),
        )
        self.writer.flush()
        self.reader.wait_until_visible(30)

    def take(self, answers: Iterable[Answers]) -> None:
        """What services answered, as rows of the doctor's making."""
        self.writer.append(SERVICE_METRICS, metric_rows(answers))
        self.writer.flush()
        self.reader.wait_until_visible(30)

    def look(self, health: Health, seconds_ago: float, instance: str = "1") -> None:
        """Take what a service would answer now."""
        numbers = [
            Number(sample.name, sample.labels, sample.value)
            for family in health.registry.collect()
            for sample in family.samples
        ]
        asked_ns = self.now_ns - round(seconds_ago * 1e9)
        self.take([Answers(f"{health.service}_{instance}", asked_ns, True, health.ready, numbers)])

    def panel(self, title: str) -> list[Json]:
        return asked(self.grafana, expand(panel_sql(title), self.chosen))

    def totals(self, title: str, each: float = INTERVAL_S) -> dict[str, float]:
        """Series → the sum of its points, a rate's taken back to a count."""
        found: dict[str, float] = defaultdict(float)
        for row in self.panel(title):
            found[row["metric"]] += row["value"] * each
        return {name: round(value, 6) for name, value in found.items()}

    def firing(self, title: str) -> set[tuple[str, ...]]:
        return firing(self.grafana, title)

    def close(self) -> None:
        self.grafana.close()
        self.reader.close()
        self.writer.close()
