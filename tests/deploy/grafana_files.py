"""Grafana's files as the tests read them, and their queries as Grafana would send them."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
GRAFANA = REPOSITORY / "infra" / "grafana"
PROVISIONING = GRAFANA / "provisioning"

INTERVAL_S = 60

Json = dict[str, Any]
Connection = psycopg.Connection[tuple[Any, ...]]


class TimeRange(NamedTuple):
    """What the person at the screen has chosen."""

    start: datetime
    end: datetime


def dashboards() -> dict[str, Json]:
    """File name without ending → dashboard."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def provisioned(kind: str) -> Json:
    """The one file of a provisioning folder."""
    (path,) = (PROVISIONING / kind).iterdir()
    content: Json = yaml.safe_load(path.read_text("utf-8"))
    return content


def datasources() -> dict[str, Json]:
    """Uid → data source."""
    return {source["uid"]: source for source in provisioned("datasources")["datasources"]}


def rules() -> dict[str, Json]:
    """Title → alert rule."""
    return {rule["title"]: rule for group in provisioned("alerting")["groups"] for rule in group["rules"]}


def queries() -> Iterator[tuple[str, str, str]]:
    """Title of every panel, variable and alert, the uid of what it asks, and its SQL."""
    for dashboard in dashboards().values():
        for variable in dashboard["templating"]["list"]:
            yield f"${variable['name']}", variable["datasource"]["uid"], variable["query"]
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["datasource"]["uid"], target["rawSql"]
    for title, rule in rules().items():
        yield title, rule["data"][0]["datasourceUid"], rule["data"][0]["model"]["rawSql"]


def panel_sql(title: str) -> str:
    """The only query of the only panel of this title."""
    (panel,) = (
        panel for dashboard in dashboards().values() for panel in dashboard["panels"] if panel["title"] == title
    )
    (target,) = panel["targets"]
    sql: str = target["rawSql"]
    return sql


def expand(sql: str, chosen: TimeRange, portfolios: Sequence[str] = ()) -> str:
    """Replace macros and variables as Grafana's PostgreSQL data source does; an unknown one fails the test."""
    start, end = (f"'{_rfc3339(moment)}'" for moment in chosen)
    quoted = ",".join("'" + name.replace("'", "''") + "'" for name in portfolios)
    sql = re.sub(r"\$__timeFilter\(([\w.]+)\)", rf"\1 BETWEEN {start} AND {end}", sql)
    for name, value in {
        "$__timeFrom()": start,
        "$__timeTo()": end,
        "$__interval_ms": str(INTERVAL_S * 1000),
        "$__interval": f"{INTERVAL_S // 60}m",
        "$portfolio": quoted,
    }.items():
        sql = sql.replace(name, value)
    assert "$" not in sql, f"the tests know no such macro: {sql[sql.index('$') :][:40]}"
    return sql


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def asked(connection: Connection, sql: str) -> list[Json]:
    """Rows by the names of their columns."""
    cursor = connection.execute(sql.encode())
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def firing(connection: Connection, title: str) -> set[tuple[str, ...]]:
    """Labels of the rows that make an alert fire: Grafana takes texts for labels and the one number for the value."""
    rule = rules()[title]
    query, threshold = rule["data"]
    (condition,) = threshold["model"]["conditions"]
    assert condition["evaluator"]["type"] == "gt"
    found = set()
    for row in asked(connection, query["model"]["rawSql"]):
        (value,) = (value for value in row.values() if not isinstance(value, str))
        assert isinstance(value, float)
        if value > condition["evaluator"]["params"][0]:
            found.add(tuple(label for label in row.values() if isinstance(label, str)))
    return found
