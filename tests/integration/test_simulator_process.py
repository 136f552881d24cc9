"""The simulated exchange as a process: its ready line, how it ends, and that it never outlives its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

SERVE = """
from datetime import date
from quant_platform.simulator.options import ExchangeOptions
from quant_platform.simulator.server import serve
serve(ExchangeOptions(day=date(2026, 8, 18), speed=None, exit_with_parent={with_parent}))
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(600)
"""


def _start(with_parent: bool) -> subprocess.Popen[str]:
    code = SERVE.format(with_parent=with_parent)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    started = _start(with_parent=False)
    yield started
    started.kill()
    started.wait()


def test_prints_one_line_when_ready_and_ends_on_sigterm(process: subprocess.Popen[str]) -> None:
    ready = json.loads(process.stdout.readline())
    assert set(ready) == {"url", "token", "depth"}
    assert ready["depth"] is True
    assert len(ready["token"]) >= 32
    with httpx.Client(base_url=ready["url"], headers={"Authorization": f"Bearer {ready['token']}"}) as http:
        assert http.get("/v2/user/profile").status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) in {0, -signal.SIGTERM}
    assert process.stdout.read() == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(ready["url"].rsplit(":", 1)[1])), timeout=5)


def test_does_not_outlive_a_parent_that_is_killed() -> None:
    code = SERVE.format(with_parent=True)
    command = [sys.executable, "-c", PARENT, code]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    exchange = psutil.Process(int(parent.stdout.readline()))
    assert json.loads(parent.stdout.readline())["depth"] is True
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while exchange.is_running() and exchange.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the exchange still runs without its parent"
        time.sleep(0.02)
