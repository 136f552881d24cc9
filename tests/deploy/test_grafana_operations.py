"""Every panel and alert of operations on a real QuestDB, asked as its read-only user, against what was sampled."""

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pytest

from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS
from quant_platform.hosts.health import Health
from quant_platform.services.system_doctor.samples import Answers
from tests.servers import QuestdbServer

from .grafana_files import INTERVAL_S, dashboards
from .sampled_metrics import Metrics, Sample

RAW, ENRICHED = EQUITY_TICKS.name, ENRICHED_TICKS.name


@pytest.fixture
def metrics(empty_questdb: QuestdbServer) -> Iterator[Metrics]:
    metrics = Metrics(empty_questdb)
    yield metrics
    metrics.close()


def counted(service: str, metric: str, values: Iterable[float], **others: Any) -> list[Sample]:
    """Samples 30 s apart, the last one 30 s ago."""
    found = list(values)
    return [Sample(30 * (len(found) - n), service, metric, value, **others) for n, value in enumerate(found)]


def test_records_count_per_service_and_topic_whatever_restarts(metrics: Metrics) -> None:
    read, written = "quant_bus_records_read_total", "quant_bus_records_written_total"
    raw, enriched = {"topic": RAW}, {"topic": ENRICHED}
    metrics.fill(
        [
            *counted("feature_engine", read, [100, 700, 1000, 50, 90], labels=raw),  # 900 in all, then anew: 90
            *counted("feature_engine", read, [0, 10, 20, 30, 40], labels=raw, instance="2"),
            *counted("strategy_runtime", read, [5, 6, 8, 8, 8], labels=enriched),
            *counted("feature_engine", written, [0, 1, 1, 1, 13], labels=enriched),
        ]
    )
    assert metrics.totals("Records read") == {f"feature_engine {RAW}": 900 + 90 + 40, f"strategy_runtime {ENRICHED}": 3}
    assert metrics.totals("Records written") == {f"feature_engine {ENRICHED}": 13}


def test_frames_orders_and_refusals_are_counted_by_what_they_are(metrics: Metrics) -> None:
    orders, refusals = "quant_runtime_orders_total", "quant_runtime_refusals_total"
    metrics.fill(
        [
            *counted("upstox_ingestor", "quant_feed_frames_total", [0, 500, 800]),
            *counted("strategy_runtime", orders, [0, 2, 3], labels={"side": "BUY"}),
            *counted("strategy_runtime", orders, [1, 1, 3], labels={"side": "SELL"}),
            *counted("strategy_runtime", refusals, [0, 0, 7], labels={"reason": "max_positions"}),
        ]
    )
    assert metrics.totals("Feed") == {"upstox_ingestor": 800}
    assert metrics.totals("Orders", each=1) == {"BUY": 3, "SELL": 2}
    assert metrics.totals("Refusals", each=1) == {"max_positions": 7}


def test_the_first_of_its_kind_counts_where_the_service_was_looked_at_before(metrics: Metrics) -> None:
    health = Health("feature_engine")
    metrics.look(health, 90)
    health.dead_letters.labels(RAW).inc()
    health.written.labels(ENRICHED).inc(5)
    metrics.look(health, 60)
    health.written.labels(ENRICHED).inc()
    metrics.look(health, 30)
    assert [tuple(row.values()) for row in metrics.panel("Faults")] == [("dead letter", "feature_engine", RAW, 1.0)]
    assert metrics.totals("Records written") == {f"feature_engine {ENRICHED}": 6}


def test_time_in_each_step_is_a_share_of_the_wall(metrics: Metrics) -> None:
    steps = [Sample(ago, "feature_engine", "quant_process_step_seconds_total", value, {"step": "process"})
             for ago, value in ((90, 10.0), (30, 25.0))]  # fmt: skip
    metrics.fill(steps)
    (row,) = [row for row in metrics.panel("Time in each step") if row["value"]]
    assert row["metric"] == "feature_engine process"
    assert row["value"] == pytest.approx(15 / INTERVAL_S)


def test_lag_adds_up_the_instances_of_a_service(metrics: Metrics) -> None:
    waiting = "quant_bus_lag_records"
    metrics.fill(
        Sample(30, "feature_engine", waiting, value, {"topic": RAW}, instance)
        for instance, value in (("1", 40.0), ("2", 2.0))
    )
    metrics.fill([Sample(30, "market_persistor", waiting, 7.0, {"topic": ENRICHED})])
    assert metrics.totals("Lag", each=1) == {f"feature_engine {RAW}": 42, f"market_persistor {ENRICHED}": 7}


def test_open_positions_are_shown_for_every_runtime(metrics: Metrics) -> None:
    positions = "quant_runtime_open_positions"
    metrics.fill(Sample(30, "strategy_runtime", positions, value, {}, name) for name, value in (("1", 3.0), ("2", 0.0)))
    assert metrics.totals("Open positions", each=1) == {"1": 3, "2": 0}


def test_latency_is_the_bucket_that_holds_the_median_and_the_99th_percentile(metrics: Metrics) -> None:
    health = Health("strategy_runtime")
    latency = health.histogram("quant_runtime_tick_to_commit_seconds", "")
    latency.observe(9.0)  # before the range's first look: counts for nothing
    metrics.look(health, 90)
    for seconds, orders in ((0.015, 60), (0.2, 38), (2.0, 2)):
        for _ in range(orders):
            latency.observe(seconds)
    metrics.look(health, 30)
    (row,) = metrics.panel("Latency, tick to commit")
    assert (row["median"], row["99th percentile"]) == (0.02, 2.5)


def test_latency_above_the_last_bucket_has_no_figure(metrics: Metrics) -> None:
    health = Health("strategy_runtime")
    latency = health.histogram("quant_runtime_tick_to_commit_seconds", "")
    metrics.look(health, 90)
    latency.observe(0.1)
    latency.observe(60.0)
    metrics.look(health, 30)
    (row,) = metrics.panel("Latency, tick to commit")
    assert row["median"] == 0.12
    assert row["99th percentile"] is None


def test_faults_are_counted_by_service_and_topic(metrics: Metrics) -> None:
    engine, ingestor = Health("feature_engine"), Health("upstox_ingestor")
    gaps: list[str] = []
    ingestor.counter_of("quant_feed_gaps_total", "", lambda: len(gaps))
    for health in (engine, ingestor):
        metrics.look(health, 90)
    engine.dead_letters.labels(RAW).inc(4)
    engine.reopens.inc()
    gaps += ["at ten", "at noon"]
    for health in (engine, ingestor):
        metrics.look(health, 30)
    assert [tuple(row.values()) for row in metrics.panel("Faults")] == [
        ("dead letter", "feature_engine", RAW, 4.0),
        ("gap in the feed", "upstox_ingestor", "", 2.0),
        ("began anew", "feature_engine", "", 1.0),
    ]


def test_health_tells_ready_not_ready_away_and_unknown_apart(metrics: Metrics) -> None:
    for name, is_ready in (("api_gateway", True), ("market_scanner", False)):
        health = Health(name)
        if is_ready:
            health.working()
        metrics.look(health, 10)
    engine = Health("feature_engine")
    engine.working()
    metrics.look(engine, 20)
    moment = metrics.now_ns - 10**10
    silent = ("feature_engine", "market_persistor")  # one that answered before, and one that never did
    metrics.take(Answers(name, moment, False, False, None) for name in silent)
    metrics.look(engine, 300, instance="2")
    rows = metrics.panel("Service health")
    assert [(row["Service"], row["Instance"], row["State"]) for row in rows] == [
        ("api_gateway", "1", "ready"),
        ("feature_engine", "1", "away"),
        ("feature_engine", "2", "unknown"),
        ("market_persistor", "1", "away"),
        ("market_scanner", "1", "not ready"),
    ]
    assert rows[0]["Up for"] >= 0


def test_verdicts_are_the_newest_the_worst_first(metrics: Metrics) -> None:
    doctor = Health("system_doctor")
    level = doctor.gauge("quant_doctor_level", "", "part")
    for part, value in (("gone", 3), ("kafka", 3), ("lag default", 0), ("redis", 2)):
        level.labels(part).set(value)
    metrics.look(doctor, 90)
    level.remove("gone")
    level.labels("postgres").set(1)
    level.labels("kafka").set(3)
    metrics.look(doctor, 20)
    level.labels("redis").set(0)
    metrics.look(doctor, 5)
    assert [tuple(row.values()) for row in metrics.panel("Verdicts")] == [
        ("kafka", "broken"),
        ("postgres", "note"),
        ("lag default", "ok"),
        ("redis", "ok"),
    ]


def test_a_new_questdb_shows_nothing_and_alarms_nobody(metrics: Metrics) -> None:
    for shown in dashboards()["operations"]["panels"]:
        assert metrics.panel(shown["title"]) == []
    for title in ("Feed stalled", "Lag", "Service away"):
        assert metrics.firing(title) == set()


def feed(instance: str, in_session: float, *frames: float) -> list[Sample]:
    """What an ingestor said, the last time just now, 20 s apart."""
    return [
        Sample(20 * (len(frames) - 1 - n) + 1, "upstox_ingestor", metric, value, {}, instance)
        for n, count in enumerate(frames)
        for metric, value in (("quant_feed_frames_total", count), ("quant_feed_in_session", in_session))
    ]


def test_feed_stalled_fires_only_in_session_and_without_frames(metrics: Metrics) -> None:
    metrics.fill(
        [
            *feed("stalled", 1.0, 5, 5, 5),
            *feed("flowing", 1.0, 5, 5, 6),
            *feed("closed", 0.0, 5, 5, 5),
            *feed("just-seen", 1.0, 5),
            *feed("opens-now", 0.0, 5, 5),
            Sample(0, "upstox_ingestor", "quant_feed_in_session", 1.0, {}, "opens-now"),
            Sample(200, "upstox_ingestor", "quant_feed_frames_total", 1.0, {}, "stalled"),
        ]
    )
    assert metrics.firing("Feed stalled") == {("stalled",)}


def test_lag_fires_for_whoever_is_behind_now(metrics: Metrics) -> None:
    def waiting(ago: float, instance: str, records: float) -> Sample:
        return Sample(ago, "feature_engine", "quant_bus_lag_records", records, {"topic": RAW}, instance)

    metrics.fill(
        [
            waiting(1, "late", 5001),
            waiting(1, "in-time", 5000),
            *(waiting(40, "was-late", 9000), waiting(1, "was-late", 0)),
            waiting(100, "gone", 9000),
        ]
    )
    assert metrics.firing("Lag") == {("feature_engine", "late", RAW)}


def test_service_away_fires_where_no_instance_is_ready(metrics: Metrics) -> None:
    def ready(ago: float, service: str, value: float, instance: str = "1") -> Sample:
        return Sample(ago, service, "quant_service_ready", value, {}, instance)

    metrics.fill(
        [
            *(ready(30, "api_gateway", 0), ready(1, "api_gateway", 1)),
            *(ready(30, "market_scanner", 1), ready(1, "market_scanner", 0)),
            ready(100, "market_persistor", 1),
            *(ready(1, "feature_engine", 0), ready(1, "feature_engine", 1, "2")),
            ready(1, "data_backfiller", 0),
            ready(4000, "strategy_runtime", 1),
        ]
    )
    assert metrics.firing("Service away") == {("market_persistor",), ("market_scanner",)}


def test_grafana_cannot_write_into_questdb(metrics: Metrics) -> None:
    for statement in (
        "INSERT INTO service_metrics VALUES (now(), 'a', 'b', 'c', 'd', 1.0)",
        "TRUNCATE TABLE service_metrics",
        "DROP TABLE service_metrics",
    ):
        with pytest.raises(psycopg.DatabaseError, match="denied"):
            metrics.grafana.execute(statement.encode())
