"""The compose file against what can be checked without an engine: names, ports, order, limits, secrets, settings."""

import re
import tomllib
import zipfile
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from quant_platform.hosts.config import PREFIX, USUAL_NAMES, Settings
from quant_platform.hosts.distributed.service import NAMES
from quant_platform.hosts.installation import BROKER_FILE, FIRST_KEY, SECRETS
from quant_platform.hosts.servers.kafka import _PROPERTIES as NATIVE_KAFKA
from quant_platform.hosts.servers.programs import jars
from quant_platform.hosts.servers.questdb import _SETTINGS as NATIVE_QUESTDB
from tests.deploy.compose_file import DOCUMENT, FILE, OURS, REPOSITORY, SERVERS, SERVICES, TEXT, environment, variables
from tests.servers import require_programs

NO_SETTINGS = {"QUANT_EXCHANGE_TOKEN"}
"""Variables of ours that docs/configuration.md lists beside the settings."""

ON_THIS_MACHINE = {"quant_grafana": ["127.0.0.1:3000:3000"], "api_gateway": ["127.0.0.1:8080:8080"]}


def own_variables() -> list[tuple[str, str]]:
    """Service and variable, of every container that runs our image."""
    return [(service, name) for service in (*OURS, "exchange") for name in environment(service)]


def is_a_setting(name: str) -> bool:
    if name in USUAL_NAMES:
        return True
    section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
    if not (name.startswith(PREFIX) and separator and section in Settings.model_fields):
        return False
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return key in model.model_fields


def test_the_services_and_containers_have_the_specifications_names() -> None:
    assert set(SERVICES) == {*SERVERS, *OURS, "quant_grafana", "exchange"}
    assert len(set(SERVICES) - {"exchange"}) == 14
    for service, described in SERVICES.items():
        assert described["container_name"] == SERVERS.get(service, service)


def test_user_and_database_are_those_of_the_documented_queries() -> None:
    assert environment("postgres")["POSTGRES_USER"] == "admin"
    assert environment("postgres")["POSTGRES_DB"] == "quant_platform"


@pytest.mark.parametrize("service", OURS)
def test_every_service_runs_the_service_of_its_name_from_our_image(service: str) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert SERVICES[service]["command"] == ["service", service]
    assert SERVICES[service]["image"] == f"quant-platform:{version}"
    assert (FILE.parent / SERVICES[service]["build"]["context"]).resolve() == REPOSITORY
    assert (REPOSITORY / SERVICES[service]["build"]["dockerfile"]).is_file()


def test_no_service_of_the_program_is_left_out() -> None:
    assert set(NAMES) <= set(OURS)


def test_every_image_is_pinned_to_one_release() -> None:
    for service, described in SERVICES.items():
        _, _, tag = described["image"].partition(":")
        assert re.search(r"\d+\.\d+\.\d+|\d+\.\d+-|RELEASE\.\d{4}-\d\d-\d\d", tag), (service, tag)
    assert "latest" not in TEXT
    base = re.findall(r"^ARG BASE=(\S+)$", (REPOSITORY / "infra" / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert len(base) == 1
    assert re.search(r":\d+\.\d+\.\d+-", base[0])


def test_the_servers_are_the_versions_that_quant_servers_starts() -> None:
    native = tomllib.loads((REPOSITORY / "infra" / "native" / "versions.toml").read_text("utf-8"))
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{native['kafka']}"
    assert SERVICES["questdb"]["image"] == f"questdb/questdb:{native['questdb']}"


def test_kafka_is_set_up_as_quant_servers_does_it() -> None:
    lines = [line.partition("=") for line in NATIVE_KAFKA.splitlines() if not line.startswith("#")]
    native = {f"KAFKA_{key.upper().replace('.', '_')}": value for key, _, value in lines if "{" not in value}
    assert native
    assert {name: environment("kafka").get(name) for name in native} == native


def test_questdb_is_set_up_as_quant_servers_does_it_by_settings_that_it_has() -> None:
    assert {name: environment("questdb").get(name) for name in NATIVE_QUESTDB} == NATIVE_QUESTDB
    require_programs("questdb")
    [jar] = jars("questdb").glob("questdb-*.jar")
    known = zipfile.ZipFile(jar).read("io/questdb/PropertyKey.class")
    # What is logged is no property: QuestDB reads QDB_LOG_… elsewhere.
    names = [name for name in environment("questdb") if not name.startswith("QDB_LOG_")]
    properties = [name.removeprefix("QDB_").lower().replace("_", ".") for name in names]
    assert [name for name in properties if name.encode() not in known] == []


def test_only_grafana_and_the_api_can_be_reached_and_from_this_machine_only() -> None:
    assert {service: described["ports"] for service, described in SERVICES.items() if "ports" in described} == (
        ON_THIS_MACHINE
    )
    assert not any("network_mode" in described or "privileged" in described for described in SERVICES.values())


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_health_check_limits_and_a_log_that_ends(service: str) -> None:
    described = SERVICES[service]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(described["healthcheck"])
    assert described["mem_limit"]
    assert described["cpus"] > 0
    assert described["pids_limit"] > 0
    assert described["logging"]["driver"] == "json-file"
    assert {"max-size", "max-file"} <= set(described["logging"]["options"])
    assert described["restart"] == ("no" if service == "data_backfiller" else "unless-stopped")
    assert "no-new-privileges:true" in described["security_opt"]


@pytest.mark.parametrize("service", [*OURS, "exchange"])
def test_our_containers_can_change_nothing_of_themselves(service: str) -> None:
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert "user" not in SERVICES[service]  # the image's own, which is not root


def test_the_start_order_has_no_cycle_and_waits_for_the_health_of_servers() -> None:
    order = {service: set(described.get("depends_on", {})) for service, described in SERVICES.items()}
    assert list(TopologicalSorter(order).static_order())
    for service, described in SERVICES.items():
        for other, how in described.get("depends_on", {}).items():
            waits = other in {*SERVERS, "exchange"} and service != "system_doctor"
            assert how["condition"] == ("service_healthy" if waits else "service_started"), (service, other)
            # Compose would start what a profile hides, were it required.
            assert how.get("required", True) == (other != "exchange"), (service, other)


def test_the_start_order_is_the_documented_one() -> None:
    def after(service: str) -> set[str]:
        direct = set(SERVICES[service].get("depends_on", {}))
        return direct.union(*(after(other) for other in direct)) if direct else set()

    documented = ["upstox_ingestor", "feature_engine", "market_persistor", "market_scanner", "strategy_runtime"]
    for earlier, later in zip(documented, [*documented[1:], "quant_grafana"], strict=True):
        assert earlier in after(later), (earlier, later)


def test_a_profile_hides_the_exchange_and_the_backfiller_and_nothing_else() -> None:
    profiles = {name: described["profiles"] for name, described in SERVICES.items() if "profiles" in described}
    assert profiles == {"exchange": ["demo"], "data_backfiller": ["backfill"]}


def test_a_demo_reaches_all_who_ask_whether_the_market_is_real() -> None:
    asking = {service for service in OURS if "QUANT_UPSTOX__BASE_URL" in environment(service)}
    assert {"upstox_ingestor", "market_scanner", "strategy_runtime"} <= asking
    for service in asking:
        assert environment(service)["QUANT_UPSTOX__BASE_URL"].startswith("${QUANT_DEMO:+http://exchange:")
    # `quant` itself reads the root's .env: under the usual name the demo would hold for it, too.
    assert not variables() & set(USUAL_NAMES)


def test_a_demo_has_volumes_of_its_own() -> None:
    for name, described in DOCUMENT["volumes"].items():
        assert described["name"] == f"quant-platform${{QUANT_DEMO:+-demo}}-{name}"


@pytest.mark.parametrize(("service", "name"), own_variables())
def test_every_variable_of_our_services_is_one_that_the_program_knows(service: str, name: str) -> None:
    assert is_a_setting(name) or name in NO_SETTINGS
    if name in NO_SETTINGS:
        assert name in (REPOSITORY / "docs" / "configuration.md").read_text("utf-8")


def test_a_variable_that_the_program_does_not_know_would_be_found() -> None:
    wrong = ("QUANT_KAFKA__BOOTSTRAP", "QUANT_KAFK__PARTITIONS", "KAFKA_SERVERS", "QUANT_KAFKA", "KAFKA__PARTITIONS")
    assert not [name for name in wrong if is_a_setting(name)]


def test_no_secret_stands_in_the_file_and_every_one_is_asked_for() -> None:
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH$|FIRST_KEY|(HTTP_URL|REDIS_URL)$")
    found = [
        (service, name, value)
        for service in SERVICES
        for name, value in environment(service).items()
        if secret.search(name)
    ]
    assert len(found) > 20
    for service, name, value in found:
        assert re.search(r"\$\{[A-Z_]+:\?run quant init\}", value), (service, name)
    assert re.fullmatch(r"requirepass \$\{REDIS_PASSWORD:\?run quant init\}", _first_line(DOCUMENT["configs"]["redis"]))
    assert variables() == {*SECRETS, FIRST_KEY, "QUANT_DEMO"}


def _first_line(config: Mapping[str, Any]) -> str:
    text: str = config["content"]
    return text.partition("\n")[0]


def test_everything_that_is_mounted_or_read_exists() -> None:
    mounts = [mount for described in SERVICES.values() for mount in described.get("volumes", [])]
    assert len(mounts) >= 8
    for mount in mounts:
        source, _, _ = mount.partition(":")
        if source.startswith("."):
            assert (FILE.parent / source).exists(), source
            assert mount.endswith(":ro")
        else:
            assert source in DOCUMENT["volumes"], source
    used = {mount.partition(":")[0] for mount in mounts}
    assert set(DOCUMENT["volumes"]) <= used
    files = {file for described in SERVICES.values() for file in described.get("env_file", [])}
    assert {(FILE.parent / file).resolve() for file in files} == {(REPOSITORY / BROKER_FILE).resolve()}


def test_whom_the_gateway_asks_are_the_services_that_answer() -> None:
    port = environment("feature_engine")["QUANT_SERVICE__PORT"]
    given = environment("api_gateway")["QUANT_API__SERVICES"]
    asked = Settings.model_validate({"api": {"services": given}}).api.services
    assert asked == {name: f"http://{name}:{port}" for name in OURS if name != "data_backfiller"}
    assert environment("system_doctor")["QUANT_API__SERVICES"] == given


def test_grafana_finds_its_dashboards_where_they_are_mounted() -> None:
    providers = yaml.safe_load((FILE.parent / "grafana/provisioning/dashboards/files.yaml").read_text("utf-8"))
    paths = {provider["options"]["path"] for provider in providers["providers"]}
    assert {f"./grafana/dashboards:{path}:ro" for path in paths} <= set(SERVICES["quant_grafana"]["volumes"])


def test_every_variable_that_grafanas_files_name_is_given_to_it() -> None:
    files = (FILE.parent / "grafana" / "provisioning").rglob("*.yaml")
    named = {name for file in files for name in re.findall(r"\$\{?([A-Z][A-Z_]+)", _without_comments(file))}
    assert named
    assert named <= set(environment("quant_grafana"))


def _without_comments(file: Path) -> str:
    return "\n".join(line.partition(" #")[0] for line in file.read_text("utf-8").splitlines())


def test_ticks_are_kept_for_a_set_time_and_not_for_ever() -> None:
    assert int(environment("market_persistor")["QUANT_QUESTDB__KEEP_DAYS"]) > 0


def test_servers_have_no_way_out_of_their_network() -> None:
    assert DOCUMENT["networks"]["inside"] == {"internal": True}
    for service in SERVERS:
        assert SERVICES[service]["networks"] == ["inside"]
