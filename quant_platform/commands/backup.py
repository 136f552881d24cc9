"""``quant backup, restore``: ledger and ticks to a folder or a bucket, and back."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from pathlib import Path
from typing import Annotated

import typer

from quant_platform.commands import flags
from quant_platform.hosts.options import BackupOptions, RestoreOptions

BACKUP_EXAMPLES = """\b
Examples:
  quant backup --to /mnt/disk                    ledger and newest day of ./user_data
  quant backup --mode distributed                the Postgres of the settings, to the bucket of the settings
"""
RESTORE_EXAMPLES = """\b
Examples:
  quant restore --from /mnt/disk                 which backups there are
  quant restore 2026-07-31T101500-3fa9 --from /mnt/disk --home restored
  quant restore 2026-07-31T101500-3fa9 --mode distributed --replace
"""

To = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Write here. [default: the bucket of the settings, else home/objects]"),
]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", help="Read here. [default: the bucket of the settings, else home/objects]"),
]
Days = Annotated[int, typer.Option("--days", metavar="N", min=0, help="How many of the stored days, the newest.")]
Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The backup. [default: tell which there are]", show_default=False),
]
Replace = Annotated[bool, typer.Option("--replace", help="Give up the portfolios and ticks that are there.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog=BACKUP_EXAMPLES)(backup)
    app.command(epilog=RESTORE_EXAMPLES)(restore)


def backup(
    mode: flags.LedgerMode = "embedded",
    to: To = None,
    days: Days = 1,
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Back up ledger and ticks; the platform may run meanwhile."""
    from quant_platform.hosts import backup as host

    host.run(BackupOptions(mode=mode, home=home, to=to, days=days, json=json, config=config))


def restore(
    name: Name = None,
    mode: flags.LedgerMode = "embedded",
    source: From = None,
    replace: Replace = False,
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Bring a backup back, whole and verified; whoever wrote the ledger before cannot any more."""
    from quant_platform.hosts import restore as host

    host.run(RestoreOptions(name=name, mode=mode, home=home, source=source, replace=replace, json=json, config=config))
