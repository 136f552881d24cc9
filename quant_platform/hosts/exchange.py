"""``quant exchange``: the simulated exchange, over its own market or over files."""

from collections.abc import Sequence

from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.hosts.logs import configure_logs
from quant_platform.simulator.options import ExchangeOptions
from quant_platform.simulator.server import serve


def run(options: ExchangeOptions, data: Sequence[str]) -> None:
    """Serve until stopped.

    Args:
        options: what the exchange is started with.
        data: files, folders and patterns of a replay; empty otherwise.

    Raises:
        DataError: the files cannot be replayed.
        CalendarError: the exchange calendar does not cover a date.
        UnavailableError: the port is taken.
    """
    configure_logs()
    serve(options, FileTickSource(data) if data else None)
