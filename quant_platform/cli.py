"""The ``quant`` command: one line for every error, and an exit code that means something.

Nothing heavy is imported before a command needs it, so that ``quant --help`` answers at once.
"""
# ruff: noqa: PLC0415

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, Exit, TyperException

from quant_platform.commands import api_key, backup, download, halt, init, login, look, run, servers, service, sweep
from quant_platform.domain.errors import QuantError

EXAMPLES = """\b
Start here:
  quant up                                     a simulated trading day, live in the terminal
  quant backtest --data candles.parquet        the same rules over your own files
  quant doctor                                 is everything in order?

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused for safety.
Every command has its own --help. QUANT_DEBUG=1 shows the traceback of an error.
"""

app = typer.Typer(
    name="quant",
    help="Automated intraday trading of NSE equities: paper, replay and backtest by one engine.",
    epilog=EXAMPLES,
    invoke_without_command=True,
    rich_markup_mode=None,  # rich help costs 0.6 s of imports
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"quant-platform {version('quant-platform')}")
        raise typer.Exit


@app.callback()
def _start(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


run.register(app)
sweep.register(app)
look.register(app)
halt.register(app)
backup.register(app)
download.register(app)
init.register(app)
login.register(app)
servers.register(app)
service.register(app)
api_key.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``quant`` and leave the process with its exit code.

    Whatever has to be closed is closed when the command returns. Python's own way out would then spend one to three
    seconds on taking down LLVM and Arrow, while somebody waits for a stopped platform.
    """
    code = run_command(arguments)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run ``quant`` with these arguments (the process's own by default) and answer its exit code."""
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="quant", standalone_mode=False)
    except Exit as leave:  # also of Ctrl-C: Typer makes it 130, as shells expect
        return leave.exit_code
    except BrokenPipeError:
        # The reader (head, less) has gone: let the interpreter's own flush at exit go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        message, code = _explained(error)
        return _failed(message, code)
    return result if isinstance(result, int) else 0


def _explained(error: Exception) -> tuple[str, int]:
    match error:
        case QuantError():
            return str(error), error.exit_code
        case TyperException():
            context = getattr(error, "ctx", None)
            path = context.command_path if context is not None else "quant"
            message = error.format_message().replace("Value error, ", "").rstrip(".")
            return f"{message} — see {path} --help", error.exit_code
        case Abort():
            return "stopped, nothing was changed", 1
        case _:
            cure = "run it again with QUANT_DEBUG=1 for the traceback, and report it"
            return f"internal error, {type(error).__name__}: {error} — {cure}", 1


def _failed(message: str, code: int) -> int:
    if os.environ.get("QUANT_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    one_line = " ".join(message.split())
    print(f"quant: {one_line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
