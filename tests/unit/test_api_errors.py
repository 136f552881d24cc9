"""What the API answers when it fails itself: a problem that names the cure, and nothing from inside."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import httpx
import pytest

from quant_platform.adapters.ticks.memory import MemorySeries
from quant_platform.domain.errors import ConfigurationError, LedgerError, UnavailableError
from quant_platform.ports.api_keys import Admission
from quant_platform.web.api import Sources, make_app
from quant_platform.web.live import LiveEvents


def failing(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


def ask(ledger: Callable[..., NoReturn], admit: Callable[[str, str], Admission]) -> httpx.Response:
    """One question to an app in this process, as uvicorn would put it."""
    away = failing(ValueError())
    sources = Sources(ledger, away, MemorySeries(), away, away, [], LiveEvents())
    app = make_app(sources, admit, [], lambda *_: None)

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get("/api/v1/portfolios", headers={"Authorization": "Bearer x"})

    return asyncio.run(get())


def admitted(*_: str) -> Admission:
    return Admission.ADMITTED


@pytest.mark.parametrize(
    ("error", "status", "detail", "cure"),
    [
        (UnavailableError("Postgres is away", "start it"), 503, "Postgres is away", "start it"),
        (ConfigurationError("it refuses us", "set the password"), 500, "it refuses us", "set the password"),
        (LedgerError("rows contradict each other"), 500, "rows contradict each other", "tell who runs this platform"),
        (ValueError("postgresql://admin:secret@host"), 500, "internal error, ValueError", "its traceback is in the"),
    ],
)
def test_a_failure_is_a_problem_with_its_cure(error: Exception, status: int, detail: str, cure: str) -> None:
    answer = ask(failing(error), admitted)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == detail
    assert answer.json()["cure"].startswith(cure)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "secret" not in answer.text


@pytest.mark.parametrize(("error", "status"), [(UnavailableError("away"), 503), (ConfigurationError("wrong"), 500)])
def test_nobody_is_let_in_while_keys_cannot_be_judged(error: Exception, status: int) -> None:
    asked: list[object] = []
    answer = ask(lambda *seen: asked.append(seen), failing(error))  # type: ignore[arg-type]
    assert answer.status_code == status
    assert not asked
