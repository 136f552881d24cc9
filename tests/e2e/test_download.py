"""``quant download`` against a real exchange process: what it brings, killed anywhere, and what it refuses."""

import contextlib
import io
import json
import os
import pty
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from quant_platform.adapters.objects.obstore import Bucket, Objects
from quant_platform.hosts.home import HomeFolder, HomeLock
from tests.series import reader_of
from tests.servers import QuestdbServer, RealServer

from .download_rig import (
    ASKED,
    DAYS,
    FOLDER,
    REQUESTS,
    SYMBOLS,
    TOKEN,
    Exchange,
    download,
    downloaded_rows,
    history_of,
    killed_at,
    run,
    running_exchange,
    waiting_parts,
)
from .platform_rig import QUANT, backtest, bare_environment, by_the_rules


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with running_exchange(tmp_path_factory.mktemp("market")) as running:
        yield running


def test_a_download_is_the_exchanges_history_and_says_what_is_missing(exchange: Exchange, tmp_path: Path) -> None:
    numbers = download(exchange, tmp_path).numbers
    assert downloaded_rows(tmp_path) == history_of(exchange)
    assert (numbers["requests"], numbers["dates_written"]) == (REQUESTS, 4)
    assert numbers["total"]["candles"] == 4 * 4 * 374
    assert (numbers["total"]["gaps"], numbers["total"]["missing"]) == (16, 16)
    assert numbers["findings"][0] == {
        "day": str(DAYS[0]),
        "symbol": SYMBOLS[0],
        "kind": "gap",
        "start": f"{DAYS[0]}T12:35:00+05:30",
        "bars": 1,
    }
    assert waiting_parts(tmp_path) == 0


def shown_on(terminal: int) -> str:
    """All that is written to a terminal until its other side is closed."""
    shown = b""
    with contextlib.suppress(OSError):  # Linux's way of telling so
        while piece := os.read(terminal, 65_536):
            shown += piece
    os.close(terminal)
    return shown.decode()


def test_a_terminal_shows_a_bar_on_the_way_and_a_table_with_findings_at_the_end(
    exchange: Exchange, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    with (tmp_path / "out.txt").open("w+") as out:
        process = subprocess.Popen(
            [*QUANT, "download", "--symbols", *SYMBOLS, *ASKED[:-1]],
            cwd=tmp_path,
            env=bare_environment(UPSTOX_BASE_URL=exchange.url, UPSTOX_ACCESS_TOKEN=TOKEN, TERM="xterm"),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=theirs,
        )
        os.close(theirs)
        bar = shown_on(ours)
        assert process.wait() == 0
        out.seek(0)
        printed = out.read()
    assert "what is missing?" in bar
    assert f"{REQUESTS}/{REQUESTS}" in bar
    table = [line.split() for line in printed.splitlines() if line.split()]
    assert ["symbol", "days", "candles", "missing", "gaps"] in table
    assert ["NSE_EQ:ITC", "4", "1,496", "4", "4"] in table
    assert ["all", "16", "5,984", "16", "16"] in table
    assert f"{DAYS[0]} 12:35:00+05:30 NSE_EQ:INFY gap" in printed
    assert "6 more findings: see --json" in printed


def test_a_backtest_over_a_download_is_one_over_the_same_bars(exchange: Exchange, tmp_path: Path) -> None:
    assert download(exchange, tmp_path).code == 0
    ours = backtest(tmp_path / FOLDER)
    theirs = backtest(exchange.file, "--to", str(DAYS[-2]))
    assert ours["fills"] > 0
    assert by_the_rules(ours) == by_the_rules(theirs)


def test_a_home_of_its_own_gets_the_files(exchange: Exchange, tmp_path: Path) -> None:
    assert download(exchange, tmp_path, "--home", "elsewhere").code == 0
    assert not (tmp_path / "user_data").exists()
    assert len(list((tmp_path / "elsewhere/objects/candles/interval=1m").glob("date=*"))) == 4


def test_a_second_download_asks_for_nothing_and_changes_nothing(exchange: Exchange, tmp_path: Path) -> None:
    first = download(exchange, tmp_path).numbers
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / FOLDER).rglob("*.*")}
    second = download(exchange, tmp_path).numbers
    assert (second["requests"], second["dates_written"]) == (0, 0)
    assert (second["symbols"], second["findings"]) == (first["symbols"], first["findings"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / FOLDER).rglob("*.*")} == before


def test_a_wider_download_asks_only_for_what_is_new(exchange: Exchange, tmp_path: Path) -> None:
    few = ("download", "--symbols", SYMBOLS[0], "--from", str(DAYS[1]), "--to", str(DAYS[-2]), "--json")
    assert run(exchange, tmp_path, *few).numbers["requests"] == 2
    assert download(exchange, tmp_path).numbers["requests"] == REQUESTS - 1  # July of the first is there
    assert downloaded_rows(tmp_path) == history_of(exchange)


@pytest.mark.parametrize(
    ("place", "complete"),
    [
        ("part kept:1", 0),
        ("part kept:4", 0),
        ("part kept:6", 4),
        ("series flushed:1", 0),
        ("date saved:1", 0),
        ("date saved:2", 0),  # the parts of the first month are left, though its dates are complete
        ("date saved:3", 4),
    ],
)
def test_after_a_kill_only_the_rest_is_asked_for(exchange: Exchange, tmp_path: Path, place: str, complete: int) -> None:
    killed_at(place, exchange, tmp_path)
    kept = waiting_parts(tmp_path)
    assert download(exchange, tmp_path).numbers["requests"] == REQUESTS - complete - kept
    assert downloaded_rows(tmp_path) == history_of(exchange)
    assert waiting_parts(tmp_path) == 0


def test_a_download_that_is_killed_after_every_answer_comes_to_its_end(exchange: Exchange, tmp_path: Path) -> None:
    for _ in range(REQUESTS):
        if download(exchange, tmp_path, QUANT_FAULT="part kept:1").code == 0:
            break
    assert download(exchange, tmp_path).numbers["requests"] == 0
    assert downloaded_rows(tmp_path) == history_of(exchange)


# Servers.


def bucket_of(s3: RealServer, name: str) -> Objects:
    wanted = s3.settings.objects
    assert wanted.endpoint_url
    assert wanted.access_key_id
    assert wanted.secret_access_key
    keys = wanted.access_key_id.get_secret_value(), wanted.secret_access_key.get_secret_value()
    return Objects.in_bucket(Bucket(wanted.endpoint_url, name, *keys))


def test_a_bucket_gets_the_same_files_though_the_download_is_killed(
    exchange: Exchange, s3: RealServer, tmp_path: Path
) -> None:
    s3.start()
    there = s3.environment | {"S3_BUCKET": f"test-{secrets.token_hex(6)}"}
    killed_at("part kept:6", exchange, tmp_path, **there)
    killed_at("date saved:1", exchange, tmp_path, **there)
    numbers = download(exchange, tmp_path, **there).numbers
    assert "bucket test-" in numbers["store"]
    assert not (tmp_path / "user_data").exists()

    in_a_folder = tmp_path / "plain"
    in_a_folder.mkdir()
    assert download(exchange, in_a_folder).code == 0
    objects = bucket_of(s3, there["S3_BUCKET"])
    kept = {found.key: content(objects, found.key) for found in objects.list()}
    root = in_a_folder / "user_data" / "objects"
    assert kept == {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def content(objects: Objects, key: str) -> bytes:
    target = io.BytesIO()
    objects.get(key, target)
    return target.getvalue()


def test_questdb_has_every_candle_once_before_its_date_counts(
    exchange: Exchange, empty_questdb: QuestdbServer, tmp_path: Path
) -> None:
    there = empty_questdb.environment
    killed_at("series flushed:1", exchange, tmp_path, **there)
    assert stored_candles(empty_questdb) == 4 * 374
    assert not (tmp_path / FOLDER).exists()
    assert download(exchange, tmp_path, **there).code == 0
    assert stored_candles(empty_questdb) == 4 * 4 * 374
    [[symbol, close, volume]] = empty_questdb.ask(
        "SELECT symbol, close, volume FROM candles_1m WHERE symbol = 'NSE_EQ:TCS' OR symbol = 'NSE_EQ:INFY' "
        "ORDER BY timestamp DESC LIMIT 1"
    )
    last = [row for row in history_of(exchange) if row["symbol"] == SYMBOLS[0]][-1]
    assert (symbol, close, volume) == (last["symbol"], last["close"], last["volume"])


def test_questdb_catches_up_without_a_request_where_it_came_later(
    exchange: Exchange, empty_questdb: QuestdbServer, tmp_path: Path
) -> None:
    assert download(exchange, tmp_path).code == 0
    before = downloaded_rows(tmp_path)
    killed_at("series flushed:2", exchange, tmp_path, **empty_questdb.environment)
    assert download(exchange, tmp_path, **empty_questdb.environment).numbers["requests"] == 0
    assert stored_candles(empty_questdb) == 4 * 4 * 374
    assert downloaded_rows(tmp_path) == before


def stored_candles(questdb: QuestdbServer) -> int:
    reader = reader_of(questdb.settings)
    reader.wait_until_visible(60)
    reader.close()
    [[count]] = questdb.ask("SELECT count() FROM candles_1m")
    return int(str(count))


def test_without_questdb_nothing_is_saved_and_the_address_is_named(exchange: Exchange, tmp_path: Path) -> None:
    outcome = download(exchange, tmp_path, QUESTDB_HTTP_URL="http://admin:secret-word@127.0.0.1:1")
    assert outcome.code == 1
    assert "QuestDB at 127.0.0.1:1 cannot be reached" in outcome.err
    assert "secret-word" not in outcome.err
    assert not (tmp_path / FOLDER).exists()
    assert download(exchange, tmp_path).numbers["requests"] == REQUESTS - len(SYMBOLS)  # June's answers were kept


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--symbols", "INFY,NOSUCH,NEITHER"), "Upstox lists no NSE_EQ:NOSUCH, NSE_EQ:NEITHER"),
        (
            ("--symbols", "INFY", "--to", "2026-07-03"),
            "it is 2026-07-03 at the exchange — end with 2026-07-02",
        ),
        (("--symbols", "INFY", "--from", "2030-01-01"), "2030-01-01 is not history yet"),
        (("--symbols", "INFY", "--from", "2021-01-01"), "no candles of 1m before 2022-01-01"),
        (("--symbols", "INFY", "--interval", "1w"), "there are no candles of interval '1w'"),
        (("--symbols", "NSE EQ"), "Upstox lists no NSE_EQ:NSE EQ"),
    ],
)
def test_what_cannot_be_downloaded_is_named(
    exchange: Exchange, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    outcome = run(exchange, tmp_path, "download", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert told in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_token_that_the_exchange_refuses_is_told_with_its_cure(exchange: Exchange, tmp_path: Path) -> None:
    outcome = download(exchange, tmp_path, UPSTOX_ACCESS_TOKEN="a-dead-token")
    assert outcome.code == 2
    assert "refuses the token — set UPSTOX_ACCESS_TOKEN" in outcome.err
    assert "a-dead-token" not in outcome.err


def test_a_second_download_at_the_same_time_is_refused(exchange: Exchange, tmp_path: Path) -> None:
    with HomeLock(HomeFolder(tmp_path / "user_data").download):
        outcome = download(exchange, tmp_path)
    assert outcome.code == 3
    assert "is in use by process" in outcome.err


def test_a_full_disk_ends_the_download_with_the_cure_and_room_lets_it_go_on(exchange: Exchange, tmp_path: Path) -> None:
    limited = ["bash", "-c", 'ulimit -f 8 && exec "$@"', "limited", *QUANT]  # KiB of a file
    given = {"UPSTOX_BASE_URL": exchange.url, "UPSTOX_ACCESS_TOKEN": TOKEN}
    done = subprocess.run(
        [*limited, "download", "--symbols", *SYMBOLS, *ASKED],
        cwd=tmp_path,
        env=bare_environment(**given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot be read or written" in done.stderr
    assert "check the disk's free space" in done.stderr
    assert download(exchange, tmp_path).code == 0
    assert downloaded_rows(tmp_path) == history_of(exchange)


def test_a_stopped_download_says_that_it_goes_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = {"UPSTOX_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}", "UPSTOX_ACCESS_TOKEN": TOKEN}
        process = subprocess.Popen(
            [*QUANT, "download", "--symbols", "INFY"], cwd=tmp_path, env=bare_environment(**given),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        silent.accept()  # it asks, and will wait for the answer
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "stopped before the download was complete — the same command goes on where it stopped" in err


# The service.


def test_the_service_fills_the_configured_days_once_and_ends(exchange: Exchange, tmp_path: Path) -> None:
    given = {"QUANT_BACKFILL__SYMBOLS": ",".join(SYMBOLS), "QUANT_BACKFILL__DAYS": "4"}
    outcome = run(exchange, tmp_path, "service", "data_backfiller", **given)
    assert outcome.code == 0, outcome.err
    assert downloaded_rows(tmp_path) == history_of(exchange)
    lines = [json.loads(line) for line in outcome.err.splitlines()]
    [last] = [line for line in lines if line["event"] == "downloaded"]
    assert (last["requests"], last["dates"], last["service"]) == (REQUESTS, 4, "data_backfiller")
    assert len([line for line in lines if line["event"] == "amiss"]) == 16


def test_the_service_waits_visibly_for_a_store_that_is_away(exchange: Exchange, tmp_path: Path) -> None:
    (tmp_path / "user_data").mkdir()
    in_the_way = tmp_path / "user_data" / "objects"
    in_the_way.write_text("no folder")
    given = {"UPSTOX_BASE_URL": exchange.url, "UPSTOX_ACCESS_TOKEN": TOKEN, "QUANT_BACKFILL__DAYS": "4"}
    process = subprocess.Popen(
        [*QUANT, "service", "data_backfiller"],
        cwd=tmp_path,
        env=bare_environment(QUANT_BACKFILL__SYMBOLS="INFY", **given),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        port = json.loads(process.stdout.readline())["port"]
        waiting = json.loads(process.stderr.readline())
        assert waiting["event"] == "waiting"
        assert "cannot be made" in waiting["reason"]
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz")
        assert ready.status_code == 503
        assert "cannot be made" in ready.json()["reason"]
        in_the_way.unlink()
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert [row["symbol"] for row in downloaded_rows(tmp_path)] == ["NSE_EQ:INFY"] * 4 * 374
    finally:
        process.kill()
        process.wait()
