"""Where the platform's log goes: standard error, so that standard output stays for answers."""

import os
import sys
from typing import Any

import structlog

from quant_platform.domain.errors import ConfigurationError

LEVELS = ("debug", "info", "warning", "error")


def configure_logs(default: str = "warning", *, as_json: bool = False, service: str = "") -> None:
    """Send structured logs of a level and above to standard error.

    Args:
        default: the level where ``QUANT_LOG`` names none.
        as_json: one JSON object a line, for machines.
        service: stands in every line; empty for none.

    Raises:
        ConfigurationError: ``QUANT_LOG`` is not a level.
    """
    level = os.environ.get("QUANT_LOG", "").lower() or default
    if level not in LEVELS:
        raise ConfigurationError("QUANT_LOG is not a log level", f"set it to one of {', '.join(LEVELS)}")
    renderer: Any = structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    if as_json:
        renderer = structlog.processors.JSONRenderer()
    structlog.contextvars.clear_contextvars()
    if service:
        structlog.contextvars.bind_contextvars(service=service)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
