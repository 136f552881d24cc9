"""A service killed between every two steps of its commit path: what it did, is done once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_platform.hosts.process import STEPS
from tests.e2e.distributed_rig import (
    KILLED,
    Recorded,
    as_numbers,
    go_on,
    pause,
    runtime_of,
)
from tests.e2e.platform_rig import RULE_KEYS, backtest, depth_file, replay_of, wait_until
from tests.e2e.service_rig import eventually
from tests.servers import KafkaServer, PostgresServer, database_on

pytestmark = pytest.mark.slow

FILE = "depth.parquet"
ROWS_A_SESSION = 40_000
"""Many turns of a service, so that it is killed on its way."""
FAULT_EXIT_WITHIN_S = 60
DONE_WITHIN_S = 180


@pytest.fixture(scope="module")
def market(
    kafka: KafkaServer, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """A market that was traded once, undisturbed."""
    folder = tmp_path_factory.mktemp("market")
    data = depth_file(folder / FILE, rows_a_session=ROWS_A_SESSION)
    kafka.start()
    kafka.clear()
    with database_on(postgres) as database:
        recorded = Recorded(kafka, database, folder)
        numbers = recorded.run_up(*replay_of(data, folder / "home"), "--portfolio", "undisturbed").numbers
        tested = backtest(data)
        assert {key: numbers[key] for key in RULE_KEYS} == {key: tested[key] for key in RULE_KEYS}
        yield recorded


def test_a_runtime_killed_after_every_step_trades_as_if_it_was_not(market: Recorded) -> None:
    arguments = runtime_of("killed")
    for fault in ("open:1", *(f"{step}:{turn}" for step in STEPS for turn in (1, 2)), "ledger committed:1"):
        with market.service("strategy_runtime", *arguments, QUANT_FAULT=fault) as one:
            assert one.process.wait(FAULT_EXIT_WITHIN_S) == KILLED, fault
    with market.service("strategy_runtime", *arguments) as one:
        assert one.process.wait(DONE_WITHIN_S) == 0
    assert as_numbers(market.summary("killed")) == as_numbers(market.summary("undisturbed"))
    market.require_balanced()


def test_a_feature_engine_killed_after_every_step_enriches_every_tick_once(market: Recorded) -> None:
    market.forget_features()
    for fault in ("open:1", *(f"{step}:2" for step in STEPS), "enriched sent:2"):
        with market.service("feature_engine", QUANT_FAULT=fault) as one:
            assert one.process.wait(FAULT_EXIT_WITHIN_S) == KILLED, fault
    with (
        market.service("feature_engine"),
        market.service("strategy_runtime", *runtime_of("after")) as runtime,
    ):
        assert runtime.process.wait(DONE_WITHIN_S) == 0
    assert as_numbers(market.summary("after")) == as_numbers(market.summary("undisturbed"))
    market.require_balanced()


def test_a_runtime_that_was_thought_dead_cannot_write_any_more(market: Recorded) -> None:
    arguments = runtime_of("fenced")
    with market.service("strategy_runtime", *arguments) as first:
        assert wait_until(lambda: market.executed("fenced") > 0, first.process)
        pause(first.process)
        with market.service("strategy_runtime", *arguments) as second:
            assert second.process.wait(DONE_WITHIN_S) == 0
        settled = as_numbers(market.summary("fenced"))
        go_on(first.process)
        assert first.process.wait(DONE_WITHIN_S) == 3
    assert "another program has taken over portfolio 'fenced'" in market.log_of("strategy_runtime")
    assert as_numbers(market.summary("fenced")) == settled == as_numbers(market.summary("undisturbed"))
    market.require_balanced()


def test_a_runtime_that_stays_when_it_is_refused_leaves_the_portfolio_to_the_other_and_says_so(
    market: Recorded,
) -> None:
    arguments = runtime_of("left")
    with market.service("strategy_runtime", *arguments, QUANT_SERVICE__STAY_WHEN_REFUSED="true") as first:
        assert wait_until(lambda: market.executed("left") > 0, first.process)
        pause(first.process)
        with market.service("strategy_runtime", *arguments) as second:
            assert second.process.wait(DONE_WITHIN_S) == 0
        go_on(first.process)
        taken_over = "another program has taken over portfolio 'left'"
        eventually(lambda: taken_over in first.state["reason"], lambda: str(first.state))
        assert not first.state["ready"]
        first.process.terminate()
        assert first.process.wait(DONE_WITHIN_S) == 3
    assert as_numbers(market.summary("left")) == as_numbers(market.summary("undisturbed"))


def test_two_portfolios_with_settings_of_their_own_trade_one_feed_at_once(market: Recorded, tmp_path: Path) -> None:
    bold = ("--set", "max_positions=4", "--set", "rsi_entry=52")
    with (
        market.service("strategy_runtime", *runtime_of("usual")) as one,
        market.service("strategy_runtime", *runtime_of("bold", *bold, "--capital", "100000")) as other,
    ):
        assert (one.process.wait(DONE_WITHIN_S), other.process.wait(DONE_WITHIN_S)) == (0, 0)
    assert as_numbers(market.summary("usual")) == as_numbers(market.summary("undisturbed"))
    tested = backtest(market.folder / FILE, *bold, "--capital", "100000")
    found = as_numbers(market.summary("bold"))
    assert found == {key: tested[key] for key in found}
    assert found["ledger_sha256"] != market.summary("usual").ledger_sha256
