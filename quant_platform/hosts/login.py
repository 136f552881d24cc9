"""``quant login``: the user agrees in a browser, and the day's access token goes where the platform reads it."""

import hmac
import secrets
import sys
import time
import webbrowser
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer
from urllib.parse import SplitResult, parse_qs, urlsplit

from quant_platform.adapters.broker.upstox_login import UpstoxApp, dialog_url, token_for
from quant_platform.domain.errors import ConfigurationError, UnavailableError, UsageError
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.env_files import read_text, read_variables, replace_text, with_variable
from quant_platform.hosts.installation import BROKER_FILE, COMPOSE_FILE
from quant_platform.hosts.installation_options import LoginOptions
from quant_platform.hosts.look import print_json
from quant_platform.hosts.token_life import stated_expiry, usual_expiry

VARIABLE = "UPSTOX_ACCESS_TOKEN"
READ_WITHIN_S = 10.0
"""How long a browser may take to send one request."""

_DONE = "<!doctype html><title>quant login</title><p>Thank you. It goes on in the terminal; this page can be closed."
_REFUSED = "<!doctype html><title>quant login</title><p>This is not the answer that was waited for."


def run(options: LoginOptions) -> None:
    """Have the user log in, and keep the token.

    Raises:
        ConfigurationError: the app's key or secret is not set, or its redirect URI is no address.
        UsageError: what was pasted is no answer to this login, or the user did not agree.
        BrokerError: Upstox refuses the app or the code.
        UnavailableError: nobody logged in in time, Upstox cannot be reached, or a file cannot be written.
    """
    settings = load_settings(options.config)
    app = _app(settings)
    state = secrets.token_urlsafe(16)
    url = dialog_url(settings.upstox.base_url, app, state)
    print(f"log in to Upstox here: {url}", file=sys.stderr, flush=True)
    listener = None if options.paste else _listener(urlsplit(app.redirect_uri), state)
    if listener is None:
        code = _pasted(state)
    else:
        with listener:
            if options.browser:
                webbrowser.open(url)
            code = listener.wait(options.within_s)
    login = token_for(settings.upstox.base_url, app, code)
    files = _keep(login.token, settings)
    ends = stated_expiry(login.token) or usual_expiry(datetime.now(UTC))
    above = settings.source_of("upstox", "access_token")
    if options.json:
        print_json({"user_id": login.user_id, "files": [str(file) for file in files], "ends": ends.isoformat()})
    else:
        print(f"logged in as {login.user_name} ({login.user_id}); the token ends on {ends:%Y-%m-%d at %H:%M} IST")
        print(f"{VARIABLE} written to {', '.join(map(str, files))} (mode 0600)")
    if above.startswith("environment"):
        print(f"the variable of the {above} stands above the file: unset it", file=sys.stderr)


def _app(settings: Settings) -> UpstoxApp:
    """The user's app, of the settings or, in a checkout, of the services' file."""
    upstox = settings.upstox
    file = _services_file(settings)
    of_services = {} if file is None else read_variables(file)
    told = {}
    for name, value in (("UPSTOX_API_KEY", upstox.api_key), ("UPSTOX_API_SECRET", upstox.api_secret)):
        told[name] = (value.get_secret_value() if value is not None else "") or of_services.get(name) or ""
        if not told[name]:
            raise ConfigurationError(
                f"{name} is not set",
                "put key and secret of your app into .env: https://account.upstox.com/developer/apps",
            )
    redirect_uri = upstox.redirect_uri
    if settings.source_of("upstox", "redirect_uri") == "default":
        redirect_uri = of_services.get("UPSTOX_REDIRECT_URI") or redirect_uri
    if not _is_address(redirect_uri):
        raise ConfigurationError(
            f"UPSTOX_REDIRECT_URI is no address: {redirect_uri}", "write it as in Upstox's console, http://…"
        )
    return UpstoxApp(told["UPSTOX_API_KEY"], told["UPSTOX_API_SECRET"], redirect_uri)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and parts.hostname is not None and parts.port != 0
    except ValueError:  # a port that is none
        return False


def _folder(settings: Settings) -> Path:
    """Where the settings' ``.env`` stands."""
    return Path.cwd() if settings.file is None else settings.file.parent


def _services_file(settings: Settings) -> Path | None:
    """What the services of Compose read, where this is a checkout that has it."""
    folder = _folder(settings)
    is_there = (folder / COMPOSE_FILE).is_file() and (folder / BROKER_FILE).is_file()
    return folder / BROKER_FILE if is_there else None


def _listener(redirect: SplitResult, state: str) -> "_Listener | None":
    """Who takes the browser's answer; None where it does not come to this machine, or somebody else listens there."""
    if redirect.scheme != "http" or redirect.hostname not in {"127.0.0.1", "localhost"}:
        return None
    try:
        return _Listener(redirect.hostname, redirect.port or 80, redirect.path or "/", state)
    except OSError as error:
        print(f"{redirect.netloc} cannot be listened on: {error.strerror}", file=sys.stderr)
        return None


class _Listener(TCPServer):
    """Takes one answer of the dialog, on this machine only."""

    allow_reuse_address = True

    def __init__(self, host: str, port: int, path: str, state: str) -> None:
        super().__init__((host, port), _Handler)
        self.path = path
        self.state = state
        self.answer: str | None = None
        """The query of the right request."""

    def wait(self, within_s: float) -> str:
        """The code of the answer.

        Raises:
            UsageError: the user did not agree.
            UnavailableError: no answer came in time.
        """
        give_up = time.monotonic() + within_s
        while self.answer is None:
            self.timeout = give_up - time.monotonic()
            if self.timeout <= 0:
                raise UnavailableError(
                    f"nobody logged in within {within_s:g} s",
                    "run `quant login` again; with --paste if the browser runs on another machine",
                )
            self.handle_request()
        return _code(self.answer)


class _Handler(BaseHTTPRequestHandler):
    """One request of a browser, which may be for an icon or come from a page that guesses."""

    timeout = READ_WITHIN_S
    server: _Listener

    def do_GET(self) -> None:
        """Take the answer, if it is one."""
        asked = urlsplit(self.path)
        is_right = asked.path == self.server.path and _has_state(asked.query, self.server.state)
        body = (_DONE if is_right else _REFUSED).encode()
        self.send_response(HTTPStatus.OK if is_right else HTTPStatus.BAD_REQUEST)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if is_right:
            self.server.answer = asked.query

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing: the line of the request has the code in it."""


def _has_state(query: str, state: str) -> bool:
    [given] = parse_qs(query).get("state", [""])[:1]
    return hmac.compare_digest(given.encode(), state.encode())


def _pasted(state: str) -> str:
    print("then paste the address that the browser shows:", file=sys.stderr, flush=True)
    address = sys.stdin.readline().strip()
    query = urlsplit(address).query
    if not _has_state(query, state):
        raise UsageError(
            "that is not the address this login leads to", "paste it whole, from http to its end, of this very login"
        )
    return _code(query)


def _code(query: str) -> str:
    given = parse_qs(query)
    if "code" not in given:
        raise UsageError("Upstox sent no code back: the login was not agreed to", "run `quant login` again")
    return given["code"][0]


def _keep(token: str, settings: Settings) -> list[Path]:
    """Write the token into the ``.env`` that settings are read from, and into the services' where there is one."""
    services = _services_file(settings)
    files = [_folder(settings) / ".env", *([services] if services is not None else [])]
    for file in files:
        replace_text(file.resolve(), with_variable(read_text(file) or "", VARIABLE, token))
    return files
