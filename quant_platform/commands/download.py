"""``quant download``: history from Upstox into Parquet files, and into QuestDB."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from typing import Annotated

import typer

from quant_platform.commands import flags, values
from quant_platform.hosts.options import DownloadOptions

EXAMPLES = """\b
Examples:
  quant download --symbols RELIANCE,TCS --from 2026-07-01 --to 2026-07-31
  quant download --from 2026-01-01                 the NIFTY 100 up to yesterday
  quant download --symbols INFY --from 2020-01-01 --interval 1d
  quant backtest --data user_data/objects/candles/interval=1m

\b
Killed or stopped, the same command goes on: only what is missing is asked for. No token is needed.
Files go into the home's folder objects, or into S3 (S3_ENDPOINT_URL, S3_BUCKET, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY); one-minute candles also into QuestDB where QUESTDB_HTTP_URL is set.
"""

Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbols", metavar="SYMBOL...", help="RELIANCE,TCS or NSE_EQ:RELIANCE. [default: NIFTY 100]"),
]
Interval = Annotated[
    str, typer.Option("--interval", metavar="LENGTH", help="Of a candle: 1m to 300m, 1h to 5h, or 1d.")
]


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(cls=values.SpreadingCommand, epilog=EXAMPLES)(download)


def download(
    symbols: Symbols = None,
    first: flags.First = None,
    last: flags.Last = None,
    interval: Interval = "1m",
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Download candles from Upstox, and report their quality.

    Gaps against the exchange's calendar, duplicates, outliers, wrong days.
    """
    from quant_platform.hosts import download as host

    host.run(
        DownloadOptions(
            symbols=values.read_symbols(symbols or ()),
            first=first,
            last=last,
            interval=interval,
            home=home,
            json=json,
            config=config,
        )
    )
