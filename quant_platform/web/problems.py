"""Errors as RFC 9457 problem details: what happened, to what, and what to do."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quant_platform.domain.errors import QuantError, UnavailableError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
"""When to ask again while a server is away: about how long ours need to start."""


class ParameterFault(BaseModel):
    """What is wrong with one parameter."""

    parameter: str
    message: str


class Problem(BaseModel):
    """Problem details: what happened (``detail``) and what to do about it (``cure``)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    cure: str
    errors: list[ParameterFault] | None = None


class RequestError(Exception):
    """Ends a request with a problem.

    Args:
        status: of HTTP.
        what: happened, and to what.
        cure: what the client can do.
        parameter: the one that is at fault; empty where none is.
    """

    def __init__(self, status: int, what: str, cure: str, parameter: str = "") -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.cure = cure
        self.parameter = parameter


def problem(
    status: int,
    what: str,
    cure: str,
    *,
    faults: list[ParameterFault] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response of a problem."""
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=what, cure=cure, errors=faults)
    return JSONResponse(content.model_dump(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE)


def problem_of(error: QuantError) -> Response:
    """The response of an error of ours: 503 while a server is away, else 500, for what it asked was in order."""
    if isinstance(error, UnavailableError):
        return problem(503, error.what, error.cure, headers={"Retry-After": str(RETRY_AFTER_S)})
    return problem(500, error.what, error.cure or "tell who runs this platform")


def handle_problems(app: FastAPI) -> None:
    """Have every error of the app answered with a problem, and the OpenAPI document say so."""

    @app.exception_handler(RequestError)
    def refused(_: Request, error: RequestError) -> Response:
        faults = [ParameterFault(parameter=error.parameter, message=error.what)] if error.parameter else None
        return problem(error.status, error.what, error.cure, faults=faults)

    @app.exception_handler(QuantError)
    def failed(_: Request, error: QuantError) -> Response:
        return problem_of(error)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        faults = [ParameterFault(parameter=str(fault["loc"][1]), message=_message(fault)) for fault in error.errors()]
        what = "; ".join(f"parameter {fault.parameter}: {fault.message}" for fault in faults)
        return problem(422, what, "correct it; /docs and /openapi.json describe every parameter", faults=faults)

    @app.exception_handler(HTTPException)
    def plain(request: Request, error: HTTPException) -> Response:
        what = f"{request.method} {request.url.path}: {str(error.detail).lower()}"
        return problem(error.status_code, what, "see /openapi.json for what there is", headers=error.headers)

    @app.exception_handler(Exception)
    def broken(_: Request, error: Exception) -> Response:
        return problem(500, f"internal error, {type(error).__name__}", "its traceback is in the gateway's log")

    plain_openapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _describe_problems(plain_openapi())
        return plain_openapi()

    app.openapi = openapi  # type: ignore[method-assign]


def _message(fault: Mapping[str, str]) -> str:
    if fault["type"] == "extra_forbidden":
        return "there is no such parameter here"
    return fault["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")


_DESCRIBED = {
    401: "No key, or one that is not accepted",
    403: "The key lacks the scope: `read` to look, `trade` to order",
    422: "A parameter is unknown, missing or ill-typed; `errors` names it",
    503: "A server is away; ask again after `Retry-After` seconds",
}


def _describe_problems(document: dict[str, Any]) -> None:
    """Put our problems in the place of FastAPI's own errors, and the key on every operation."""
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ParameterFault"] = ParameterFault.model_json_schema()
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas["Problem"].pop("$defs", None)
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, description in _DESCRIBED.items():
                operation["responses"][str(status)] = {"description": description}
            for status, response in operation["responses"].items():
                if status >= "400":
                    response["content"] = content
