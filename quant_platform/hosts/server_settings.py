"""Settings of the servers that a distributed platform stands on, and of what each service may hold back."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def _read_addresses(value: object) -> object:
    """``name=url`` words, with commas or spaces between, as a mapping: how a variable writes one."""
    if not isinstance(value, str):
        return value
    words = [word.partition("=") for word in value.replace(",", " ").split()]
    return {name: address for name, _, address in words}


def _require_addresses(services: dict[str, str]) -> dict[str, str]:
    for name, address in services.items():
        if not re.fullmatch(r"[a-z0-9_]+", name) or not _is_address(address):
            raise ValueError("write name=http://host:port for each service, with commas between")
    return services


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host, _ = (parts.hostname or "").encode("idna"), parts.port  # what a client would look at first, and stumble on
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and re.fullmatch(r"[!-~]+", text) is not None


Addresses = Annotated[dict[str, str], BeforeValidator(_read_addresses), AfterValidator(_require_addresses)]
"""Name of a service → address below which it answers ``/readyz``."""


class Frozen(BaseModel):
    """A section of the settings: nothing unknown, nothing changed, nothing secret in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)


_BROKER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/,\[\]]+):(\d{1,5})")


def _judge_brokers(value: str) -> str:
    """Kafka's client takes any text, and would look for a broker there for ever."""
    for word in value.split(","):
        match = _BROKER.fullmatch(word.strip())
        if match is None or int(match[2]) not in range(1, 65_536):
            raise ValueError("write host:port, several with commas between")
    return value


Brokers = Annotated[str, AfterValidator(_judge_brokers)]


class KafkaSettings(Frozen):
    """The message bus."""

    bootstrap_servers: Brokers = "127.0.0.1:9092"
    partitions: Annotated[int, Field(ge=1, le=256)] = 12  # of a topic that is made
    session_timeout_ms: Annotated[int, Field(ge=1000, le=300_000)] = 6000  # a dead instance's partitions are free then
    transaction_timeout_ms: Annotated[int, Field(ge=1000, le=900_000)] = 10_000


class PostgresSettings(Frozen):
    """The distributed ledger."""

    host: str = "127.0.0.1"
    port: Port = 5432
    user: str = "admin"
    password: SecretStr | None = None
    database: str = "quant_platform"


class QuestdbSettings(Frozen):
    """Stored ticks: rows go in over HTTP, questions over the PostgreSQL wire."""

    http_url: SecretStr = SecretStr("http://127.0.0.1:9000")  # may hold user:password@
    pg_host: str = "127.0.0.1"
    pg_port: Port = 8812
    pg_user: str = "admin"
    pg_password: SecretStr | None = None
    flush_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    flush_s: Seconds = 1.0
    keep_days: Annotated[int, Field(ge=0, le=36_500)] = 0  # older rows go; 0 keeps all


class RedisSettings(Frozen):
    """Look-ups and session state; everything in it can be lost."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")


class ObjectSettings(Frozen):
    """History and backups: a bucket where an endpoint is named, else the folder ``objects`` of the home."""

    endpoint_url: str | None = None
    bucket: str = "quant-platform"
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None


class RuntimeSettings(Frozen):
    """What the strategy runtime of a live market holds back."""

    max_data_age_s: Seconds = 3.0  # nothing is decided on an older tick
    commit_every_s: Seconds = 0.25  # how long market data without an order may wait for its commit


class BackfillSettings(Frozen):
    """What history is downloaded where nobody says otherwise."""

    symbols: str = ""  # RELIANCE,TCS; empty for the NIFTY 100
    days: Annotated[int, Field(ge=1, le=36_500)] = 30  # dates up to yesterday


class ServiceSettings(Frozen):
    """Where a service answers ``/healthz``, ``/readyz`` and ``/metrics``, and what it does where it must not go on."""

    host: str = "127.0.0.1"
    port: Port = 0  # 0 takes any free one
    stay_when_refused: bool = False  # for safety: not ready any more, instead of an end after which it is started again


class ApiSettings(Frozen):
    """Where the API gateway listens, and which services it asks how they are."""

    host: str = "127.0.0.1"
    port: Port = 8080
    first_key: SecretStr | None = None  # a sealed key, taken in at the start: `quant init` has no ledger to put it into
    services: Addresses = Field(default_factory=dict)


class DoctorSettings(Frozen):
    """How often the system doctor looks."""

    sample_s: Seconds = 5.0  # from one look at the services' metrics to the next
    check_s: Seconds = 60.0  # from one verdict on servers and services to the next


SERVER_VARIABLES = {
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers"),
    "POSTGRES_HOST": ("postgres", "host"),
    "POSTGRES_PORT": ("postgres", "port"),
    "POSTGRES_USER": ("postgres", "user"),
    "POSTGRES_PASSWORD": ("postgres", "password"),
    "POSTGRES_DB": ("postgres", "database"),
    "REDIS_URL": ("redis", "url"),
    "QUESTDB_HTTP_URL": ("questdb", "http_url"),
    "QUESTDB_PG_HOST": ("questdb", "pg_host"),
    "QUESTDB_PG_PORT": ("questdb", "pg_port"),
    "QUESTDB_PG_USER": ("questdb", "pg_user"),
    "QUESTDB_PG_PASSWORD": ("questdb", "pg_password"),
    "S3_ENDPOINT_URL": ("objects", "endpoint_url"),
    "S3_BUCKET": ("objects", "bucket"),
    "AWS_ACCESS_KEY_ID": ("objects", "access_key_id"),
    "AWS_SECRET_ACCESS_KEY": ("objects", "secret_access_key"),
}
"""Environment variables by which these servers usually go, and the settings they are."""
