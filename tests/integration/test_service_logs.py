"""The log of a service: one JSON object a line, to its very end."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from quant_platform.domain.errors import QuantError
from quant_platform.hosts.distributed.service_process import ServiceProcess
from quant_platform.hosts.logs import configure_logs
from tests.e2e.platform_rig import QUANT, bare_environment

NOBODY = "127.0.0.1:1"


def ended(folder: Path, name: str, settings: Mapping[str, str]) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and the lines of the log of a service that ends by itself."""
    done = subprocess.run(
        [*QUANT, "service", name], cwd=folder, env=bare_environment(**settings), text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        ("feature_engine", {"QUANT_KAFKA__NONSENSE": "1"}, "unknown setting kafka.nonsense in environment"),
        ("feature_engine", {"QUANT_KAFKA__PARTITIONS": "many"}, "setting kafka.partitions in environment"),
        ("feature_engine", {"KAFKA_BOOTSTRAP_SERVERS": "nonsense"}, "setting kafka.bootstrap_servers in environment"),
        ("strategy_runtime", {}, "setting postgres.password is missing"),
        ("upstox_ingestor", {}, "setting postgres.password is missing"),
        (
            "strategy_runtime",
            {"REDIS_URL": "nonsense", "POSTGRES_PASSWORD": "secret"},
            "setting redis.url is no address of a Redis server",
        ),
        ("market_persistor", {"QUESTDB_HTTP_URL": "nonsense"}, "questdb.http_url cannot be read"),
    ],
)
def test_a_wrong_setting_ends_a_service_with_code_2_and_is_its_logs_last_line(
    tmp_path: Path, name: str, settings: dict[str, str], complaint: str
) -> None:
    code, lines = ended(tmp_path, name, {"KAFKA_BOOTSTRAP_SERVERS": NOBODY, **settings})
    assert code == 2
    last = lines[-1]
    assert (last["event"], last["level"], last["service"], last["exit_code"]) == ("the service ends", "error", name, 2)
    assert complaint in last["reason"]
    assert " — " in last["reason"], "with the cure"


def test_whoever_keeps_a_service_running_is_told_the_reason_for_which_it_refused(tmp_path: Path) -> None:
    log = tmp_path / "strategy_runtime.log"
    process = ServiceProcess("strategy_runtime", [], bare_environment(), 0, log)
    with pytest.raises(QuantError) as told:
        asyncio.run(process.keep())
    assert told.value.exit_code == 2
    assert told.value.what.startswith(
        "service strategy_runtime ended with exit code 2: setting postgres.password is missing — set POSTGRES_PASSWORD"
    )
    assert told.value.cure == f"read {log}"


def test_a_crash_is_one_line_with_its_traceback() -> None:
    script = (
        "import sys\nfrom quant_platform.hosts.distributed import service\nfrom quant_platform.hosts.options import "
        "ServiceOptions\nservice.load_settings = lambda _: 1 / 0\nsys.exit(service.run(ServiceOptions('api_gateway')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=bare_environment(), text=True, capture_output=True, check=False
    )
    [line] = [json.loads(text) for text in done.stderr.splitlines()]
    assert done.returncode == 1
    assert "ZeroDivisionError" in line["exception"]


def test_what_libraries_say_and_what_ends_a_thread_are_lines_of_the_same_make(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure_logs("info", as_json=True, service="api_gateway")
        logging.getLogger("psycopg").warning("error ignored in %s", "rollback")
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
        thread = threading.Thread(target=lambda: 1 / 0, name="lookups")
        thread.start()
        thread.join()
        structlog.get_logger().info("ours", symbol="NSE_EQ:TCS")
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    lines = [json.loads(text) for text in capfd.readouterr().err.splitlines()]
    assert [line["service"] for line in lines] == ["api_gateway"] * 4
    library, warning, crash, ours = lines
    assert (library["event"], library["logger"], library["level"]) == (
        "error ignored in rollback",
        "psycopg",
        "warning",
    )
    assert "soon gone" in warning["event"]
    assert (crash["event"], crash["thread"]) == ("a thread died", "lookups")
    assert "ZeroDivisionError" in crash["exception"]
    assert ours["event"] == "ours"
