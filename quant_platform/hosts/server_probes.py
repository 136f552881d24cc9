"""Ask every configured server and service how it is, all at once; what cannot be asked is reported, never raised."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from quant_platform.adapters.bus.kafka_probe import probe_kafka
from quant_platform.adapters.cache.redis_probe import probe_redis
from quant_platform.adapters.ledger.probe import probe_ledger
from quant_platform.adapters.objects.s3_probe import probe_bucket
from quant_platform.adapters.ticks.questdb_probe import probe_questdb
from quant_platform.domain.errors import QuantError
from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed.ledger_connections import postgres_url
from quant_platform.hosts.object_store import bucket_of
from quant_platform.services.system_doctor.servers import Refusal, ServerProbes, ServiceFound

WITHIN_S = 4.0
"""How long each question may take."""

SERVERS = ("kafka", "postgres", "questdb", "redis", "objects")
"""Sections of the settings that name a server."""


class _Clocked(Protocol):
    """A server's answer with its time."""

    @property
    def clock_ns(self) -> int:
        """Ns UTC."""
        ...


T = TypeVar("T")
C = TypeVar("C", bound=_Clocked)


class _Ready(msgspec.Struct):
    """What ``/readyz`` says."""

    ready: bool
    reason: str = ""


def has_servers(settings: Settings) -> bool:
    """Whether anybody named a server or a service: without, the platform is the embedded one."""
    return bool(settings.api.services) or any(is_configured(settings, section) for section in SERVERS)


def probe_servers(settings: Settings, *, audit: bool) -> ServerProbes:
    """Ask whatever the settings name; a server of which nothing is set is passed over.

    Args:
        settings: of the installation.
        audit: read every audit chain of the ledger, too.
    """
    drifts: dict[str, float] = {}
    services, bucket = settings.api.services, bucket_of(settings)
    with (
        httpx.Client(timeout=WITHIN_S, trust_env=False) as client,  # one for all: each reads the machine's certificates
        ThreadPoolExecutor(len(SERVERS) + len(services)) as pool,
    ):

        def asked(section: str, probe: Callable[[], T]) -> Callable[[], T | Refusal | None]:
            if not is_configured(settings, section):
                return lambda: None
            return pool.submit(_reported, probe).result

        def timed(section: str, probe: Callable[[], C]) -> Callable[[], C | Refusal | None]:
            def with_clock() -> C:
                before_ns = time.time_ns()
                found = probe()
                drifts[section] = _drift_s(before_ns, found.clock_ns, time.time_ns())
                return found

            return asked(section, with_clock)

        kafka = asked("kafka", lambda: probe_kafka(settings.kafka.bootstrap_servers, WITHIN_S))
        postgres = timed("postgres", lambda: probe_ledger(postgres_url(settings), WITHIN_S, audit=audit))
        questdb = timed("questdb", lambda: probe_questdb(settings.questdb.http_url.get_secret_value(), WITHIN_S))
        redis = timed("redis", lambda: probe_redis(settings.redis.url.get_secret_value(), WITHIN_S))
        s3 = asked("objects", lambda: None if bucket is None else probe_bucket(bucket, WITHIN_S))
        told = pool.map(lambda url: _reported(lambda: _service(client, url)), services.values())
        return ServerProbes(
            kafka=kafka(),
            partitions=settings.kafka.partitions,
            postgres=postgres(),
            questdb=questdb(),
            redis=redis(),
            s3=s3(),
            services=dict(zip(services, told, strict=True)),
            drifts=drifts,
        )


def is_configured(settings: Settings, section: str) -> bool:
    """Whether anything of a section of the settings was set, a bucket's address where it is about objects."""
    if section == "objects" and settings.objects.endpoint_url is None:
        return False
    return any(settings.source_of(section, key) != "default" for key, _ in getattr(settings, section))


def _reported(probe: Callable[[], T]) -> T | Refusal:
    try:
        return probe()
    except QuantError as error:
        return Refusal(error.what, error.cure)
    except Exception as error:  # of a driver, whose text may quote an address with its password
        return Refusal(f"the look at it failed: {type(error).__name__}", "see whether it is the server it should be")


def _drift_s(before_ns: int, theirs_ns: int, after_ns: int) -> float:
    """Our clock less theirs, which was read at some moment between two of ours; 0 where it fits between them."""
    nearest_ns = min(max(theirs_ns, before_ns), after_ns)
    return (nearest_ns - theirs_ns) / NS_PER_SECOND


def _service(client: httpx.Client, url: str) -> ServiceFound:
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        reply = client.get(f"{url.rstrip('/')}/readyz")
        state = msgspec.json.decode(reply.content, type=_Ready)
    except httpx.HTTPError as error:
        raise QuantError(
            f"{host} does not answer ({type(error).__name__})", "start it, or correct api.services"
        ) from None
    except msgspec.DecodeError:
        raise QuantError(f"what answers at {host} is no service of ours", "correct api.services") from None
    return ServiceFound(state.ready, state.reason)
