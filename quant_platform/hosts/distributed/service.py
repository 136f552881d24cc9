"""``quant service NAME``: one service as compose runs it, with its health, its logs and its end with the parent."""

import os
import signal
import sys
import threading
from importlib import import_module

from quant_platform.domain.errors import UsageError
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.health import Health, answering
from quant_platform.hosts.logs import configure_logs
from quant_platform.hosts.options import ServiceOptions

NAMES = (
    "api_gateway",
    "upstox_ingestor",
    "feature_engine",
    "market_persistor",
    "market_scanner",
    "strategy_runtime",
    "system_doctor",
)
"""Each is a module beside this one with ``serve(settings, options, health)``, loaded when it is the one to run."""


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
    serve = import_module(f"{__package__}.{options.name}").serve
    with answering(health, settings.service.host, settings.service.port, _say_port):
        serve(settings, options, health)


def _say_port(port: int) -> None:
    print(f'{{"port": {port}}}', flush=True)


def _end_with_parent() -> None:
    """Standard input is a pipe that the parent holds: it ends when the parent does, however that ends."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
