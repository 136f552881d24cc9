"""Which services make up one platform, and what they must agree on: for whoever starts them as processes."""

import asyncio
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from quant_platform.domain.money import rupees
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed.service_process import ServiceProcess
from quant_platform.hosts.exchange_process import Address
from quant_platform.hosts.identity import MODES, identity_of
from quant_platform.hosts.options import UpOptions
from quant_platform.hosts.server_probes import is_configured
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL

YIELDING = 10
"""Niceness of an ingestor that nothing holds back: far ahead of the others, it leaves the processors to them, above all
to one that begins anew."""


class ServiceSet(NamedTuple):
    """The services of one run, not started yet."""

    runtime: ServiceProcess  # ends when the market is over
    others: Sequence[ServiceProcess]  # go on until they are stopped
    addresses: Mapping[str, str]  # name, with the instance where there are several → where each answers, as ``all``

    @property
    def all(self) -> list[ServiceProcess]:
        """Every one, in the order of the data."""
        return [*self.others, self.runtime]

    async def stop(self) -> None:
        """End them all, gracefully."""
        await asyncio.gather(*(service.stop() for service in self.all))

    def has(self, name: str) -> bool:
        """Whether a service is among them."""
        return any(service.name == name for service in self.others)


class _Wanted(NamedTuple):
    name: str
    arguments: Sequence[str] = ()
    instance: str = "1"
    niceness: int = 0

    @property
    def label(self) -> str:
        return self.name if self.instance == "1" else f"{self.name}_{self.instance}"


def services_of(options: UpOptions, settings: Settings, logs: Path, exchange: Address | None) -> ServiceSet:
    """The services of a run.

    Ticks are stored and services are sampled where QuestDB is configured, and the API answers where it is.

    Args:
        options: of the run.
        settings: of the installation.
        logs: folder for a log of each.
        exchange: the simulated one; None for the real market.
    """
    replay = ["--whole-universe"] if options.source == "replay" else []
    wanted = [
        _Wanted("upstox_ingestor", replay, niceness=YIELDING if options.speed is None else 0),
        *(_Wanted("feature_engine", instance=str(n)) for n in range(1, options.feature_engines + 1)),
    ]
    if options.subscribe == "scanner":
        wanted.append(_Wanted("market_scanner", ["--strategy", options.strategy, *replay]))
    if is_configured(settings, "questdb"):
        wanted += [_Wanted("market_persistor"), _Wanted("system_doctor")]
    if is_configured(settings, "api"):
        wanted.append(_Wanted("api_gateway"))
    runtime = _Wanted("strategy_runtime", _of_the_runtime(options, settings))
    ports = _free_ports([each.label for each in [*wanted, runtime]])
    addresses = {label: f"http://127.0.0.1:{port}" for label, port in ports.items()}
    agreed = _agreed(options, addresses, exchange)
    config = [] if options.config is None else ["--config", str(options.config)]

    def process(each: _Wanted) -> ServiceProcess:
        log = logs / f"{each.label}.log"
        arguments = [*each.arguments, *config]
        return ServiceProcess(each.name, arguments, agreed, ports[each.label], log, each.instance, each.niceness)

    return ServiceSet(process(runtime), [process(each) for each in wanted], addresses)


def _of_the_runtime(options: UpOptions, settings: Settings) -> list[str]:
    capital = DEFAULT_CAPITAL if options.fresh and options.capital is None else options.capital
    identity = identity_of(options, settings.scanner)
    if options.source != "upstox":
        identity += f" {uuid.uuid4()}"  # its topics begin empty, so it cannot go on with an earlier one
    return [
        *("--portfolio", options.portfolio, "--strategy", options.strategy, "--mode", MODES[options.source]),
        *("--identity", identity, "--until-over"),
        *(f"--set={name}={value}" for name, value in options.parameters.items()),
        *(["--capital", str(rupees(capital))] if capital is not None else []),
    ]


def _agreed(options: UpOptions, addresses: Mapping[str, str], exchange: Address | None) -> dict[str, str]:
    """What the services must agree on, above every other layer of their settings."""
    found = dict(os.environ)
    found["QUANT_FEED__SUBSCRIBE"] = options.subscribe
    found["QUANT_TRADING__STRATEGY"] = options.strategy  # whose parameters these are
    found |= {f"QUANT_TRADING__{name.upper()}": value for name, value in options.parameters.items()}
    found["QUANT_API__SERVICES"] = ",".join(f"{label}={url}" for label, url in addresses.items())
    if exchange is not None:
        found["QUANT_UPSTOX__BASE_URL"] = exchange.url
        found["QUANT_UPSTOX__ACCESS_TOKEN"] = exchange.token
        found["QUANT_FEED__DEPTH"] = str(exchange.depth).lower()
    return found


def _free_ports(labels: Sequence[str]) -> dict[str, int]:
    """A port for each service that keeps it when it is started again."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in labels]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {label: each.getsockname()[1] for label, each in zip(labels, sockets, strict=True)}
