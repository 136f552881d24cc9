"""``quant service``: one service of the distributed platform."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from typing import Annotated

import typer

from quant_platform.commands import flags, values
from quant_platform.hosts.options import ServiceOptions

EXAMPLES = """\b
Examples:
  quant service upstox_ingestor
  quant service feature_engine --instance 2
  quant service strategy_runtime --portfolio second --set max_positions=5

\b
Services: upstox_ingestor, feature_engine, market_persistor, market_scanner, strategy_runtime, api_gateway,
data_backfiller, system_doctor.
Servers stand in the settings (KAFKA_BOOTSTRAP_SERVERS, POSTGRES_HOST, …); `quant servers up` starts some here.
QUANT_SERVICE__PORT is the port of /healthz, /readyz and /metrics.
"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Which service.")]
Instance = Annotated[
    str, typer.Option("--instance", metavar="NAME", help="Which of several of its kind; another's never.")
]


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(cls=values.SpreadingCommand, epilog=EXAMPLES)(service)


def service(
    name: Name,
    instance: Instance = "1",
    portfolio: flags.Portfolio = "default",
    strategy: flags.Strategy = None,
    parameters: flags.Parameters = None,
    capital: flags.Capital = None,
    mode: Annotated[str, typer.Option("--mode", hidden=True)] = "paper",
    identity: Annotated[str, typer.Option("--identity", hidden=True)] = "",
    until_over: Annotated[bool, typer.Option("--until-over", hidden=True)] = False,
    whole_universe: Annotated[bool, typer.Option("--whole-universe", hidden=True)] = False,
    exit_with_parent: Annotated[bool, typer.Option("--exit-with-parent", hidden=True)] = False,
    config: flags.ConfigFile = None,
) -> None:
    """Run one service over Kafka, as compose does; SIGTERM ends it with nothing lost."""
    from quant_platform.hosts.distributed import service as host

    code = host.run(
        ServiceOptions(
            name=name,
            instance=instance,
            portfolio=portfolio.strip(),
            strategy=strategy,
            parameters=values.read_parameters(parameters or (), None),
            capital=capital,
            mode=mode,
            identity=identity,
            until_over=until_over,
            whole_universe=whole_universe,
            exit_with_parent=exit_with_parent,
            config=config,
        )
    )
    if code:
        raise typer.Exit(code)
