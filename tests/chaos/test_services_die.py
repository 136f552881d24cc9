"""Services killed, servers killed or hung at seeded moments of a run: the ledger is that of an undisturbed one."""

import contextlib
import json
import random
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.platform_rig import backtest, by_the_rules, depth_file, replay_of, started
from tests.servers import Database, KafkaServer, QuestdbServer, RealServer, RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("bus")]

VICTIMS = ("feature_engine 1", "feature_engine 2", "market_persistor 1", "strategy_runtime 1")
KILLS_A_SERVER = 6
"""Every so often a server is struck instead of a service: killed and started, or hung."""
HUNG_FOR_S = 15.0
"""At most: longer than a member's session, a transaction, and the patience of most clients."""
TICKS_A_KILL = 60_000
"""So that there is still something to do after the last one, however fast the machine is."""
RECOVERED_WITHIN_S = 180
OVER_WITHIN_S = 1800
"""A machine of 5,000 ticks a second needs ten minutes for what is left after the last one."""
LOOKED_AT_EVERY_S = 0.2


class Platform:
    """``quant up --mode distributed`` on its way, and the services that it started.

    Looked at sparingly: what a look costs, the services that begin anew beside it do not get.

    Args:
        process: of ``quant up``.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._found: dict[str, psutil.Process] = {}
        self._ports: dict[psutil.Process, int] = {}

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def service(self, victim: str) -> psutil.Process | None:
        """The process of "name instance" now."""
        found = self._found.get(victim)
        if found is None or not found.is_running() or found.status() == psutil.STATUS_ZOMBIE:
            found = self._search(*victim.split())
            if found is None:
                return None
            self._found[victim] = found
        return found

    def works(self, victim: str) -> bool:
        """Whether a service has processed records since its start."""
        process = self.service(victim)
        return process is not None and self._committed(process) > 0

    def _search(self, name: str, instance: str) -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    words = child.cmdline()
                    if name in words and words[words.index("--instance") + 1] == instance:
                        return child
        return None

    def _committed(self, process: psutil.Process) -> float:
        """Turns that had records and were committed, as the service tells it; 0 while it does not answer."""
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            if process not in self._ports:
                listening = [each for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
                if not listening:
                    return 0
                self._ports[process] = listening[0].laddr.port
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[process]}/metrics", timeout=2) as answer:
                text = answer.read().decode()
            families = text_string_to_metric_families(text)
            numbers = {sample.name: sample.value for family in families for sample in family.samples}
            return min(numbers.get("quant_bus_records_read_total", 0), numbers.get("quant_process_commits_total", 0))
        return 0


class Executioner:
    """Kills, restarts and hangs by chance, and times how long it takes until the work goes on.

    Args:
        platform: of the run.
        servers: name → server that may be struck.
        seed: of the chance.
    """

    def __init__(self, platform: Platform, servers: Mapping[str, RealServer], seed: int) -> None:
        self._platform = platform
        self._servers = servers
        self._chance = random.Random(seed)
        self._down: dict[str, float] = {}  # victim → moment of its kill
        self.done: list[str] = []
        self.recoveries: dict[str, list[float]] = {victim: [] for victim in VICTIMS}

    def strike(self, times: int) -> None:
        """Strike so many times; a service is killed again only after it has worked again."""
        for number in range(times):
            if number % KILLS_A_SERVER == KILLS_A_SERVER - 1:
                self.wait()
                self._strike_server(self._chance.choice(sorted(self._servers)))
                continue
            self._patiently(lambda: len(self._down) < len(VICTIMS))
            victim = self._chance.choice([each for each in VICTIMS if each not in self._down])
            process = self._platform.service(victim)
            assert process is not None, f"the run was over after {number} kills"
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            self._down[victim] = time.monotonic()
            self.done.append(victim)
            self._rest(self._chance.random() * 2)
        self.wait()

    def _strike_server(self, name: str) -> None:
        server = self._servers[name]
        if self._chance.random() < 0.5:
            server.kill()
            time.sleep(self._chance.random() * 2)
            server.start()
            self.done.append(f"{name} killed")
        else:
            server.pause()
            time.sleep(self._chance.random() * HUNG_FOR_S)
            server.resume()
            self.done.append(f"{name} hung")

    def _rest(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        self._patiently(lambda: time.monotonic() > due)

    def wait(self) -> None:
        """Until every service works again."""
        self._patiently(lambda: not self._down)

    def _patiently(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + RECOVERED_WITHIN_S
        while True:
            for victim, since in list(self._down.items()):
                if self._platform.works(victim):
                    self.recoveries[victim].append(time.monotonic() - since)
                    del self._down[victim]
            if happened():
                return
            assert self._platform.runs, f"the run was over after {len(self.done)} kills; {self._down} were down"
            assert time.monotonic() < deadline, f"{self._down} did not come back"
            time.sleep(LOOKED_AT_EVERY_S)


def require_stored_once(questdb: QuestdbServer, ticks: int) -> None:
    """Every enriched tick is in QuestDB, none twice."""
    deadline = time.monotonic() + RECOVERED_WITHIN_S
    while questdb.ask("SELECT count() FROM ticks") != [[ticks]]:  # a flush is visible a moment later
        assert time.monotonic() < deadline, (questdb.ask("SELECT count() FROM ticks"), ticks)
        time.sleep(0.5)
    keys = "SELECT count() FROM (SELECT DISTINCT timestamp, symbol, seq FROM ticks)"
    assert questdb.ask(keys) == [[ticks]]


@pytest.mark.timeout(2 * OVER_WITHIN_S)
def test_a_run_whose_services_and_servers_die_ends_like_one_in_which_nothing_died(
    tmp_path: Path,
    kafka: KafkaServer,
    database: Database,
    empty_questdb: QuestdbServer,
    empty_redis: RedisServer,
    kills: int,
) -> None:
    data = depth_file(tmp_path / "depth.parquet", rows_a_session=kills * TICKS_A_KILL // 2)
    undisturbed = by_the_rules(backtest(data))
    environment = kafka.environment | database.environment | empty_questdb.environment | empty_redis.environment
    servers = {"kafka": kafka, "postgres": database.server, "questdb": empty_questdb, "redis": empty_redis}
    command = ("--mode", "distributed", "--feature-engines", "2", *replay_of(data, tmp_path / "home"))
    with started(*command, cwd=tmp_path, environment=environment) as process:
        platform = Platform(process)
        executioner = Executioner(platform, servers, seed=kills)
        deadline = time.monotonic() + RECOVERED_WITHIN_S
        while not all(platform.works(victim) for victim in VICTIMS):
            assert time.monotonic() < deadline, (tmp_path / "stderr.txt").read_text()
            time.sleep(0.2)
        executioner.strike(kills)
        out, _ = process.communicate(timeout=OVER_WITHIN_S)
        assert process.returncode == 0, (tmp_path / "stderr.txt").read_text()
    numbers = json.loads(out.splitlines()[-1])
    assert (numbers["feed"]["reconnects"], numbers["feed"]["gaps"]) == (0, 0), "nobody put an end to the feed"
    assert by_the_rules(numbers) == undisturbed
    assert len(executioner.done) == kills
    assert numbers["restarts"] == sum(victim in VICTIMS for victim in executioner.done)
    print(", ".join(executioner.done))
    everything = [each for recoveries in executioner.recoveries.values() for each in recoveries]
    for title, seconds in {"all": everything, **executioner.recoveries}.items():
        p50, p99 = np.percentile(seconds or [np.nan], (50, 99))
        print(f"{title}: {len(seconds)} recoveries from kill to first record, p50 {p50:.1f} s, p99 {p99:.1f} s")
    require_stored_once(empty_questdb, numbers["ticks"] - numbers["duplicates"])
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
