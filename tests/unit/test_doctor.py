"""The doctor: each probe's verdict, and the probes on folders, ledgers and tokens that really are as they say."""

import base64
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from quant_platform import cli
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ledger.views import LedgerDatabase
from quant_platform.domain.commands import Halt
from quant_platform.domain.session import IST
from quant_platform.hosts import doctor
from quant_platform.hosts.home import HomeFolder, HomeLock
from quant_platform.hosts.options import DoctorOptions
from quant_platform.hosts.server_settings import SERVER_VARIABLES
from quant_platform.ports.ledger_store import HaltFlag, RunRequest
from quant_platform.services.system_doctor.verdict import Level, Probes, is_broken, judge

NOW = datetime(2026, 7, 31, 10, 0, tzinfo=IST)
NOWHERE = "http://127.0.0.1:1"

HEALTHY = Probes(
    python=(3, 11, 7),
    packages={"numpy": "2.3.0"},
    kernel_folder="/cache",
    kernels=12,
    home="user_data",
    home_error="",
    disk_free_bytes=10**11,
    holder_pid=None,
    ledger_rows=1_234,
    ledger_error="",
    halts={},
    open_days=(),
    today=NOW.date(),
    calendar_last=date(2026, 12, 31),
    session="regular session, 09:15–15:30 IST",
    clock_drift_s=0.2,
    now=NOW,
    has_token=True,
    token_expires=NOW + timedelta(hours=17.5),
)


pytestmark = pytest.mark.usefixtures("bare_environment")


def test_a_healthy_platform_needs_no_cure() -> None:
    verdicts = judge(HEALTHY)
    assert {(v.level, v.cure) for v in verdicts} == {(Level.OK, "")}
    assert len({v.part for v in verdicts}) == len(verdicts)
    assert not is_broken(verdicts)


@pytest.mark.parametrize(
    ("change", "part", "level", "told"),
    [
        ({"python": (3, 10, 2)}, "python", Level.BROKEN, "3.10.2"),
        ({"packages": {"numpy": None}}, "packages", Level.BROKEN, "numpy"),
        ({"kernel_folder": "", "kernels": 0}, "kernels", Level.WARNING, "no folder"),
        ({"kernels": 0}, "kernels", Level.NOTE, "none compiled"),
        ({"home_error": "it is no folder"}, "home", Level.BROKEN, "it is no folder"),
        ({"disk_free_bytes": 10**9}, "disk", Level.WARNING, "1.0 GB"),
        ({"disk_free_bytes": 10**8}, "disk", Level.BROKEN, "0.1 GB"),
        ({"holder_pid": 77}, "platform", Level.OK, "process 77"),
        ({"ledger_rows": None}, "ledger", Level.NOTE, "none yet"),
        ({"ledger_rows": None, "ledger_error": "row 3 changed"}, "ledger", Level.BROKEN, "row 3 changed"),
        ({"halts": {"default": HaltFlag(True, "results")}}, "halts", Level.NOTE, "default is halted: results"),
        ({"halts": {"b": HaltFlag(True, "", True)}}, "halts", Level.NOTE, "b is squared off"),
        ({"open_days": [date(2026, 7, 30)]}, "ticks", Level.NOTE, "2026-07-30"),
        ({"open_days": [date(2026, 7, 30)], "holder_pid": 7}, "ticks", Level.OK, "being written"),
        ({"today": date(2026, 12, 2)}, "calendar", Level.WARNING, "2026-12-31"),
        ({"today": date(2026, 12, 1)}, "calendar", Level.OK, "2026-12-01"),
        ({"today": date(2027, 1, 1)}, "calendar", Level.BROKEN, "2026-12-31"),
        ({"clock_drift_s": None}, "clock", Level.NOTE, "not measured"),
        ({"clock_drift_s": -2.5}, "clock", Level.WARNING, "-2.5 s"),
        ({"clock_drift_s": 5.5}, "clock", Level.BROKEN, "+5.5 s"),
        ({"has_token": False, "token_expires": None}, "token", Level.NOTE, "no Upstox"),
        ({"token_expires": None}, "token", Level.NOTE, "does not say"),
        ({"token_expires": NOW}, "token", Level.WARNING, "died at 2026-07-31 10:00"),
    ],
)
def test_each_finding_has_its_level_and_a_cure_where_one_is_needed(
    change: dict[str, Any], part: str, level: Level, told: str
) -> None:
    verdicts = judge(replace(HEALTHY, **change))
    [verdict] = [v for v in verdicts if v.part == part]
    assert (verdict.level, told in verdict.what) == (level, True), verdict
    assert verdict.cure or level < Level.WARNING
    assert is_broken(verdicts) is (level is Level.BROKEN)
    assert [v.part for v in verdicts if v.level > Level.NOTE] == ([part] if level > Level.NOTE else [])


def probes(home: Path) -> Probes:
    return doctor.probe(DoctorOptions(home=home), broker_url=NOWHERE)


def ledger_with_a_run(home: Path) -> HomeFolder:
    folder = HomeFolder(home)
    with SqlLedger(folder.ledger) as ledger:
        ledger.begin(RunRequest("default", "paper", "momentum", "{}", None, 20_000_00))
        ledger.finish()
    return folder


def test_a_new_home_is_looked_at_without_making_anything(tmp_path: Path) -> None:
    found = probes(tmp_path / "new" / "home")
    assert (found.home_error, found.ledger_rows, found.ledger_error, found.open_days) == ("", None, "", [])
    assert found.clock_drift_s is None
    assert found.packages["numpy"]
    assert None not in found.packages.values()
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_home_should_be_is_broken(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("x")
    assert probes(tmp_path / "home").home_error == "it is no folder"


def test_a_ledger_that_was_changed_from_outside_is_broken(tmp_path: Path) -> None:
    import sqlite3

    home = ledger_with_a_run(tmp_path)
    sound = probes(tmp_path)
    assert sound.ledger_error == ""
    assert sound.ledger_rows is not None
    assert sound.ledger_rows > 0
    connection = sqlite3.connect(home.ledger)
    with connection:
        connection.execute("UPDATE audit_log SET what = 'nothing' WHERE seq = 1")
    connection.close()
    changed = probes(tmp_path)
    assert "row 1 of audit chain 'default'" in changed.ledger_error
    assert is_broken(judge(changed))


def test_a_portfolio_that_is_halted_is_named_with_the_command_that_ends_it(tmp_path: Path) -> None:
    with LedgerDatabase(ledger_with_a_run(tmp_path).ledger) as ledger:
        ledger.command(Halt.NO_ENTRIES, "results today", "local", NOW)
    found = probes(tmp_path)
    assert found.halts == {"default": HaltFlag(True, "results today")}
    [verdict] = [each for each in judge(found) if each.part == "halts"]
    assert "`quant resume --portfolio default`" in verdict.cure


def test_a_file_that_is_no_ledger_is_broken(tmp_path: Path) -> None:
    HomeFolder(tmp_path).ledger.write_bytes(b"not a database" * 100)
    assert probes(tmp_path).ledger_error


def test_the_process_that_holds_the_home_is_named_while_it_does(tmp_path: Path) -> None:
    home = HomeFolder(tmp_path)
    with HomeLock(home):
        assert probes(tmp_path).holder_pid == os.getpid()
    assert probes(tmp_path).holder_pid is None
    home.lock_file.write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))  # of another process, long gone
    assert probes(tmp_path).holder_pid is None


def test_days_with_segments_left_are_found(tmp_path: Path) -> None:
    for day in ("2026-07-30", "2026-07-31"):
        folder = HomeFolder(tmp_path).ticks / f"date={day}" / "segments"
        folder.mkdir(parents=True)
        (folder / "0001.arrows").write_bytes(b"")
    assert probes(tmp_path).open_days == [date(2026, 7, 30), date(2026, 7, 31)]


class _SlowClock(BaseHTTPRequestHandler):
    """A server whose clock is ten seconds behind."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(int(datetime.now(UTC).timestamp()) - 10)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow_clock_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _SlowClock) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_the_clock_is_compared_with_a_server_s(slow_clock_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    drift = doctor.clock_drift_s(slow_clock_url)
    assert drift is not None
    assert 9.4 <= drift <= 12.0


def test_the_command_prints_every_verdict_and_never_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = base64.urlsafe_b64encode(b'{"exp": 1785500000}').decode().rstrip("=")
    secret = f"e30.{claims}.signature"
    monkeypatch.setenv("UPSTOX_ACCESS_TOKEN", secret)
    monkeypatch.setattr(doctor, "clock_drift_s", lambda _: None)
    assert cli.run_command(["doctor", "--json"]) == 0
    shown = capsys.readouterr().out
    answer = json.loads(shown)
    assert answer["broken"] is False
    assert {line["part"]: line["level"] for line in answer["verdicts"]}["python"] == "ok"
    assert cli.run_command(["doctor"]) == 0
    table = capsys.readouterr().out
    assert "what to do" in table
    assert secret not in shown + table


def test_without_servers_and_services_the_embedded_platform_alone_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "clock_drift_s", lambda _: None)
    alone = {verdict.part for verdict in doctor.verdicts_on(DoctorOptions())}
    assert alone == {verdict.part for verdict in judge(HEALTHY)}
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    beside = {verdict.part for verdict in doctor.verdicts_on(DoctorOptions())}
    assert beside - alone == {"redis"}


def test_the_command_fails_when_something_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "clock_drift_s", lambda _: None)
    (tmp_path / "user_data").write_text("x")
    assert cli.run_command(["doctor", "--json"]) == 1
