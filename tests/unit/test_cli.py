"""The ``quant`` command: what is parsed, what is refused, in one line and with which exit code."""

import json
import math
import os
import subprocess
import sys
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
import typer

from quant_platform import cli
from quant_platform.commands import values
from quant_platform.domain.errors import DataError, SafetyError, UnavailableError
from quant_platform.hosts.options import BacktestOptions, DownloadOptions, SweepOptions, UpOptions
from quant_platform.simulator.options import ExchangeOptions

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the hosts were called with, instead of running them."""
    calls: list[Any] = []
    hosts = [f"quant_platform.hosts.{name}" for name in ("up", "exchange", "download")]
    for module in ("quant_platform.research.backtest", "quant_platform.research.sweep", *hosts):
        parent, _, name = module.rpartition(".")
        stand_in = type(sys)(module)
        stand_in.run = lambda *arguments: calls.append(arguments[0] if len(arguments) == 1 else arguments)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module, stand_in)
        __import__(parent)
        monkeypatch.setattr(sys.modules[parent], name, stand_in, raising=False)
    return calls


def quant(*arguments: str) -> int:
    return cli.run_command(list(arguments))


def quant_process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quant_platform.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_backtest_hands_over_what_was_asked_for(handed: list[Any]) -> None:
    code = quant(
        *["backtest", "--data", "a.parquet", "b", "c/*.parquet", "--data", "d", "--from", "2026-07-01"],
        *["--to", "2026-07-31", "--symbols", "reliance,NSE_EQ:TCS", "INFY"],
        *["--set", "rsi_entry=55", "square_off=15:10"],
        *["--capital", "1,00,000.50", "--latency-ms", "0", "--report", "out", "--json", "--skip-bad-rows"],
        *["--batch-size", "7", "--strategy", "mine.py"],
    )  # fmt: skip
    assert code == 0
    assert handed == [
        BacktestOptions(
            data=("a.parquet", "b", "c/*.parquet", "d"),
            first=date(2026, 7, 1),
            last=date(2026, 7, 31),
            symbols=("NSE_EQ:RELIANCE", "NSE_EQ:TCS", "NSE_EQ:INFY"),
            strategy="mine.py",
            parameters={"rsi_entry": "55", "square_off": "15:10", "latency_ms": "0"},
            capital=1_00_000_50,
            report=Path("out"),
            json=True,
            skip_bad_rows=True,
            batch_size=7,
        )
    ]


def test_sweep_hands_over_what_was_asked_for(handed: list[Any]) -> None:
    code = quant(
        *["sweep", "--data", "a.parquet", "b", "--set", "rsi_entry=45:60:5", "max_positions=1,10", "--latency-ms", "9"],
        *["--capital", "50000", "--workers", "3", "--results", "r.parquet", "--home", "h", "--top", "5", "--json"],
    )
    assert code == 0
    assert handed == [
        SweepOptions(
            data=("a.parquet", "b"),
            capital=50_000_00,
            swept={"rsi_entry": "45:60:5", "max_positions": "1,10", "latency_ms": "9"},
            workers=3,
            results=Path("r.parquet"),
            home=Path("h"),
            top=5,
            json=True,
        )
    ]


def test_up_runs_the_demo_at_sixty_times_its_speed_by_default(handed: list[Any]) -> None:
    assert quant("up") == 0
    assert handed == [UpOptions()]


def test_up_hands_over_what_was_asked_for(handed: list[Any]) -> None:
    code = quant(
        *["up", "--source", "replay", "--data", "a", "b", "--subscribe", "all", "--speed", "max", "--until-close"],
        *["--date", "2026-07-31", "--seed", "7", "--capital", "50000", "--home", "h", "--portfolio", "two"],
        *["--fresh", "--cut", "100", "--json"],
    )
    assert code == 0
    assert handed == [
        UpOptions(
            source="replay",
            data=("a", "b"),
            subscribe="all",
            speed=None,
            until_close=True,
            day=date(2026, 7, 31),
            seed=7,
            capital=50_000_00,
            home=Path("h"),
            portfolio="two",
            fresh=True,
            cut=100,
            json=True,
        )
    ]


def test_settings_are_defaults_that_the_command_line_overrides(
    handed: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quant.toml").write_text(
        '[trading]\nstrategy = "mine.py"\nlatency_ms = 500\nrsi_entry = 52\n[paths]\nhome = "there"\n'
        '[feed]\nsubscribe = "all"\n',
        encoding="utf-8",
    )
    assert quant("up", "--source", "upstox", "--set", "rsi_entry=60") == 0
    [options] = handed
    assert options.strategy == "mine.py"
    assert options.parameters == {"latency_ms": "500", "rsi_entry": "60"}
    assert (options.home, options.subscribe, options.speed) == (Path("there"), "all", 1.0)
    assert options.config == tmp_path / "quant.toml"


def test_download_hands_over_what_was_asked_for(handed: list[Any]) -> None:
    asked = ["--symbols", "reliance", "NSE_EQ:TCS,infy", "--from", "2026-07-01", "--to", "2026-07-31"]
    assert quant("download", *asked, "--interval", "15m", "--home", "h", "--json") == 0
    assert quant("download") == 0
    assert handed == [
        DownloadOptions(
            symbols=("NSE_EQ:RELIANCE", "NSE_EQ:TCS", "NSE_EQ:INFY"),
            first=date(2026, 7, 1),
            last=date(2026, 7, 31),
            interval="15m",
            home=Path("h"),
            json=True,
        ),
        DownloadOptions(),
    ]


def test_exchange_hands_over_what_was_asked_for(handed: list[Any]) -> None:
    code = quant(
        *["exchange", "--source", "replay", "--data", "x.parquet", "--port", "9000", "--token", "t", "--speed", "60"],
        *["--start", "09:15", "--seek", "2026-07-31T10:30", "--cut", "3", "--exit-with-parent", "--run-at-once"],
    )
    assert code == 0
    [(options, data)] = handed
    assert data == ("x.parquet",)
    assert options == ExchangeOptions(
        port=9000, token="t", source="replay", speed=60.0, run_at_once=True, start=time(9, 15),
        seek_ns=1_785_474_000_000_000_000, cut=3, exit_with_parent=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["backtest"], "--data"),
        (["backtest", "--data", "x", "--from", "31-07-2026"], "'31-07-2026' is not a date like 2026-07-31"),
        (["backtest", "--data", "x", "--from", "2026-07-02", "--to", "2026-07-01"], "is after --to"),
        (["backtest", "--data", "x", "--capital", "nan"], "'nan' is not an amount of rupees"),
        (["backtest", "--data", "x", "--capital", "0"], "'0' is not an amount of rupees"),
        (["backtest", "--data", "x", "--set", "rsi_entry"], "'rsi_entry' is not NAME=VALUE"),
        (["backtest", "--data", "x", "--latency-ms", "-1"], "--latency-ms"),
        (["sweep", "--set", "rsi_entry=45,50"], "--data"),
        (["sweep", "--data", "x"], "--set"),
        (["sweep", "--data", "x", "--set", "rsi_entry"], "'rsi_entry' is not NAME=VALUE"),
        (["sweep", "--data", "x", "--set", "a=1", "--workers", "2", "--cluster", "tcp://h:1"], "has its own workers"),
        (["up", "--speed", "0"], "'0' is neither a number above 0 nor max"),
        (["up", "--speed", "nan"], "neither a number above 0 nor max"),
        (["up", "--source", "moon"], "'moon'"),
        (["up", "--source", "replay"], "a replay needs at least one file"),
        (["up", "--data", "x"], "--source demo reads no files"),
        (["up", "--source", "upstox", "--speed", "max"], "the real market has its own"),
        (["up", "--portfolio", " "], "a portfolio needs a name"),
        (["up", "--cut", "-1"], "--cut"),
        (["up", "--sped", "3"], "--speed"),
        (["exchange", "--port", "70000"], "--port"),
        (["exchange", "--seek", "noon"], "'noon' is not a moment"),
        (["orders"], "there is no ledger in user_data"),
        (["portfolio"], "Missing command"),
        (["scan"], "UPSTOX_ACCESS_TOKEN"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_wrong_usage_gets_one_line_on_standard_error_and_exit_code_2(
    handed: list[Any], capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert quant(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("quant: ")
    assert told in err
    assert err.count("\n") == 1
    assert handed == []


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("file x holds NaN", "repair it"), 2, "quant: file x holds NaN — repair it\n"),
        (SafetyError("no"), 3, "quant: no\n"),
        (UnavailableError("port 80 is taken", "choose another"), 1, "quant: port 80 is taken — choose another\n"),
        (typer.Abort(), 1, "quant: stopped, nothing was changed\n"),
        (ZeroDivisionError("by zero"), 1, "internal error, ZeroDivisionError: by zero"),
    ],
)
def test_a_host_s_error_becomes_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str
) -> None:
    from quant_platform.hosts import look

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(look, "settings", fail)
    assert quant("config", "show") == code
    err = capsys.readouterr().err
    assert line in err
    assert "Traceback" not in err
    monkeypatch.setenv("QUANT_DEBUG", "1")
    assert quant("config", "show") == code
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_leaves_quietly_with_the_shell_s_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from quant_platform.hosts import look

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(look, "settings", interrupt)
    assert quant("config", "show") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_help_needs_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom quant_platform.cli import run_command\ncode = run_command(['--help'])\n"
        "heavy = {'numpy', 'numba', 'pyarrow', 'sqlalchemy', 'duckdb', 'rich', 'pydantic', 'httpx', 'matplotlib'}\n"
        "sys.exit(code or ', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("up", "backtest", "exchange", "scan", "orders", "portfolio", "config", "doctor"):
        assert f"\n  {command} " in done.stdout


def test_quant_alone_prints_help_and_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert quant() == 0
    assert "Usage: quant" in capsys.readouterr().out
    for command in ("up", "backtest", "sweep", "exchange", "scan"):
        assert quant(command, "--help") == 0
        assert f"\n    quant {command}" in capsys.readouterr().out


def test_the_process_leaves_with_the_exit_code_and_no_traceback(tmp_path: Path) -> None:
    wrong = quant_process("config", "show", cwd=tmp_path, QUANT_SCANNER__PICKS="many")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "setting scanner.picks in environment (QUANT_SCANNER__PICKS)" in wrong.stderr
    unsafe = quant_process("portfolio", "reset", "default", cwd=tmp_path)
    assert unsafe.returncode == 3
    version = quant_process("--version", cwd=tmp_path)
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.startswith("quant-platform ")


def test_config_show_masks_secrets_in_both_forms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPSTOX_ACCESS_TOKEN", "a-secret-token")
    assert quant("config", "show") == 0
    table = capsys.readouterr().out
    assert quant("config", "show", "--json") == 0
    shown = capsys.readouterr().out
    assert "a-secret-token" not in table + shown
    setting = json.loads(shown)["settings"]["upstox.access_token"]
    assert setting == {"value": "********", "source": "environment (UPSTOX_ACCESS_TOKEN)"}


def test_values_after_one_flag_belong_to_it_until_the_next() -> None:
    given = ["--data", "a", "b", "--json", "--set", "x=1", "y=-2", "--home", "h"]
    spread = ["--data", "a", "--data", "b", "--json", "--set", "x=1", "--set", "y=-2", "--home", "h"]
    assert values.spread(given) == spread


def test_a_moment_is_ist_unless_it_says_otherwise() -> None:
    ten_thirty = values.read_moment("2026-07-31T10:30")
    assert ten_thirty == values.read_moment("2026-07-31T05:00:00+00:00") == values.read_moment(str(ten_thirty))
    assert values.read_speed("max") == math.inf
