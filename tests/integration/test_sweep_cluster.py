"""A sweep on a Dask cluster of this machine: the same numbers, and errors that say what to start."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from quant_platform.domain.errors import QuantError, StrategyError, UnavailableError
from tests.integration.sweep_rig import assert_each_set_is_its_backtest, depth_file, swept

GRID = {"rsi_entry": "50,55,60", "rsi_period": "5,14"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=None, silence_logs="ERROR"
        ) as started,
    ):
        yield started


def test_every_set_gives_the_numbers_of_its_backtest(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = depth_file(tmp_path / "ticks.parquet")
    told = swept(capsys, [data], tmp_path / "r.parquet", swept=GRID, cluster=cluster.scheduler_address)
    assert told["ran"] == 6
    assert all(each["round_trips"] > 3 for each in told["results"])
    assert_each_set_is_its_backtest(capsys, told, [data], list(GRID))


def test_a_strategy_that_fails_on_the_cluster_is_named(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = depth_file(tmp_path / "ticks.parquet", ticks=500, days=1)
    with pytest.raises(StrategyError, match="failed in signals"):
        swept(
            capsys, [data], tmp_path / "r.parquet", swept={"rsi_entry": "50,55"}, cluster=cluster.scheduler_address,
            strategy=str(failing(tmp_path / "my_failing.py", "raise ValueError('no')")),
        )  # fmt: skip


def failing(path: Path, action: str) -> Path:
    head = "import os\nfrom quant_platform.services.strategy_runtime.strategies.momentum import Momentum\n"
    path.write_text(f"{head}class Mine(Momentum):\n    def signals(self, features):\n        {action}\n", "utf-8")
    return path


def test_a_set_that_kills_its_worker_ends_the_sweep(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = depth_file(tmp_path / "ticks.parquet", ticks=500, days=1)
    with pytest.raises(QuantError, match="workers of the cluster died"):
        swept(
            capsys, [data], tmp_path / "r.parquet", swept={"rsi_entry": "50"}, cluster=cluster.scheduler_address,
            strategy=str(failing(tmp_path / "my_killing.py", "os._exit(1)")),
        )  # fmt: skip


def test_no_scheduler_at_the_address_is_said_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quant_platform.research.cluster.PATIENCE_S", 0.5)
    data = depth_file(tmp_path / "ticks.parquet", ticks=500, days=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="no Dask scheduler answers at tcp://127"):
            swept(capsys, [data], tmp_path / "r.parquet", swept={"rsi_entry": "50,55"}, cluster=address)


def test_a_scheduler_that_goes_away_ends_the_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = depth_file(tmp_path / "ticks.parquet", ticks=500, days=1)
    begun, address_file = tmp_path / "begun", tmp_path / "scheduler.json"
    slow = failing(tmp_path / "my_slow.py", f"open({str(begun)!r}, 'w').close(); import time; time.sleep(60)")
    dask_part = [sys.executable, "-m", "dask"]
    at = ["--scheduler-file", str(address_file)]
    with (
        running([*dask_part, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *at]) as scheduler,
        running([*dask_part, "worker", *at, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "5"]),
    ):
        until(address_file.exists)
        address = json.loads(address_file.read_text("utf-8"))["address"]
        until(lambda: has_worker(address))
        leaving = threading.Thread(target=lambda: (until(begun.exists), scheduler.kill()))
        leaving.start()
        with pytest.raises(UnavailableError, match="the Dask scheduler went away"):
            swept(
                capsys, [data], tmp_path / "r.parquet", swept={"rsi_entry": "50"}, cluster=address, strategy=str(slow)
            )
        leaving.join()


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def has_worker(address: str) -> bool:
    with Client(address, timeout=30) as client:
        return bool(client.nthreads())


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
