"""``quant login`` against the simulated exchange: a browser agrees, and the token stands where settings are read."""

import contextlib
import json
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import upstox_client
from upstox_client.rest import ApiException

from quant_platform.hosts.config import load_settings
from quant_platform.hosts.env_files import with_variable
from tests.e2e.platform_rig import bare_environment

from .exchange_rig import TOKEN, lockstep, market, running

APP = "an-app"


@pytest.fixture(scope="module")
def exchange() -> Iterator[str]:
    with running(lockstep(), market(100)) as server:
        yield str(server.ready["url"])


@pytest.fixture
def redirect_uri() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/callback"


def write(folder: Path, exchange: str, redirect_uri: str, file: str = ".env", **more: str) -> None:
    lines = {"UPSTOX_API_KEY": APP, "UPSTOX_API_SECRET": TOKEN, "UPSTOX_REDIRECT_URI": redirect_uri} | more
    (folder / file).write_text("# mine\n" + "".join(f"{name}={value}\n" for name, value in lines.items()))
    (folder / "quant.toml").write_text(f'[upstox]\nbase_url = "{exchange}"\n')


@contextlib.contextmanager
def login(folder: Path, *more: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command, as soon as it waits."""
    command = [sys.executable, "-m", "quant_platform.cli", "login", "--no-browser", *more]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=folder, env=bare_environment(**(environment or {})), text=True, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def address_of(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("log in to Upstox here: "), line
    return line.split()[-1]


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_browser_that_agrees_leaves_the_token_in_the_env_file(
    tmp_path: Path, exchange: str, redirect_uri: str
) -> None:
    write(tmp_path, exchange, redirect_uri, UPSTOX_ACCESS_TOKEN="yesterday's")
    with login(tmp_path) as process:
        address = address_of(process)
        assert parse_qs(urlsplit(address).query)["client_id"] == [APP]
        stray = httpx.get(redirect_uri, params={"code": "guessed", "state": "guessed"})
        assert stray.status_code == 400
        agreed = httpx.get(address, follow_redirects=True)
        assert (agreed.status_code, "in the terminal" in agreed.text) == (200, True)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.startswith("logged in as Simulated User (SIM001); the token ends on ")
    assert TOKEN not in out + err
    kept = (tmp_path / ".env").read_text().splitlines()
    assert kept == [
        "# mine", f"UPSTOX_API_KEY={APP}", f"UPSTOX_API_SECRET={TOKEN}", f"UPSTOX_REDIRECT_URI={redirect_uri}",
        f"UPSTOX_ACCESS_TOKEN={TOKEN}",
    ]  # fmt: skip
    assert mode_of(tmp_path / ".env") == 0o600
    token = load_settings(folder=tmp_path).upstox.access_token
    assert token is not None
    assert token.get_secret_value() == TOKEN


def test_an_address_can_be_pasted(tmp_path: Path, exchange: str) -> None:
    write(tmp_path, exchange, "https://elsewhere.example/back?from=upstox")
    with login(tmp_path, "--json") as process:
        answer = httpx.get(address_of(process), follow_redirects=False)
        out, err = process.communicate(answer.headers["location"] + "\n", timeout=30)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert (told["user_id"], told["files"]) == ("SIM001", [str(tmp_path / ".env")])
    assert datetime.fromisoformat(told["ends"]) > datetime.now(UTC)


def test_what_belongs_to_another_login_is_refused(tmp_path: Path, exchange: str, redirect_uri: str) -> None:
    write(tmp_path, exchange, redirect_uri)
    with login(tmp_path, "--paste") as process:
        address_of(process)
        _, err = process.communicate(f"{redirect_uri}?code=abc&state=another\n", timeout=30)
    assert process.returncode == 2
    assert "that is not the address this login leads to" in err
    assert "UPSTOX_ACCESS_TOKEN" not in (tmp_path / ".env").read_text()


def test_a_login_that_is_not_agreed_to_says_so(tmp_path: Path, exchange: str, redirect_uri: str) -> None:
    write(tmp_path, exchange, redirect_uri)
    with login(tmp_path) as process:
        state = parse_qs(urlsplit(address_of(process)).query)["state"][0]
        httpx.get(redirect_uri, params={"error": "access_denied", "state": state})
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "the login was not agreed to" in err


def test_nobody_is_waited_for_for_ever(tmp_path: Path, exchange: str, redirect_uri: str) -> None:
    write(tmp_path, exchange, redirect_uri)
    with login(tmp_path, "--within", "1") as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "nobody logged in within 1 s" in err


def test_a_wrong_secret_names_the_app(tmp_path: Path, exchange: str, redirect_uri: str) -> None:
    write(tmp_path, exchange, redirect_uri, UPSTOX_API_SECRET="not-it")
    with login(tmp_path) as process:
        httpx.get(address_of(process), follow_redirects=True)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "the client id or its secret is wrong [UDAPI100069" in err
    assert "not-it" not in err


def test_a_checkout_keeps_it_for_its_services_too(tmp_path: Path, exchange: str, redirect_uri: str) -> None:
    (tmp_path / "services" / "ingestion").mkdir(parents=True)
    (tmp_path / "compose.yaml").touch()
    write(tmp_path, exchange, redirect_uri, file="services/ingestion/.env")
    with login(tmp_path, "--json") as process:
        httpx.get(address_of(process), follow_redirects=True)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    files = [tmp_path / ".env", tmp_path / "services" / "ingestion" / ".env"]
    assert json.loads(out)["files"] == [str(file) for file in files]
    for file in files:
        assert f"UPSTOX_ACCESS_TOKEN={TOKEN}\n" in file.read_text()
        assert mode_of(file) == 0o600


def test_a_variable_of_the_environment_that_stands_above_is_told(
    tmp_path: Path, exchange: str, redirect_uri: str
) -> None:
    write(tmp_path, exchange, redirect_uri)
    with login(tmp_path, environment={"UPSTOX_ACCESS_TOKEN": "old"}) as process:
        httpx.get(address_of(process), follow_redirects=True)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "the variable of the environment (UPSTOX_ACCESS_TOKEN) stands above the file: unset it" in err


def test_without_an_app_it_says_what_is_missing(tmp_path: Path) -> None:
    with login(tmp_path) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "UPSTOX_API_KEY is not set" in err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "T=new\n"),
        ("A=1", "A=1\nT=new\n"),
        ("A=1\nT=old # mine\nB=2\n", "A=1\nT=new\nB=2\n"),
        ("export T = old\nXT=1\n", "T=new\nXT=1\n"),
        ("# T=old\n", "# T=old\nT=new\n"),
    ],
)
def test_one_variable_of_a_file_is_changed(before: str, after: str) -> None:
    assert with_variable(before, "T", "new") == after


# The official SDK.


def code_for(exchange: str, redirect_uri: str) -> str:
    query = {"client_id": APP, "redirect_uri": redirect_uri, "response_type": "code"}
    answer = httpx.get(f"{exchange}/v2/login/authorization/dialog", params=query)
    assert answer.status_code == 302
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


@pytest.fixture
def sdk(exchange: str) -> upstox_client.LoginApi:
    configuration = upstox_client.Configuration()
    configuration.host = exchange
    return upstox_client.LoginApi(upstox_client.ApiClient(configuration))


def token(sdk: upstox_client.LoginApi, **changes: str) -> object:
    told = {"client_id": APP, "client_secret": TOKEN, "grant_type": "authorization_code"} | changes
    return sdk.token("2.0", **told)


def test_sdk_exchanges_a_code_once(sdk: upstox_client.LoginApi, exchange: str, redirect_uri: str) -> None:
    code = code_for(exchange, redirect_uri)
    reply = token(sdk, code=code, redirect_uri=redirect_uri)
    assert (reply.access_token, reply.user_id, reply.broker) == (TOKEN, "SIM001", "UPSTOX")
    with pytest.raises(ApiException, match="UDAPI100057"):
        token(sdk, code=code, redirect_uri=redirect_uri)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "another"}, "UDAPI100057"),
        ({"client_secret": "guessed"}, "UDAPI100069"),
        ({"redirect_uri": "http://127.0.0.1:1/"}, "UDAPI100070"),
        ({"grant_type": "password"}, "UDAPI100036"),
    ],
)
def test_sdk_is_told_what_is_wrong(
    sdk: upstox_client.LoginApi, exchange: str, redirect_uri: str, changes: dict[str, str], error: str
) -> None:
    code = code_for(exchange, redirect_uri)
    with pytest.raises(ApiException, match=error):
        token(sdk, **({"code": code, "redirect_uri": redirect_uri} | changes))


@pytest.mark.parametrize("missing", ["client_id", "redirect_uri", "response_type"])
def test_a_dialog_of_no_app_is_refused(exchange: str, missing: str) -> None:
    query = {"client_id": APP, "redirect_uri": "http://127.0.0.1:1/", "response_type": "code"}
    del query[missing]
    answer = httpx.get(f"{exchange}/v2/login/authorization/dialog", params=query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["errorCode"] == "UDAPI100068"
