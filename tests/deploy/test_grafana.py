"""Grafana's files hold together: what they name exists, and Grafana's own types know every field."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.alerting import Rule
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.models.expr import TypeThreshold

from .grafana_files import PROVISIONING, REPOSITORY, Json, dashboards, datasources, provisioned, queries, rules

plugins.register_default_plugins()

OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
METRIC = re.compile(r"\bquant_[a-z_]+")


def metrics_of_the_code() -> set[str]:
    """Names that stand as whole texts in the program, and what a histogram makes of its own."""
    code = "\n".join(path.read_text("utf-8") for path in (REPOSITORY / "quant_platform").rglob("*.py"))
    plain = set(re.findall(r'(?:counter|counter_of|gauge|Gauge)\(\s*"(quant_\w+)"', code))
    histograms = re.findall(r'histogram\(\s*"(quant_\w+)"', code)
    return plain | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}


def lost(before: Any, after: Any, where: str = "") -> list[str]:
    """What of one structure the other does not hold."""
    match before, after:
        case dict(), dict():
            missing = [f"{where}/{key}" for key in before.keys() - after.keys()]
            return missing + [
                x for key in before.keys() & after.keys() for x in lost(before[key], after[key], f"{where}/{key}")
            ]
        case list(), list() if len(before) == len(after):
            return [x for n, pair in enumerate(zip(before, after, strict=True)) for x in lost(*pair, f"{where}/{n}")]
    return [] if before == after else [where]


def through(type_: Any, content: Json) -> list[str]:
    """What Grafana's own type forgets of the content, since it does not know it."""
    return lost(content, json.loads(json.dumps(type_.from_json(content), cls=JSONEncoder)))


def test_the_trading_dashboard_has_the_promised_panels_and_no_other() -> None:
    titles = [panel["title"] for panel in dashboards()["trading"]["panels"]]
    assert sorted(titles) == [
        "Daily P&L",
        "Open Positions",
        "Portfolio Equity Chart",
        "Scanner Top Picks",
        "Trade Execution History",
    ]


@pytest.mark.parametrize("name", ["operations", "trading"])
def test_grafanas_own_types_know_every_field_of_a_dashboard(name: str) -> None:
    assert through(Dashboard, dashboards()[name]) == []


@pytest.mark.parametrize("title", rules())
def test_grafanas_own_types_know_every_field_of_an_alert(title: str) -> None:
    rule = rules()[title]
    assert through(Rule, rule) == []
    assert through(TypeThreshold, rule["data"][1]["model"]) == []


def test_grafanas_own_types_see_a_misspelt_field() -> None:
    dashboard = dashboards()["trading"]
    chart = next(panel for panel in dashboard["panels"] if panel["type"] == "barchart")
    chart["options"]["xFeild"] = chart["options"].pop("xField")
    number = dashboard["panels"].index(chart)
    assert through(Dashboard, dashboard) == [f"/panels/{number}/options/xFeild"]


@pytest.mark.parametrize("name", ["operations", "trading"])
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    panels = dashboards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_dashboards_show_indian_time_and_say_what_each_panel_shows() -> None:
    for name, dashboard in dashboards().items():
        assert dashboard["uid"] == name
        assert dashboard["timezone"] == "Asia/Kolkata"
        assert all(panel["description"] for panel in dashboard["panels"])


def test_every_query_asks_a_data_source_that_is_provisioned() -> None:
    assert {uid for _, uid, _ in queries()} == set(datasources())
    for dashboard in dashboards().values():
        for panel in dashboard["panels"]:
            assert [panel["datasource"]] == [target["datasource"] for target in panel["targets"]]
            assert panel["datasource"]["type"] == datasources()[panel["datasource"]["uid"]]["type"]


def test_data_sources_read_as_users_that_cannot_write_with_passwords_from_the_environment() -> None:
    assert {uid: (source["user"], source["secureJsonData"]) for uid, source in datasources().items()} == {
        "ledger": ("grafana_reader", {"password": "$GRAFANA_DB_PASSWORD"}),
        "questdb": ("reader", {"password": "$QUESTDB_READER_PASSWORD"}),
    }


def test_every_metric_that_a_query_names_exists_in_the_code() -> None:
    known = metrics_of_the_code()
    assert "quant_service_ready" in known
    named = {metric for _, uid, sql in queries() if uid == "questdb" for metric in METRIC.findall(sql)}
    assert named
    assert named <= known


def test_alerts_use_nothing_that_grafana_would_take_for_an_environment_variable() -> None:
    (path,) = (PROVISIONING / "alerting").iterdir()
    assert "$" not in path.read_text("utf-8").replace("`$`", "")


def test_alerts_are_told_apart_and_compare_what_they_asked() -> None:
    known = rules()
    assert len({rule["uid"] for rule in known.values()}) == len(known)
    for rule in known.values():
        query, threshold = rule["data"]
        assert rule["condition"] == threshold["refId"] == threshold["model"]["refId"]
        assert threshold["model"]["expression"] == query["refId"] == query["model"]["refId"]
        assert threshold["datasourceUid"] == "__expr__"
        assert rule["noDataState"] == "OK"


@pytest.mark.parametrize("title", rules())
def test_every_alert_says_what_it_means_and_where_operations_says_what_to_do(title: str) -> None:
    annotations = rules()[title]["annotations"]
    assert annotations["summary"]
    assert annotations["description"]
    assert annotations["runbook"] == f"docs/operations.md#{title.lower().replace(' ', '-')}"
    _, heading, text = OPERATIONS.partition(f"\n### {title}\n")
    assert heading
    assert "**Do:**" in text.partition("\n##")[0]


def test_labels_that_an_alerts_text_uses_are_columns_of_its_query() -> None:
    for rule in rules().values():
        used = set(re.findall(r"\.Labels\.(\w+)", json.dumps(rule["annotations"])))
        sql = rule["data"][0]["model"]["rawSql"]
        assert used
        assert all(re.search(rf"\b{label}\b", sql) for label in used)


def test_dashboards_are_read_from_where_they_are_mounted_and_cannot_be_changed_in_the_browser() -> None:
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["options"] == {"path": "/etc/grafana/dashboards"}
    assert provider["allowUiUpdates"] is False
