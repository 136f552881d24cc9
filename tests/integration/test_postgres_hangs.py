"""A Postgres that hangs or refuses: nobody waits for it for ever, and nothing is lost by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from quant_platform.adapters.ledger import engine, patience
from quant_platform.adapters.ledger.gateway import GatewayLedger
from quant_platform.adapters.ledger.schema import migrate
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import LedgerError, UnavailableError
from quant_platform.ports.ledger_store import OutboxRow
from tests.servers import Database

from .gateway_rig import NOWHERE, GatewayProcess, add_key
from .ledger_days import request, round_trips


class HastyLedger(SqlLedger):
    """A ledger that a test can wait for."""

    patience_s = 0.5


@contextmanager
def hung(database: Database) -> Iterator[None]:
    """Every process of the server stands still; they are told to go on whatever happens."""
    database.server.pause()
    try:
        yield
    finally:
        database.server.resume()


def test_a_commit_that_a_hung_server_does_not_answer_is_given_up_and_the_run_goes_on(database: Database) -> None:
    blocks = round_trips()
    with HastyLedger(database.url) as ledger:
        ledger.begin(request())
        ledger.commit(next(blocks))
        missed = next(blocks)
        with hung(database), pytest.raises(UnavailableError, match="cannot be reached or written"):
            ledger.commit(missed)
        start = ledger.begin(request())
        if start.resumed_at != missed.moment:  # whether what was sent took place, only the server knew
            ledger.commit(missed)
        ledger.commit(next(blocks))
        assert ledger.finish().fills == 3
        assert ledger.verify_audit() > 0


def test_who_stands_still_amid_a_transaction_keeps_nobody_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqlLedger(database.url) as ledger:
        ledger.begin(request())
    monkeypatch.setattr(engine, "IDLE_SECONDS", 0.5)
    opened = engine.open_engine(database.url, True, 10.0, lambda: None)
    paused = opened.connect()
    paused.execute(text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
    with opened.begin() as other:
        other.execute(text("SELECT count(*) FROM runs"))  # as soon as the lock is gone
    with pytest.raises(UnavailableError, match="stood still"), engine.faults_named():
        paused.execute(text("SELECT 1"))
    paused.close()
    opened.dispose()


def test_a_server_that_hangs_at_the_commit_is_given_up(
    database: Database,
) -> None:
    with HastyLedger(database.url) as ledger:
        ledger.begin(request())
        row = OutboxRow("orders.events", "NSE_EQ:TCS", b"{}")
        ledger.commit(replace(next(round_trips()), outbox=[row]))
        try:
            with pytest.raises(UnavailableError, match="did not answer within"):
                ledger.publish(lambda _: database.server.pause())
        finally:
            database.server.resume()
        told: list[OutboxRow] = []
        assert ledger.publish(told.extend) == 0, "the commit had reached the server, which did it when it went on"


@pytest.fixture
def slow_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that takes four times as long as :class:`HastyLedger` waits for any other answer."""

    def migrate_slowly(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(2)"))
        migrate(connection)

    monkeypatch.setattr(engine, "migrate", migrate_slowly)
    monkeypatch.setattr(patience, "LOOK_EVERY_S", 0.2)


@pytest.mark.usefixtures("slow_migration")
def test_a_migration_takes_as_long_as_it_does_and_says_that_it_goes_on(database: Database) -> None:
    told: list[str] = []
    with HastyLedger(database.url, migrating=lambda: told.append("migrating")) as ledger:
        assert len(told) > 1
        ledger.begin(request())
        ledger.commit(next(round_trips()))
        with hung(database), pytest.raises(UnavailableError, match="cannot be reached"):
            ledger.finish()


@pytest.mark.usefixtures("slow_migration")
def test_a_migration_of_a_server_that_hangs_is_given_up_and_done_later(database: Database) -> None:
    try:
        with pytest.raises(UnavailableError, match="cannot be reached"):
            HastyLedger(database.url, migrating=database.server.pause)
    finally:
        database.server.resume()
    HastyLedger(database.url).close()


def test_a_migration_waits_for_another_ones_lock_only_so_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCK_SECONDS", 1)
    with database.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [engine.MIGRATION_LOCK])
        with pytest.raises(UnavailableError, match="lock timeout"):
            HastyLedger(database.url)
    HastyLedger(database.url).close()


def test_a_new_connection_to_a_hung_server_is_given_up(database: Database) -> None:
    with hung(database), pytest.raises(UnavailableError, match="cannot be reached"):
        HastyLedger(database.url)


def test_the_gateway_answers_while_postgres_hangs(database: Database, tmp_path: Path) -> None:
    token = add_key(database.url).token
    with GatewayProcess(tmp_path, database.environment | NOWHERE) as gateway:
        gateway.ready()
        with hung(database):
            answer = gateway.get("/api/v1/portfolios", token)
            assert answer.status_code == 503
            gateway.until(lambda: gateway.client.get(f"{gateway.health_url}/readyz").status_code == 503)
        gateway.until(lambda: gateway.get("/api/v1/portfolios", token).status_code == 200)
        gateway.ready()


def test_statements_that_fail_leave_their_connection_usable(database: Database) -> None:
    with GatewayLedger(database.url) as ledger:
        key = add_key(database.url).key
        assert not ledger.add_key(key)
        assert ledger.find_key(key.key_id) == key


def test_a_block_that_fails_leaves_nothing_of_it_and_the_run_goes_on(database: Database) -> None:
    buy, sell = islice(round_trips(), 2)
    with SqlLedger(database.url) as ledger:
        ledger.begin(request())
        ledger.commit(buy)
        again = replace(sell, fills=[sell.fills[0]._replace(order_no=1)], orders=[])
        with pytest.raises(LedgerError, match="has already"):
            ledger.commit(again)
        ledger.commit(sell)
        assert ledger.finish().fills == 2
        assert ledger.verify_audit() > 0
