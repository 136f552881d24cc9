"""``quant api-key``: make, list and revoke keys in the ledger that the API gateway reads."""

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from quant_platform.domain.errors import UsageError
from quant_platform.domain.session import IST
from quant_platform.hosts.api_keys import new_key
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.distributed.ledger_connections import gateway_ledger
from quant_platform.hosts.doorkeeper import utc_now
from quant_platform.hosts.look import print_json
from quant_platform.ports.api_keys import ApiKey


def make(name: str, scopes: Sequence[str], days: int | None, as_json: bool, config: Path | None) -> None:
    """Make a key and print it, this once.

    Raises:
        UsageError: the name or a scope is not possible.
        UnavailableError: the ledger cannot be reached.
    """
    now = utc_now()
    made = new_key(name, scopes, now, None if days is None else now + timedelta(days=days))
    with gateway_ledger(load_settings(config)) as ledger:
        ledger.add_key(made.key)
    if as_json:
        print_json({"key": made.token, **_shown(made.key, now)})
        return
    print(made.token, flush=True)  # alone on standard output: KEY=$(quant api-key new …) takes it
    told = f"key {made.key.key_id} for {', '.join(made.key.scopes)}: keep it now, it is not shown again"
    print(told, file=sys.stderr, flush=True)


def show(as_json: bool, config: Path | None) -> None:
    """Print every key, without what proves it.

    Raises:
        UnavailableError: the ledger cannot be reached.
    """
    now = utc_now()
    with gateway_ledger(load_settings(config)) as ledger:
        keys = [_shown(key, now) for key in ledger.list_keys()]
    if as_json:
        print_json({"keys": keys})
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("id", "name", "scopes", "made (IST)", "state"):
        table.add_column(column, overflow="fold")
    for key in keys:
        table.add_row(key["id"], key["name"], key["scopes"], key["created_at"], key["state"])
    Console(highlight=False, markup=False).print(table if keys else "no keys yet: `quant api-key new NAME` makes one")


def revoke(key_id: str, config: Path | None) -> None:
    """Have a key refused from now on.

    Raises:
        UsageError: there is no such key, or it was revoked before.
        UnavailableError: the ledger cannot be reached.
    """
    with gateway_ledger(load_settings(config)) as ledger:
        if not ledger.revoke_key(key_id, utc_now()):
            raise UsageError(f"no key {key_id!r} is in force", "`quant api-key list` shows their ids")
    print(f"key {key_id} is refused from now on", flush=True)


def _shown(key: ApiKey, now: datetime) -> dict[str, str]:
    state = "in force"
    if key.revoked_at is not None:
        state = f"revoked {_moment(key.revoked_at)}"
    elif key.expires_at is not None:
        state = f"{'expired' if key.expires_at <= now else 'until'} {_moment(key.expires_at)}"
    scopes = ", ".join(key.scopes)
    return {"id": key.key_id, "name": key.name, "scopes": scopes, "created_at": _moment(key.created_at), "state": state}


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%Y-%m-%d %H:%M}"
