"""``quant scan``: one look at the whole universe, through the same client and the same score as the platform's."""

import asyncio

from rich import box
from rich.console import Console
from rich.table import Table

from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.adapters.clock.system import SystemClock
from quant_platform.domain.errors import AuthenticationError
from quant_platform.domain.instruments import nifty_100
from quant_platform.domain.money import format_rupees, rupees
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.logs import configure_logs
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import ScanOptions
from quant_platform.ports.broker import Quote
from quant_platform.protocol.upstox import paths
from quant_platform.services.market_scanner.scanner import Pick, top_picks

ATTEMPTS = 2
"""Someone is waiting for the answer: rather a failure soon than a success late."""

NO_PICKS = "no picks: no stock has traded yet today, or the exchange knows no previous close"


def run(options: ScanOptions) -> None:
    """Print the picks of this moment.

    Raises:
        AuthenticationError: there is no token, or the broker refuses it.
        BrokerError: the broker refused the request.
        UnavailableError: the broker cannot be reached.
    """
    configure_logs()
    settings = load_settings(options.config)
    stored = settings.upstox.access_token
    token = options.token or (stored.get_secret_value() if stored else "")
    if not token:
        raise AuthenticationError(
            "a scan needs an access token",
            "set UPSTOX_ACCESS_TOKEN, or give --url and --token of a running `quant exchange`",
        )
    quotes = asyncio.run(_quotes(options.url, token))
    changes = {quote.symbol: quote.ltp / quote.previous_close - 1 for quote in quotes if quote.previous_close > 0}
    picks = top_picks(quotes, settings.scanner.picks)
    if options.json:
        print_json({"scanned": len(quotes), "picks": [_as_json(pick, changes[pick.symbol]) for pick in picks]})
    else:
        _print(picks, changes, len(quotes))


async def _quotes(exchange_url: str | None, token: str) -> list[Quote]:
    """Quotes of the NIFTY 100, or of all that a simulated exchange lists."""
    broker = UpstoxRest(exchange_url or paths.API_HOST, lambda: token, SystemClock(), attempts=ATTEMPTS)
    try:
        return await broker.quotes(await broker.instruments() if exchange_url else nifty_100())
    finally:
        await broker.close()


def _as_json(pick: Pick, change: float) -> dict[str, object]:
    return pick._asdict() | {"ltp": float(rupees(pick.ltp)), "change": change}


def _print(picks: list[Pick], changes: dict[str, float], scanned: int) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=f"{len(picks)} of {scanned} stocks", title_justify="left")
    table.add_column("symbol")
    for name in ("last", "change", "volume", "score"):
        table.add_column(name, justify="right")
    for pick in picks:
        change = f"{changes[pick.symbol]:+.2%}"
        table.add_row(pick.symbol, format_rupees(pick.ltp), change, f"{pick.volume:,}", f"{pick.score:,.0f}")
    Console(highlight=False).print(table if picks else NO_PICKS)
