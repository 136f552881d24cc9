"""A tick that fills an order: few files, short ones, from the WebSocket to the ledger."""

import json
import subprocess
import sys
from pathlib import Path

import quant_platform
from tests.e2e.platform_rig import bare_environment

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = Path(quant_platform.__file__).parent
FLOOR = ("domain/", "indicators/", "protocol/", "kernel.py")
"""Values, formulas and the form of the wire, which any file may use."""
MOST_FILES = 10
MOST_LINES = 2500


def test_a_tick_walks_from_the_websocket_to_the_ledger_through_ten_files_at_most(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.walked_tick", str(tmp_path)],
        cwd=REPOSITORY,
        env=bare_environment(NUMBA_DISABLE_JIT="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["orders"] == ["filled"]
    walked = [file for file in found["files"] if not file.startswith(FLOOR)]
    assert {"adapters/broker/upstox_feed.py", "services/strategy_runtime/ledger.py"} <= set(walked)
    lines = {file: (PACKAGE / file).read_text("utf-8").count("\n") for file in walked}
    print("\n".join(f"{count:5} {file}" for file, count in lines.items()), f"{sum(lines.values()):5} in all", sep="\n")
    assert len(walked) <= MOST_FILES, walked
    assert sum(lines.values()) < MOST_LINES
