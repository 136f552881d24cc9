"""The exchange's login over REST: the dialog, which agrees at once, and the token for its code."""

import hmac
import secrets
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from quant_platform.protocol.upstox import codes, paths
from quant_platform.simulator.market_endpoints import PROFILE
from quant_platform.simulator.replies import Refusal

MOST_CODES = 100
"""Codes that wait for their exchange; the oldest is forgotten."""


class Grant(NamedTuple):
    """What a code was handed out for."""

    client_id: str
    redirect_uri: str


def _given(request: Request) -> dict[str, Grant]:
    """Code → what it is for; of this server."""
    grants: dict[str, Grant] = request.app.state.login_codes
    return grants


async def _dialog(request: Request) -> Response:
    """As if the user had logged in and agreed."""
    query = request.query_params
    grant = Grant(query.get("client_id", ""), query.get("redirect_uri", ""))
    is_address = urlsplit(grant.redirect_uri).scheme in {"http", "https"}
    if not grant.client_id or not is_address or query.get("response_type") != "code":
        raise Refusal(400, codes.WRONG_APP)
    grants = _given(request)
    code = secrets.token_urlsafe(6)
    grants[code] = grant
    if len(grants) > MOST_CODES:
        del grants[next(iter(grants))]
    answer = {"code": code} | ({"state": query["state"]} if "state" in query else {})
    joint = "&" if urlsplit(grant.redirect_uri).query else "?"
    return RedirectResponse(f"{grant.redirect_uri}{joint}{urlencode(answer)}", status_code=302)


async def _token(request: Request) -> Response:
    """The exchange's own token, for whoever knows it already: it is the secret of every app here."""
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    if form.get("grant_type") != "authorization_code":
        raise Refusal(400, codes.MALFORMED_INPUT, path="grant_type", value=form.get("grant_type"))
    token: str = request.app.state.token
    if not hmac.compare_digest(form.get("client_secret", "").encode(), token.encode()):
        raise Refusal(401, codes.WRONG_SECRET)
    grant = _given(request).pop(form.get("code", ""), None)  # usable once, even if it fails
    if grant is None or grant.client_id != form.get("client_id"):
        raise Refusal(401, codes.USED_CODE)
    if grant.redirect_uri != form.get("redirect_uri"):
        raise Refusal(401, codes.WRONG_REDIRECT)
    return JSONResponse({**PROFILE, "access_token": token, "extended_token": None})


ROUTES = (
    Route(paths.LOGIN_DIALOG, _dialog),
    Route(paths.LOGIN_TOKEN, _token, methods=["POST"]),
)
