"""Every option of the command line, declared once: its flag, its type and the help that explains it."""

from datetime import date, time
from pathlib import Path
from typing import Annotated, Literal

import typer

from quant_platform.commands import values
from quant_platform.hosts.options import PortChoice, Source, Subscription, UpMode

# What a run is made of.

Data = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="PATH...", help="Files, folders or globs of candles or ticks, one or several."),
]
First = Annotated[
    date | None,
    typer.Option("--from", metavar="YYYY-MM-DD", parser=values.read_date, help="First IST date to take."),
]
Last = Annotated[
    date | None,
    typer.Option("--to", metavar="YYYY-MM-DD", parser=values.read_date, help="Last IST date to take, inclusive."),
]
Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbols", metavar="SYMBOL...", help="Only these: RELIANCE,TCS or NSE_EQ:RELIANCE. [default: all]"),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy", metavar="NAME", help="A built-in strategy, or the path of your own .py file. [default: momentum]"
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE...", help="A parameter of the rules, as rsi_entry=55; one or several."),
]
Capital = Annotated[
    int | None,
    typer.Option(
        "--capital", metavar="RUPEES", parser=values.read_capital, help="Start with this much. [default: 20000]"
    ),
]
LatencyMs = Annotated[
    int | None,
    typer.Option(
        "--latency-ms",
        metavar="MS",
        min=0,
        max=3_600_000,
        help="From order to earliest fill; as --set latency_ms=MS. [default: 200]",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="Write summary, orders, equity curve and pictures there."),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Count implausible rows and go on instead of refusing the file.")
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", min=1, metavar="TICKS", help="Ticks a batch; the answer must not depend on it.")
]

# The market.

UpSource = Annotated[
    Source,
    typer.Option("--source", help="demo: a simulated exchange; replay: it serves your files; upstox: the real market."),
]
ExchangeSource = Annotated[Literal["demo", "replay"], typer.Option("--source", help="A seeded market, or your files.")]
Subscribe = Annotated[
    Subscription | None,
    typer.Option("--subscribe", help="The scanner's picks, or every symbol. [default: scanner]"),
]
UpSpeed = Annotated[
    float | None,
    typer.Option(
        "--speed",
        metavar="N|max",
        parser=values.read_speed,
        help="Times the market's own speed. [default: 60; upstox 1]",
    ),
]
ExchangeSpeed = Annotated[
    float,
    typer.Option("--speed", metavar="N|max", parser=values.read_speed, help="max: the client drives the clock."),
]
Day = Annotated[
    date | None,
    typer.Option("--date", metavar="YYYY-MM-DD", parser=values.read_date, help="The market's day (IST)."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of the demo market: another one, another day.")]
Cut = Annotated[
    int, typer.Option("--cut", metavar="N", min=0, help="Cut the feed N times, 1 to 120 simulated seconds each.")
]

# The exchange as a server.

Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")]
Port = Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65_535, help="0 takes any free one.")]
ServerToken = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="QUANT_EXCHANGE_TOKEN",
        show_envvar=False,
        help="What clients must show; QUANT_EXCHANGE_TOKEN keeps it off the process list. [default: a new one]",
    ),
]
Start = Annotated[
    time | None,
    typer.Option("--start", metavar="HH:MM", parser=values.read_time, help="Begin here (IST). [default: the pre-open]"),
]
Seek = Annotated[
    int | None,
    typer.Option(
        "--seek",
        metavar="MOMENT",
        parser=values.read_moment,
        help="Begin at this IST moment of any day (2026-07-31T10:30, or ns UTC); what lies before is not sent.",
    ),
]
RunAtOnce = Annotated[bool, typer.Option("--run-at-once", help="Let the clock run before the first feed connects.")]
RateLimit = Annotated[bool, typer.Option("--rate-limit", help="Answer 429 beyond the broker's published limits.")]
ExitWithParent = Annotated[bool, typer.Option("--exit-with-parent", help="Stop when standard input ends.")]

# The platform and what it keeps.

Mode = Annotated[
    UpMode, typer.Option("--mode", help="One process, or one a service over Kafka and Postgres (`quant servers up`).")
]
LedgerMode = Annotated[
    UpMode, typer.Option("--mode", help="embedded: the ledger of the home; distributed: that of Postgres.")
]
FeatureEngines = Annotated[
    int, typer.Option("--feature-engines", metavar="N", min=1, help="How many share the work of --mode distributed.")
]
UntilClose = Annotated[bool, typer.Option("--until-close", help="Leave after the day's summary.")]
TickQuery = Annotated[
    str | None,
    typer.Argument(metavar="SELECT", help="One SELECT over the view ticks. [default: an overview]", show_default=False),
]
Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Where ledger and ticks are kept. [default: user_data]"),
]
Portfolio = Annotated[str, typer.Option("--portfolio", metavar="NAME", help="Which portfolio of the ledger.")]
OnePortfolio = Annotated[
    str | None, typer.Option("--portfolio", metavar="NAME", help="Only of this portfolio. [default: all]")
]
PortfolioName = Annotated[str, typer.Argument(metavar="NAME", help="The portfolio.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start the portfolio anew.")]
Picture = Annotated[Path | None, typer.Option("--picture", metavar="FILE", hidden=True)]
LastRows = Annotated[int, typer.Option("--last", metavar="N", min=1, help="How many, the newest.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

# The servers.

ServerNames = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Which of them. [default: all]", show_default=False)
]
Ports = Annotated[
    PortChoice | None,
    typer.Option(
        "--ports",
        help="usual: 9092, 5432, … where they are free; free: any. Kept from then on. [default: as before, else usual]",
    ),
]
Purge = Annotated[bool, typer.Option("--purge", help="Delete data, ports and passwords too.")]

# The installation.

Checkout = Annotated[
    Path, typer.Option("--folder", metavar="DIR", help="Root of the checkout. [default: here]", show_default=False)
]
Demo = Annotated[bool, typer.Option("--demo", help="A simulated exchange instead of Upstox.")]

# Everywhere.

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object last on standard output.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file. [default: $QUANT_CONFIG, else ./quant.toml]"),
]
ScanUrl = Annotated[str | None, typer.Option("--url", metavar="URL", help="Of a running exchange. [default: Upstox]")]
ScanToken = Annotated[
    str | None,
    typer.Option("--token", metavar="TOKEN", help="For that exchange. [default: the settings' token]"),
]
