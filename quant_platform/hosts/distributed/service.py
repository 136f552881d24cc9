"""``quant service NAME``: one service as compose runs it, with its health, its logs and its end with the parent."""

import os
import signal
import sys
import threading
from importlib import import_module

import structlog

from quant_platform.domain.errors import QuantError, SafetyError, UsageError
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.garbage import nothing_to_collect
from quant_platform.hosts.health import Health, answering
from quant_platform.hosts.logs import configure_logs
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.process import stopped_by_signals

NAMES = (
    "api_gateway",
    "upstox_ingestor",
    "feature_engine",
    "market_persistor",
    "market_scanner",
    "strategy_runtime",
    "data_backfiller",
    "system_doctor",
)
"""Each is a module beside this one with ``serve(settings, options, health)``, loaded when it is the one to run."""

LOOK_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


def run(options: ServiceOptions) -> int:
    """Run until SIGTERM, or until the work is done.

    What ends it otherwise is the last line of its log, which has one JSON object a line to the very end.

    Returns:
        The exit code: 0 done; 2 a setting is missing, unknown or wrong, and nothing was consumed; 3 refused for safety,
        as where another runtime has taken the portfolio over; 1 anything else.

    Raises:
        UsageError: there is no such service.
        ConfigurationError: ``QUANT_LOG`` is not a level.
    """
    if options.name not in NAMES:
        raise UsageError(f"there is no service {options.name!r}", f"the services are {', '.join(NAMES)}")
    configure_logs("info", as_json=True, service=options.name)
    try:
        _serve(options)
    except QuantError as error:
        with_traceback = os.environ.get("QUANT_DEBUG") == "1"
        _log.error("the service ends", reason=str(error), exit_code=error.exit_code, exc_info=with_traceback)
        return error.exit_code
    except Exception:
        _log.exception("the service ends by an internal error, which should be reported", exit_code=1)
        return 1
    return 0


def _serve(options: ServiceOptions) -> None:
    settings = load_settings(options.config)
    health = Health(options.name)
    if options.exit_with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    with nothing_to_collect():
        serve = import_module(f"{__package__}.{options.name}").serve
    with answering(health, settings.service.host, settings.service.port, _say_port):
        try:
            serve(settings, options, health)
        except QuantError as error:
            if settings.service.stay_when_refused and error.exit_code == SafetyError.exit_code:
                _stay(error, health)
            raise


def _stay(error: QuantError, health: Health) -> None:
    """Do nothing but say why, until SIGTERM: started again, this service would do the harm for which it was refused."""
    _log.error("the service does no more work, and waits to be stopped", reason=str(error))
    with stopped_by_signals() as stop:
        while not stop.is_set():
            health.waiting(str(error))
            stop.wait(LOOK_EVERY_S)


def _say_port(port: int) -> None:
    print(f'{{"port": {port}}}', flush=True)


def _end_with_parent() -> None:
    """Standard input is a pipe that the parent holds: it ends when the parent does, however that ends."""
    # Past Python's own buffer, whose lock a thread that waits there would hold at the end of the process.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
