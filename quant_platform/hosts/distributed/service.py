"""``quant service NAME``: one service as compose runs it, with its health, its logs and its graceful end."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from quant_platform.domain.errors import UsageError
from quant_platform.hosts import process
from quant_platform.hosts.config import Settings, load_settings
from quant_platform.hosts.distributed import connections
from quant_platform.hosts.distributed import feature_engine as features
from quant_platform.hosts.distributed import ingestor as ingestion
from quant_platform.hosts.distributed import strategy_runtime as trading
from quant_platform.hosts.health import Health, answering
from quant_platform.hosts.logs import configure_logs
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.tasks import until_stopped
from quant_platform.hosts.warm import warm_kernels
from quant_platform.ports.ledger_store import RunRequest, RunSummary
from quant_platform.protocol.upstox.paths import API_HOST
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL

NAMES = (ingestion.NAME, features.NAME, trading.NAME)
SHARED_PARAMETERS = ("rsi_period", "sma_period")
"""Parameters of the features, which all portfolios on one feed share."""


@dataclass(frozen=True)
class ServiceOptions:
    """Which service, and what only it is told.

    Attributes:
        name: one of :data:`NAMES`.
        instance: name of this process among those of its service, the same after a restart.
        portfolio: of a strategy_runtime.
        strategy: name or file; None for the settings'.
        parameters: name → text, over the settings' own.
        capital: paise; given, the portfolio starts anew where the run is another one.
        mode: of the market, as stored with the portfolio: paper, replay or demo.
        identity: what makes two runs the same beside strategy and settings.
        until_over: a strategy_runtime finishes its run when the market is over, and ends.
        whole_universe: an ingestor takes whatever the exchange lists.
        exit_with_parent: end with the process that started this one.
        config: the settings file asked for.
    """

    name: str
    instance: str = "1"
    portfolio: str = "default"
    strategy: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    capital: int | None = None
    mode: str = "paper"
    identity: str = ""
    until_over: bool = False
    whole_universe: bool = False
    exit_with_parent: bool = False
    config: Path | None = None


def run(options: ServiceOptions) -> None:
    """Run until SIGTERM, or until the work is done.

    Raises:
        UsageError: there is no such service.
        ConfigurationError: a setting is missing, unknown or ill-typed; nothing was consumed.
        FencedError: another runtime has taken the portfolio over.
    """
    if options.name not in NAMES:
        raise UsageError(f"there is no service {options.name!r}", f"the services are {', '.join(NAMES)}")
    configure_logs("info", as_json=True, service=options.name)
    settings = load_settings(options.config)
    health = Health(options.name)
    if options.exit_with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    with ExitStack() as stack:
        stack.enter_context(answering(health, settings.service.host, settings.service.port, _say_port))
        if options.name == ingestion.NAME:
            plan = ingestion.IngestorPlan(options.whole_universe, options.config)
            asyncio.run(until_stopped(ingestion.Ingestor(settings, plan, health).run))
            return
        stop = stack.enter_context(process.stopped_by_signals())
        warm_kernels()
        service = (
            _feature_engine(settings, options, health)
            if options.name == features.NAME
            else _strategy_runtime(settings, options, health, stop)
        )
        process.run(service, health, stop)


def _feature_engine(settings: Settings, options: ServiceOptions, health: Health) -> process.StreamService:
    _, shared = load_strategy(settings.trading.strategy, settings.trading.parameters)
    return features.FeatureEngineService(
        connections.kafka(settings),
        health,
        instance=options.instance,
        rsi_period=shared.rsi_period,
        sma_period=shared.sma_period,
        depth=settings.feed.depth,
    )


def _strategy_runtime(
    settings: Settings, options: ServiceOptions, health: Health, stop: threading.Event
) -> process.StreamService:
    for name in SHARED_PARAMETERS:
        wanted = options.parameters.get(name)
        if wanted is not None and wanted != settings.trading.parameters.get(name):
            raise UsageError(
                f"--set {name}={wanted} is for the feature_engine, which serves every portfolio",
                f"set it for all services: QUANT_TRADING__{name.upper()}={wanted}",
            )
    strategy, shared = load_strategy(
        options.strategy or settings.trading.strategy, settings.trading.parameters | dict(options.parameters)
    )
    request = RunRequest(
        portfolio=options.portfolio,
        mode=options.mode,
        strategy=strategy.name,
        identity=f"distributed {options.identity} {shared} {strategy.parameters} {options.capital}",
        capital=options.capital,
        default_capital=DEFAULT_CAPITAL,
    )
    plan = trading.RuntimePlan(
        request,
        strategy,
        shared,
        depth=settings.feed.depth,
        live=settings.upstox.base_url == API_HOST,
        max_data_age_s=settings.runtime.max_data_age_s,
        commit_every_s=settings.runtime.commit_every_s,
        until_over=options.until_over,
    )

    def over(_: RunSummary) -> None:
        stop.set()

    return trading.StrategyRuntimeService(
        connections.kafka(settings), lambda: connections.postgres(settings), health, plan, over
    )


def _say_port(port: int) -> None:
    print(f'{{"port": {port}}}', flush=True)


def _end_with_parent() -> None:
    """Standard input is a pipe that the parent holds: it ends when the parent does, however that ends."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
