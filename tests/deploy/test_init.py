"""`quant init`: files for their owner only, secrets of its own, nothing overwritten, nothing said twice."""

import json
import re
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from quant_platform import cli
from quant_platform.hosts.api_keys import proves, split_token, unseal
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.installation import BROKER_FILE, FIRST_KEY, SECRETS, SERVERS_FILE

FILES = (SERVERS_FILE, BROKER_FILE)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").touch()
    (tmp_path / BROKER_FILE).parent.mkdir(parents=True)
    return tmp_path


def init(checkout: Path, *arguments: str) -> int:
    return cli.run_command(["init", "--folder", str(checkout), *arguments])


def values(checkout: Path, file: str = SERVERS_FILE) -> dict[str, str | None]:
    return dict(dotenv_values(checkout / file))


@pytest.mark.parametrize("file", FILES)
def test_the_files_are_for_their_owner_only(checkout: Path, file: str) -> None:
    assert init(checkout) == 0
    assert stat.S_IMODE((checkout / file).stat().st_mode) == 0o600


def test_every_secret_is_long_and_another_one_in_each_installation(checkout: Path) -> None:
    assert init(checkout) == 0
    first = values(checkout)
    for file in FILES:
        (checkout / file).unlink()
    assert init(checkout) == 0
    second = values(checkout)
    made = [each[name] or "" for each in (first, second) for name in SECRETS]
    assert len(set(made)) == 2 * len(SECRETS)
    # Without a sign that Compose, a URL or Redis would read as something else.
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32,}", secret) for secret in made)


def test_the_key_is_shown_once_and_only_its_proof_is_written(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(checkout, "--json") == 0
    token = json.loads(capsys.readouterr().out)["api_key"]
    key_id, secret = split_token(token) or ("", "")
    sealed = values(checkout)[FIRST_KEY] or ""
    assert unseal(sealed).key_id == key_id
    assert proves(secret, unseal(sealed))
    assert secret not in (checkout / SERVERS_FILE).read_text("utf-8")
    assert init(checkout, "--json") == 0
    assert json.loads(capsys.readouterr().out)["api_key"] is None
    assert values(checkout)[FIRST_KEY] == sealed


def test_secrets_are_not_printed(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(checkout) == 0
    said = "".join(capsys.readouterr())
    assert "API_FIRST_KEY" not in said
    assert not [name for name in SECRETS if (values(checkout)[name] or "?") in said]


def test_what_is_there_is_not_touched_and_init_says_so(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(checkout) == 0
    before = {file: ((checkout / file).read_bytes(), (checkout / file).stat().st_mtime_ns) for file in FILES}
    capsys.readouterr()
    assert init(checkout) == 0
    assert {file: ((checkout / file).read_bytes(), (checkout / file).stat().st_mtime_ns) for file in FILES} == before
    said = capsys.readouterr().out
    assert all(f"{file}: complete, not touched" in said for file in FILES)


@pytest.mark.parametrize("ending", ["\n", ""])
def test_a_file_of_the_users_own_keeps_its_lines_and_gets_what_it_lacks(
    checkout: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = f"# mine\nREDIS_PASSWORD=chosen\nUPSTOX_ACCESS_TOKEN=of-today{ending}"
    (checkout / SERVERS_FILE).write_text(own, "utf-8")
    assert init(checkout) == 0
    assert (checkout / SERVERS_FILE).read_text("utf-8").startswith(own)
    found = values(checkout)
    assert (found["REDIS_PASSWORD"], found["UPSTOX_ACCESS_TOKEN"]) == ("chosen", "of-today")
    assert set(SECRETS) <= set(found)
    assert stat.S_IMODE((checkout / SERVERS_FILE).stat().st_mode) == 0o600
    said = capsys.readouterr().out
    assert ".env: added COMPOSE_PROFILES" in said
    assert "REDIS_PASSWORD" not in said


def test_a_secret_left_empty_counts_as_missing(checkout: Path) -> None:
    (checkout / SERVERS_FILE).write_text("REDIS_PASSWORD=\n", "utf-8")
    assert init(checkout) == 0
    assert values(checkout)["REDIS_PASSWORD"]


def test_a_demo_is_named_in_the_file_and_refused_where_the_real_market_is(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(checkout) == 0
    before = (checkout / SERVERS_FILE).read_bytes()
    assert init(checkout, "--demo") == 2
    assert "set COMPOSE_PROFILES=demo and QUANT_DEMO=1" in capsys.readouterr().err
    assert (checkout / SERVERS_FILE).read_bytes() == before
    (checkout / SERVERS_FILE).unlink()
    assert init(checkout, "--demo") == 0
    assert init(checkout, "--demo") == 0
    assert (values(checkout)["COMPOSE_PROFILES"], values(checkout)["QUANT_DEMO"]) == ("demo", "1")


def test_the_files_do_not_change_what_quant_itself_does_in_the_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    before = load_settings().describe()
    assert init(checkout, "--demo") == 0
    assert load_settings().describe() == before


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path) == 2
    assert f"there is no compose.yaml in {tmp_path}" in capsys.readouterr().err
    assert not (tmp_path / SERVERS_FILE).exists()


def test_a_folder_that_is_missing_is_named(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / BROKER_FILE).parent.rmdir()
    assert init(checkout) == 1
    assert f"{checkout / BROKER_FILE} cannot be written" in capsys.readouterr().err
    assert not (checkout / SERVERS_FILE).exists()
