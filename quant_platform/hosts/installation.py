"""``quant init``: the ``.env`` files of an installation, with secrets that are made here and known to nobody else."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from quant_platform.domain.errors import UsageError
from quant_platform.hosts.api_keys import new_key, seal
from quant_platform.hosts.env_files import read_text, read_variables, replace_text
from quant_platform.hosts.installation_options import InitOptions
from quant_platform.hosts.look import print_json

COMPOSE_FILE = "compose.yaml"
SERVERS_FILE = ".env"
BROKER_FILE = "services/ingestion/.env"
SECRET_BYTES = 24
FIRST_KEY = "API_FIRST_KEY"

SECRETS: Mapping[str, str] = {
    "POSTGRES_ADMIN_PASSWORD": "PostgreSQL, user admin",
    "GRAFANA_DB_PASSWORD": "PostgreSQL, user grafana_reader",
    "QUESTDB_ADMIN_PASSWORD": "QuestDB, user admin",
    "QUESTDB_READER_PASSWORD": "QuestDB, user reader",
    "REDIS_PASSWORD": "Redis",
    "MINIO_ROOT_PASSWORD": "MinIO, user quant",
    "GRAFANA_ADMIN_PASSWORD": "Grafana on http://localhost:3000, user admin",
    "EXCHANGE_TOKEN": "The simulated exchange of a demo",
}
"""What is generated, and what it opens."""

_SERVERS_HEADING = """\
# Made by `quant init` for infra/docker-compose.yml. Keep it: the volumes were made with these passwords.
"""
_BROKER_HEADING = """\
# Your Upstox application and the day's access token, which ends at 03:30 IST: https://account.upstox.com/developer/apps
# After a change: docker compose up -d
"""


class _Line(NamedTuple):
    """One variable of a file, and what stands above it."""

    name: str
    value: str
    comment: str = ""


class Written(NamedTuple):
    """What happened to one file."""

    file: str  # from the root of the checkout
    made: bool  # whether it was not there
    added: tuple[str, ...]  # names of the variables that it did not have


def run(options: InitOptions) -> None:
    """Write what is missing, change nothing that is there, and say both.

    Raises:
        UsageError: the folder is no checkout, or a demo is asked for where the real market is set.
        UnavailableError: a file cannot be read or written.
    """
    folder = options.folder
    if not (folder / COMPOSE_FILE).is_file():
        raise UsageError(
            f"there is no {COMPOSE_FILE} in {folder}", "run `quant init` in a checkout, or name one: --folder DIR"
        )
    servers = read_variables(folder / SERVERS_FILE)
    broker = read_variables(folder / BROKER_FILE)
    if options.demo and servers.get("QUANT_DEMO") == "":
        raise UsageError(
            f"{SERVERS_FILE} names the real market, and nothing in it is overwritten",
            "set COMPOSE_PROFILES=demo and QUANT_DEMO=1 in it, then `docker compose up -d --remove-orphans`",
        )
    token, lines = _server_lines(servers, demo=options.demo)
    done = [
        _add(folder, BROKER_FILE, _BROKER_HEADING, _broker_lines(broker)),
        _add(folder, SERVERS_FILE, _SERVERS_HEADING, lines),
    ]
    _tell(done, token, options)


def _server_lines(there: Mapping[str, str], *, demo: bool) -> tuple[str | None, list[_Line]]:
    """What the servers' file lacks, with the API's key where one was made. An empty secret is as good as none."""
    lines = []
    if "COMPOSE_PROFILES" not in there:
        lines.append(_Line("COMPOSE_PROFILES", "demo" if demo else "", "Both lines, for a simulated exchange: demo, 1"))
    if "QUANT_DEMO" not in there:
        lines.append(_Line("QUANT_DEMO", "1" if demo else ""))
    lines += [
        _Line(name, secrets.token_urlsafe(SECRET_BYTES), opens)
        for name, opens in SECRETS.items()
        if not there.get(name)
    ]
    if there.get(FIRST_KEY):
        return None, lines
    made = new_key("made by quant init", ["admin"], datetime.now(UTC))
    return made.token, [*lines, _Line(FIRST_KEY, seal(made.key), "What proves the API's first key, not the key itself")]


def _broker_lines(there: Mapping[str, str]) -> list[_Line]:
    names = ("UPSTOX_API_KEY", "UPSTOX_API_SECRET", "UPSTOX_ACCESS_TOKEN")
    return [_Line(name, "") for name in names if name not in there]


def _add(folder: Path, file: str, heading: str, lines: Sequence[_Line]) -> Written:
    """Put lines below what a file holds."""
    path = (folder / file).resolve()
    before = read_text(path)
    if lines:
        text = heading if before is None else before if before.endswith("\n") or not before else before + "\n"
        for line in lines:
            text += (f"\n# {line.comment}\n" if line.comment else "") + f"{line.name}={line.value}\n"
        replace_text(path, text)
    return Written(file, before is None, tuple(line.name for line in lines))


def _tell(done: Sequence[Written], token: str | None, options: InitOptions) -> None:
    if options.json:
        print_json({"files": [written._asdict() for written in done], "api_key": token})
        return
    for written in done:
        if written.made:
            print(f"{written.file}: made, for your eyes only (mode 0600)")
        elif written.added:
            print(f"{written.file}: added {', '.join(written.added)}; what was there is unchanged (mode 0600)")
        else:
            print(f"{written.file}: complete, not touched")
    if token is not None:
        print(f"key of the API, shown this once: {token}")
    if not options.demo and any(written.file == BROKER_FILE and written.made for written in done):
        print(f"put your Upstox keys into {BROKER_FILE}; `quant init --demo` needs none")
    print("next: docker compose up -d")
