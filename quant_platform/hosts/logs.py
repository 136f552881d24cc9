"""Where the platform's log goes: standard error, so that standard output stays for answers."""

import logging
import os
import sys
import threading
from typing import Any

import structlog
from structlog.typing import EventDict

from quant_platform.domain.errors import ConfigurationError

LEVELS = ("debug", "info", "warning", "error")


def configure_logs(default: str = "warning", *, as_json: bool = False, service: str = "") -> None:
    """Send structured logs of a level and above to standard error.

    Args:
        default: the level where ``QUANT_LOG`` names none.
        as_json: one JSON object a line, for machines; what libraries say, and what ends a thread, as well.
        service: stands in every line; empty for none.

    Raises:
        ConfigurationError: ``QUANT_LOG`` is not a level.
    """
    level = os.environ.get("QUANT_LOG", "").lower() or default
    if level not in LEVELS:
        raise ConfigurationError("QUANT_LOG is not a log level", f"set it to one of {', '.join(LEVELS)}")
    renderer: Any = structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    if as_json:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
        _take_in_others()

    def named(_logger: Any, _method: str, line: EventDict) -> EventDict:
        return {**line, "service": service} if service else line

    structlog.configure(
        processors=[
            named,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


class _Others(logging.Handler):
    """Takes what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        said = structlog.get_logger(record.name)
        said.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def _take_in_others() -> None:
    logging.basicConfig(handlers=[_Others()], level=logging.WARNING, force=True)
    logging.captureWarnings(True)

    def on_crash(crash: threading.ExceptHookArgs) -> None:
        thread = crash.thread.name if crash.thread else ""
        structlog.get_logger(__name__).error("a thread died", thread=thread, exc_info=crash.exc_value)

    threading.excepthook = on_crash
