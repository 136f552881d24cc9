"""system_doctor as a service: every service's metrics into QuestDB, and a verdict on all that the platform stands on.

What QuestDB does not take waits here, for an hour's worth; the verdict does not wait for QuestDB.
"""

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import httpx
import structlog
from prometheus_client.parser import text_string_to_metric_families

from quant_platform.domain.errors import QuantError
from quant_platform.hosts import doctor, process
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed.connections import questdb_writer
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import DoctorOptions, ServiceOptions
from quant_platform.ports.series_store import SERVICE_METRICS, MetricRows, SeriesWriter
from quant_platform.services.system_doctor.samples import Answers, Number, metric_rows
from quant_platform.services.system_doctor.verdict import Level, Verdict

ANSWERS_WITHIN_S = 2.0
NAP_S = 0.2
KEPT_S = 3600
"""Samples of so long wait for QuestDB; beyond, the oldest are dropped and counted."""

_log = structlog.get_logger(__name__)
