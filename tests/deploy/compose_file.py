"""infra/docker-compose.yml as the tests look at it: the text, its services, and the health check of each."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY / "infra" / "docker-compose.yml"
TEXT = FILE.read_text("utf-8")
DOCUMENT: Mapping[str, Any] = yaml.safe_load(TEXT)
SERVICES: Mapping[str, Mapping[str, Any]] = DOCUMENT["services"]

SERVERS = {
    "kafka": "kafka_bus",
    "postgres": "postgres_metadata",
    "questdb": "questdb_tsdb",
    "redis": "redis_state",
    "minio": "minio_s3",
}
"""Service → container, by which the specification knows it."""

OURS = (
    "upstox_ingestor",
    "feature_engine",
    "market_persistor",
    "market_scanner",
    "strategy_runtime",
    "api_gateway",
    "data_backfiller",
    "system_doctor",
)
"""The services that are `quant service NAME`."""


def environment(service: str) -> Mapping[str, str]:
    """The variables of one service, not interpolated."""
    found: Mapping[str, str] = SERVICES[service].get("environment", {})
    return found


def variables() -> set[str]:
    """Names that the file takes from .env."""
    return set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", TEXT))


def health_command(service: str) -> Sequence[str]:
    """The arguments that an engine would run inside the container; a doubled dollar sign is Compose's for one."""
    kind, *arguments = [word.replace("$$", "$") for word in SERVICES[service]["healthcheck"]["test"]]
    return arguments if kind == "CMD" else ["/bin/sh", "-c", *arguments]
