"""The door before every path: nothing but ``/healthz`` is answered without a key, be it there or not."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from quant_platform.domain.errors import QuantError
from quant_platform.ports.api_keys import Admission
from quant_platform.web.problems import problem, problem_of

OPEN_PATH = "/healthz"
LOOKING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

Admit = Callable[[str, str], Admission]
"""Judges a key as it was shown, for a scope; raises :class:`UnavailableError` where nobody can be asked."""

_WHY = {
    Admission.UNKNOWN: "the key is not accepted",
    Admission.EXPIRED: "the key has expired",
    Admission.REVOKED: "the key was revoked",
}


class Door:
    """Middleware that asks for a key before anything else happens: ``read`` to look, ``trade`` to change anything.

    Args:
        app: what is behind it.
        admit: judges keys; called in a thread, since it waits for the ledger and for a slow hash.
    """

    def __init__(self, app: ASGIApp, admit: Admit) -> None:
        self._app = app
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        is_request = scope["type"] == "http"
        if scope["type"] == "lifespan" or (is_request and scope["path"] == OPEN_PATH):
            await self._app(scope, receive, send)
            return
        refusal = await self._refusal(
            Headers(scope=scope), "read" if scope.get("method", "GET") in LOOKING else "trade"
        )
        if refusal is None:
            await self._app(scope, receive, send)
        elif is_request:
            await refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _refusal(self, headers: Headers, needed: str) -> Response | None:
        token = bearer(headers)
        if token is None:
            return _unauthorized("this needs a key")
        try:
            admission = await run_in_threadpool(self._admit, token, needed)
        except QuantError as error:
            return problem_of(error)
        if admission is Admission.ADMITTED:
            return None
        if admission is Admission.NOT_ENOUGH:
            return problem(403, f"the key lacks the scope {needed}", "use another key, or make one with it")
        return _unauthorized(_WHY[admission])


def bearer(headers: Headers) -> str | None:
    """The key that a request shows; None where it shows none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _unauthorized(what: str) -> Response:
    return problem(
        401,
        what,
        "send `Authorization: Bearer quant_…`; `quant api-key new` makes a key",
        headers={"WWW-Authenticate": 'Bearer realm="quant-platform"'},
    )
