"""system_doctor as a service: every service's metrics into QuestDB, and a verdict on all that the platform stands on.

Samples that QuestDB does not take wait here; the verdict does not wait for QuestDB.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import structlog
from prometheus_client.parser import text_string_to_metric_families

from quant_platform.domain.errors import ConfigurationError
from quant_platform.hosts import doctor, process
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed.series_connections import series_writer
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import DoctorOptions, ServiceOptions
from quant_platform.hosts.service_states import any_is_secure
from quant_platform.ports.series_store import SERVICE_METRICS, MetricRows, SeriesWriter
from quant_platform.services.system_doctor.samples import Answers, Number, metric_rows
from quant_platform.services.system_doctor.verdict import Level, Verdict

ANSWERS_WITHIN_S = 2.0
NAP_S = 0.2
KEPT_S = 3600
"""Samples of so long wait for QuestDB; of more, the oldest are dropped and counted."""

_log = structlog.get_logger(__name__)


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Sample and judge until SIGTERM.

    Raises:
        ConfigurationError: QuestDB's address or password is wrong, or its table is of another make.
    """
    with process.stopped_by_signals() as stop, ThreadPoolExecutor(1) as checks:
        process.run(DoctorService(settings, DoctorOptions(config=options.config), health, checks), health, stop)


class DoctorService:
    """Looks at everything now and then (:class:`~quant_platform.hosts.process.StreamService`).

    Args:
        settings: which services there are, and how often to look.
        options: what the verdict is on.
        health: of this process; shows the verdict.
        checks: where servers are asked, which may take seconds.
    """

    def __init__(self, settings: Settings, options: DoctorOptions, health: Health, checks: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._options = options
        self._health = health
        self._checks = checks
        self._check: Future[list[Verdict]] | None = None
        self._next_check = self._next_sample = 0.0
        self._levels: dict[str, Level] = {}
        self._waiting: deque[MetricRows] = deque(maxlen=max(int(KEPT_S / settings.doctor.sample_s), 1))
        self._level = health.gauge("quant_doctor_level", "0 ok, 1 note, 2 warning, 3 broken", "part")
        self._broken = health.gauge("quant_doctor_broken_parts", "Parts that keep the platform from working")
        self._checked = health.gauge("quant_doctor_checked_seconds", "When the newest verdict was, since the epoch")
        self._dropped = health.counter("quant_doctor_samples_dropped_total", "Looks that QuestDB was away for too long")

    def open(self) -> None:
        """Make ready to connect: what is sampled waits until QuestDB is there."""
        self._writer: SeriesWriter = series_writer(self._settings)

    def poll(self) -> None:
        """Ask every service, when it is time to; have everything judged, likewise."""
        self._judge_when_due()
        self._answers: Sequence[Answers] = ()
        now = time.monotonic()
        if now < self._next_sample:
            time.sleep(min(self._next_sample - now, NAP_S))
            return
        self._next_sample = now + self._settings.doctor.sample_s
        self._answers = sample_services(self._settings.api.services)

    def process(self) -> None:
        """Make rows of the answers."""
        if self._answers:
            if len(self._waiting) == self._waiting.maxlen:
                self._dropped.inc()
            self._waiting.append(metric_rows(self._answers))

    def store(self) -> None:
        """Hand over what waits."""
        for rows in self._waiting:
            self._writer.append(SERVICE_METRICS, rows)

    def flush(self) -> None:
        """Return when it is stored."""
        self._writer.flush()

    def commit(self) -> None:
        """It waits no longer."""
        self._waiting.clear()

    def close(self) -> None:
        """Let go of QuestDB; what it did not take goes on waiting."""
        self._writer.close()

    def _judge_when_due(self) -> None:
        if self._check is not None and self._check.done():
            self._show(_outcome(self._check))
            self._check = None
        if self._check is None and time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + self._settings.doctor.check_s
            self._check = self._checks.submit(doctor.verdicts_on, self._options, audit=False)

    def _show(self, verdicts: Sequence[Verdict]) -> None:
        levels = {verdict.part: verdict.level for verdict in verdicts}
        for gone in self._levels.keys() - levels.keys():
            self._level.remove(gone)
        for part, level, what, cure in verdicts:
            self._level.labels(part).set(level)
            if level is not self._levels.get(part, Level.OK):
                tell = _log.warning if level >= Level.WARNING else _log.info
                tell("verdict", part=part, level=level.label, found=what, cure=cure)
        self._broken.set(sum(level is Level.BROKEN for level in levels.values()))
        self._checked.set(time.time())
        self._levels = levels


def sample_services(services: Mapping[str, str]) -> list[Answers]:
    """Ask services how they are and for their numbers, all at once.

    Args:
        services: name → address below which each answers.
    """
    if not services:
        return []
    secure = any_is_secure(services.values())
    with (
        httpx.Client(timeout=ANSWERS_WITHIN_S, trust_env=False, verify=secure) as client,
        ThreadPoolExecutor(len(services)) as pool,
    ):
        return list(pool.map(lambda service: _answers(client, *service), services.items()))


def _answers(client: httpx.Client, name: str, url: str) -> Answers:
    asked_ns = time.time_ns()
    alive, ready, metrics = (_get(client, f"{url.rstrip('/')}/{page}") for page in ("healthz", "readyz", "metrics"))
    numbers = None
    if metrics is not None and metrics.is_success:
        try:
            numbers = list(_numbers(metrics.text))
        except ValueError:
            _log.warning("what answers is no service of ours", service=name)
    return Answers(
        name, asked_ns, alive is not None and alive.is_success, ready is not None and ready.is_success, numbers
    )


def _get(client: httpx.Client, url: str) -> httpx.Response | None:
    try:
        return client.get(url)
    except httpx.HTTPError:
        return None


def _numbers(text: str) -> Iterator[Number]:
    """Every sample but the moments at which counters were made."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                yield Number(sample.name, sample.labels, sample.value)


def _outcome(check: Future[list[Verdict]]) -> list[Verdict]:
    try:
        return check.result()
    except ConfigurationError as error:  # the settings are read anew each time, and may have been spoilt meanwhile
        return [Verdict("settings", Level.BROKEN, error.what, error.cure)]
