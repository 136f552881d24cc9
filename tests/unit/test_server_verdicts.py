"""The doctor's verdict on servers and services, and the rows that it makes of their metrics."""

import math
from dataclasses import replace
from typing import Any

import pytest

from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS, TOPICS
from quant_platform.ports.ledger_store import HaltFlag
from quant_platform.ports.series_store import TABLES
from quant_platform.ports.server_probes import (
    BucketFound,
    BusFound,
    CacheFound,
    GroupFound,
    LedgerFound,
    SeriesFound,
    TimeSeriesFound,
    TopicFound,
)
from quant_platform.services.system_doctor.samples import Answers, Number, metric_rows, service_and_instance
from quant_platform.services.system_doctor.servers import MUCH_LAG, Refusal, ServerProbes, ServiceFound, judge_servers
from quant_platform.services.system_doctor.verdict import Level

PARTITIONS = 12
BUS = BusFound(
    brokers=1,
    cluster="abc",
    topics={
        topic.name: TopicFound(topic.partitions or PARTITIONS, topic.retention_ms, topic.compacted) for topic in TOPICS
    },
    ends={(EQUITY_TICKS.name, 0): 100, (EQUITY_TICKS.name, 1): 90},
    groups=[GroupFound("feature_engine", EQUITY_TICKS.name, {0: 0, 1: 0})],
)
LEDGER = LedgerFound(
    version="15.18",
    clock_ns=0,
    revision="0002",
    head="0002",
    is_known=True,
    missing=(),
    offsets={"default": {(EQUITY_TICKS.name, 0): 100, (EQUITY_TICKS.name, 1): 90}},
    waiting=0,
    audit_rows=77,
    audit_error="",
    halts={},
)
SERIES = TimeSeriesFound("9.3.4", 0, [SeriesFound(table.name, "", "", 0, "") for table in TABLES])
HEALTHY = ServerProbes(
    kafka=BUS,
    partitions=PARTITIONS,
    postgres=LEDGER,
    questdb=SERIES,
    redis=CacheFound("7.0.15", 0),
    s3=BucketFound("MinIO", is_there=True),
    services={"feature_engine": ServiceFound(is_ready=True, reason="")},
    drifts={"postgres": 0.0, "redis": 0.1},
)
AWAY = Refusal("it cannot be reached", "start it")


def topics(**changed: TopicFound | None) -> BusFound:
    """The bus with one topic changed, or without it."""
    found = {**BUS.topics, **{name.replace("__", "."): topic for name, topic in changed.items()}}
    return BUS._replace(topics={name: topic for name, topic in found.items() if topic is not None})


def with_series(**change: Any) -> TimeSeriesFound:
    return SERIES._replace(
        tables=[table._replace(**change) if table.name == "ticks" else table for table in SERIES.tables]
    )


def test_healthy_servers_need_no_cure() -> None:
    verdicts = judge_servers(HEALTHY)
    assert {(v.level, v.cure) for v in verdicts} == {(Level.OK, "")}
    assert len({v.part for v in verdicts}) == len(verdicts)


def test_what_is_not_configured_is_not_judged() -> None:
    assert judge_servers(ServerProbes(None, 12, None, None, None, None, {}, {})) == []


WEEK = EQUITY_TICKS.retention_ms


@pytest.mark.parametrize(
    ("change", "part", "level", "told"),
    [
        ({"kafka": AWAY}, "kafka", Level.BROKEN, "cannot be reached"),
        ({"kafka": topics(scanner__suggestions=None)}, "topic scanner.suggestions", Level.WARNING, "missing"),
        ({"kafka": topics(market__option__greeks=None)}, "topic market.option.greeks", Level.NOTE, "not there yet"),
        (
            {"kafka": topics(scanner__suggestions=TopicFound(3, WEEK, False))},
            "topic scanner.suggestions",
            Level.WARNING,
            "3 partitions, kept 7 days; the settings say 1",
        ),
        (
            {"kafka": topics(market__equity__ticks=TopicFound(12, -1, False))},
            "topic market.equity.ticks",
            Level.WARNING,
            "kept for ever, not kept 7 days",
        ),
        (
            {"kafka": topics(feature_engine__changelog=TopicFound(12, WEEK, False))},
            "topic feature_engine.changelog",
            Level.BROKEN,
            "cleaned up by compact",
        ),
        (
            {"kafka": BUS._replace(groups=[GroupFound("feature_engine", EQUITY_TICKS.name, {0: 7, 1: MUCH_LAG})])},
            "lag feature_engine",
            Level.WARNING,
            "50,007 records of market.equity.ticks, at most 50,000 in partition 1",
        ),
        (
            {"postgres": LEDGER._replace(offsets={"second": {(EQUITY_TICKS.name, 0): 40}})},
            "lag strategy_runtime of second",
            Level.OK,
            "60 records",
        ),
        (
            {"kafka": BUS._replace(ends={("market.equity.ticks.dead", 0): 3})},
            "dead letters",
            Level.NOTE,
            "3 in market.equity.ticks.dead",
        ),
        ({"postgres": AWAY}, "postgres", Level.BROKEN, "cannot be reached"),
        (
            {"postgres": LEDGER._replace(halts={"default": HaltFlag(True, "results today")})},
            "services' halts",
            Level.NOTE,
            "default is halted: results today",
        ),
        ({"postgres": LEDGER._replace(revision=None)}, "schema", Level.NOTE, "no tables yet"),
        ({"postgres": LEDGER._replace(revision="0001")}, "schema", Level.WARNING, "older than this program's 0002"),
        ({"postgres": LEDGER._replace(revision="9999", is_known=False)}, "schema", Level.BROKEN, "newer"),
        ({"postgres": LEDGER._replace(missing=["outbox"])}, "tables", Level.BROKEN, "missing: outbox"),
        ({"postgres": LEDGER._replace(waiting=10_000)}, "outbox", Level.WARNING, "10,000 records wait"),
        ({"postgres": LEDGER._replace(audit_rows=None, audit_error="row 3")}, "audit", Level.BROKEN, "row 3"),
        ({"questdb": AWAY}, "questdb", Level.BROKEN, "cannot be reached"),
        ({"questdb": SERIES._replace(tables=SERIES.tables[1:])}, "table ticks", Level.NOTE, "not there yet"),
        ({"questdb": with_series(wrong="no seq", cure="add it")}, "table ticks", Level.BROKEN, "no seq"),
        ({"questdb": with_series(fault="disk full")}, "table ticks", Level.BROKEN, "disk full"),
        ({"questdb": with_series(behind=20)}, "table ticks", Level.WARNING, "20 commits behind"),
        ({"redis": AWAY}, "redis", Level.WARNING, "cannot be reached"),
        ({"s3": AWAY}, "s3", Level.WARNING, "cannot be reached"),
        ({"s3": BucketFound("MinIO", is_there=False)}, "s3", Level.NOTE, "not there yet"),
        ({"drifts": {"postgres": 0.1, "redis": -6.0}}, "server clocks", Level.BROKEN, "-6.0 s against redis"),
        ({"services": {"x": ServiceFound(False, "Kafka is away")}}, "service x", Level.WARNING, "Kafka is away"),
        ({"services": {"x": AWAY}}, "service x", Level.BROKEN, "cannot be reached"),
    ],
)
def test_each_finding_has_its_level_and_a_cure_where_one_is_needed(
    change: dict[str, Any], part: str, level: Level, told: str
) -> None:
    verdicts = judge_servers(replace(HEALTHY, **change))
    [verdict] = [v for v in verdicts if v.part == part]
    assert (verdict.level, told in verdict.what) == (level, True), verdict
    assert verdict.cure or level < Level.WARNING
    assert [v.part for v in verdicts if v.level > Level.NOTE] == ([part] if level > Level.NOTE else [])


def test_an_older_schema_s_missing_tables_are_made_and_not_mourned() -> None:
    found = LEDGER._replace(revision="0001", missing=["api_keys"])
    [tables] = [v for v in judge_servers(replace(HEALTHY, postgres=found)) if v.part == "tables"]
    assert (tables.level, "made" in tables.cure) == (Level.WARNING, True)


def test_topics_whose_partitions_belong_together_must_have_equally_many() -> None:
    changed = topics(market__enriched__ticks=TopicFound(6, ENRICHED_TICKS.retention_ms, False))
    [verdict] = [v for v in judge_servers(replace(HEALTHY, kafka=changed)) if v.part == "partitions"]
    assert verdict.level is Level.BROKEN
    assert "market.enriched.ticks 6" in verdict.what


@pytest.mark.parametrize(
    ("name", "told"),
    [("api_gateway", ("api_gateway", "1")), ("feature_engine_2", ("feature_engine", "2"))],
)
def test_instances_of_a_service_are_told_apart_by_number(name: str, told: tuple[str, str]) -> None:
    assert service_and_instance(name) == told


def test_a_service_s_numbers_become_rows_and_its_silence_three_zeros() -> None:
    numbers = [
        Number("quant_bus_lag_records", {"topic": 'a"b', "at": "x"}, 4.0),
        Number("quant_service_ready", {}, 1.0),
        Number("unknown", {}, math.nan),
    ]
    rows = metric_rows(
        [Answers("feature_engine_2", 5, True, False, numbers), Answers("market_scanner", 7, False, False, None)]
    )
    columns = (column.texts() for column in (rows.service, rows.instance, rows.metric, rows.labels))
    assert list(zip(rows.timestamp.tolist(), *columns, rows.value.tolist(), strict=True)) == [
        (5, "feature_engine", "2", "up", "", 1.0),
        (5, "feature_engine", "2", "quant_service_alive", "", 1.0),
        (5, "feature_engine", "2", "quant_service_ready", "", 0.0),
        (5, "feature_engine", "2", "quant_bus_lag_records", 'at="x",topic="a\\"b"', 4.0),
        (7, "market_scanner", "1", "up", "", 0.0),
        (7, "market_scanner", "1", "quant_service_alive", "", 0.0),
        (7, "market_scanner", "1", "quant_service_ready", "", 0.0),
    ]


def test_no_answers_are_no_rows() -> None:
    assert metric_rows([]).timestamp.size == 0
