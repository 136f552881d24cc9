"""Upstox's login: where the user agrees, and the access token for the code that comes of it."""

import re
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import msgspec

from quant_platform.adapters.broker.upstox_transport import failure_of, is_local
from quant_platform.domain.errors import BrokerError, UnavailableError
from quant_platform.protocol.upstox import paths

TIMEOUT_S = 15.0
_TOKEN = re.compile(r"[\w.~+/=-]+", re.ASCII)
"""What a Bearer token may consist of (RFC 6750, section 2.1)."""


class UpstoxApp(NamedTuple):
    """A user's application, as Upstox's console shows it."""

    key: str
    secret: str
    redirect_uri: str


class LoggedIn(NamedTuple):
    """Whose token it is."""

    user_id: str
    user_name: str
    token: str


def dialog_url(base_url: str, app: UpstoxApp, state: str) -> str:
    """Where a browser has to go: Upstox sends it on to the redirect URI with ``code`` and the same ``state``."""
    query = {"client_id": app.key, "redirect_uri": app.redirect_uri, "response_type": "code", "state": state}
    return f"{base_url.rstrip('/')}{paths.LOGIN_DIALOG}?{urlencode(query)}"


def token_for(base_url: str, app: UpstoxApp, code: str) -> LoggedIn:
    """Exchange a code, which can be done once.

    Args:
        base_url: ``https://api.upstox.com``, or a simulator's.
        app: whose dialog gave the code.
        code: of the redirect.

    Raises:
        BrokerError: the app, its secret, the redirect URI or the code is refused, or the answer has no token.
        UnavailableError: Upstox cannot be reached. The code may have been used by it.
    """
    form = {
        "code": code,
        "client_id": app.key,
        "client_secret": app.secret,
        "redirect_uri": app.redirect_uri,
        "grant_type": "authorization_code",
    }
    try:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=not is_local(base_url)) as client:
            url = f"{base_url.rstrip('/')}{paths.LOGIN_TOKEN}"
            reply = client.post(url, data=form, headers={"Accept": "application/json"})
    except httpx.RequestError as error:
        raise UnavailableError(
            f"{base_url} did not answer {paths.LOGIN_TOKEN} ({type(error).__name__})",
            "check the network and Upstox's status page, then log in again",
        ) from None
    failure = failure_of(paths.LOGIN_TOKEN, reply)
    if failure is not None:
        raise failure
    answer: Any = msgspec.json.decode(reply.content)
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise BrokerError(f"the answer to {paths.LOGIN_TOKEN} has no access token", "log in again")
    return LoggedIn(str(answer.get("user_id", "")), str(answer.get("user_name", "")), token)
