"""What a start does not wait for: libraries that a command or a service has no use for are not imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.sweep_rig import depth_file

HEAVY = (
    "{'pandas', 'pyarrow.compute', 'sqlalchemy', 'matplotlib', 'duckdb', 'httpx', 'distributed', 'psycopg', "
    "'confluent_kafka', 'google.protobuf'}"
)
SCRIPT = f"""
import sys
from quant_platform.cli import run_command
code = run_command(sys.argv[1:])
sys.exit(code or ', '.join(sorted({HEAVY} & set(sys.modules))) or 0)
"""


def test_a_backtest_imports_nothing_heavy_that_it_does_not_use(tmp_path: Path) -> None:
    data = depth_file(tmp_path / "ticks.parquet", ticks=500, days=1)
    command = [sys.executable, "-c", SCRIPT, "backtest", "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ledger sha256" in done.stdout


@pytest.mark.parametrize(
    ("service", "unused"),
    [
        ("feature_engine", {"pandas", "sqlalchemy", "psycopg"}),
        ("market_persistor", {"sqlalchemy"}),
        ("strategy_runtime", {"pandas", "questdb"}),
        ("api_gateway", {"pandas"}),
    ],
)
def test_a_service_that_begins_anew_loads_no_driver_of_others(service: str, unused: set[str]) -> None:
    script = f"""
import sys
import quant_platform.hosts.distributed.{service}
sys.exit(", ".join({unused} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
