"""How each service says that it is: one question to all of them at once."""

import asyncio
from collections.abc import Iterable, Mapping

import httpx
import msgspec

from quant_platform.services.api_gateway.shapes import ServiceState

PATIENCE_S = 1.0


class _Ready(msgspec.Struct):
    ready: bool
    reason: str


def any_is_secure(addresses: Iterable[str]) -> bool:
    """Whether who asks there needs to know certificates: loading them takes 45 ms of CPU, at every look."""
    return any(address.startswith("https:") for address in addresses)


async def ask_services(addresses: Mapping[str, str]) -> list[ServiceState]:
    """The state of every service: ``ready``, ``waiting`` (with its reason), ``stuck`` or ``away``.

    Args:
        addresses: name → address below which it answers ``/healthz`` and ``/readyz``.
    """
    secure = any_is_secure(addresses.values())
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False, verify=secure) as client:
        return await asyncio.gather(*(_ask(client, name, url.rstrip("/")) for name, url in addresses.items()))


async def _ask(client: httpx.AsyncClient, name: str, url: str) -> ServiceState:
    try:
        alive, reply = await asyncio.gather(client.get(f"{url}/healthz"), client.get(f"{url}/readyz"))
        answer = msgspec.json.decode(reply.content, type=_Ready)
    except httpx.HTTPError as error:
        return ServiceState(name, "away", f"it does not answer: {type(error).__name__}")
    except msgspec.DecodeError:
        return ServiceState(name, "away", "what answers at its address in api.services is another program")
    if alive.status_code != httpx.codes.OK:
        return ServiceState(name, "stuck", answer.reason or "its loop has not turned for long")
    return ServiceState(name, "ready", None) if answer.ready else ServiceState(name, "waiting", answer.reason)
