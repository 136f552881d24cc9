"""What ``quant up`` refuses before it trades, and what it says."""

from pathlib import Path

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.ports.ledger_store import RunRequest
from tests.e2e.platform_rig import QUANT, depth_file, quant, replay_of, started, wait_until
from tests.servers import Database


def test_a_second_platform_on_the_same_home_is_refused_and_names_the_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with started("--home", str(home), "--json", cwd=tmp_path) as first:
        assert wait_until(lambda: (home / "lock").exists() and (home / "lock").read_text(), first)
        second = quant("up", "--home", home, "--json", cwd=tmp_path)
        assert first.poll() is None
    assert second.code == 3
    assert f"process {first.pid}" in second.err
    assert "another --home" in second.err
    assert second.out == ""


def test_the_real_market_without_a_token_says_what_to_do(tmp_path: Path) -> None:
    refused = quant("up", "--source", "upstox", "--json", cwd=tmp_path)
    assert refused.code == 2
    (line,) = refused.err.splitlines()
    assert "UPSTOX_ACCESS_TOKEN" in line
    assert "quant up" in line


def test_a_file_that_cannot_be_replayed_ends_the_platform_with_the_exchanges_own_line(tmp_path: Path) -> None:
    data = tmp_path / "broken.parquet"
    data.write_bytes(depth_file(tmp_path / "whole.parquet").read_bytes()[:5000])
    refused = quant("up", *replay_of(data, tmp_path / "home"), cwd=tmp_path, program=QUANT)
    assert refused.code == 2
    assert str(data) in refused.err
    assert "Traceback" not in refused.err


def test_a_simulated_market_beside_a_real_one_is_refused_until_the_command_named_has_ended_that_run(
    tmp_path: Path, database: Database
) -> None:
    with SqlLedger(database.url) as ledger:
        ledger.begin(RunRequest("savings", "paper", "momentum", "the real market", None, 20_000_00))

    servers = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", **database.environment}
    home = tmp_path / "home"
    refused = quant("up", "--mode", "distributed", "--home", home, cwd=tmp_path, environment=servers)
    assert refused.code == 3
    assert "portfolio 'savings' trades the real market" in refused.err
    named = refused.err.partition("end that run: quant ")[2].split()
    assert named == ["portfolio", "reset", "savings", "--mode", "distributed"]
    assert quant(*named, "--yes", cwd=tmp_path, environment=database.environment).code == 0
    with SqlLedger(database.url) as ledger:
        assert [view.last_run_state for view in ledger.portfolios()] != ["running"]
