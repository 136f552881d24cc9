"""QuestDB when it is away, killed, hung or set up otherwise: what its writer and reader say, and what is kept."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from quant_platform.adapters.ticks.questdb import QuestdbWriter
from quant_platform.adapters.ticks.questdb_reader import QuestdbReader
from quant_platform.domain.errors import ConfigurationError, DataError, UnavailableError
from quant_platform.hosts.config import Settings
from quant_platform.ports.series_store import TABLES, TICKS
from tests.e2e.service_rig import eventually
from tests.series import places, reader_of, ticks, writer_of
from tests.servers import QuestdbServer

WITHIN_S = 30.0
SYMBOL = "NSE_EQ:RELIANCE"


@pytest.fixture
def settings(empty_questdb: QuestdbServer) -> Settings:
    return empty_questdb.settings


@pytest.fixture
def writer(settings: Settings) -> Iterator[QuestdbWriter]:
    writer = writer_of(settings, timeout_s=2.0)
    yield writer
    writer.close()


@pytest.fixture
def reader(settings: Settings) -> Iterator[QuestdbReader]:
    reader = reader_of(settings)
    yield reader
    reader.close()


def seen(reader: QuestdbReader) -> list[tuple[int, int]]:
    reader.wait_until_visible(WITHIN_S)
    return places(reader.newest(TICKS, SYMBOL, 100))


def test_what_was_flushed_outlives_a_kill(questdb: QuestdbServer, writer: QuestdbWriter, reader: QuestdbReader) -> None:
    writer.append(TICKS, ticks(SYMBOL, (0, 1), (1, 2)))
    writer.flush()
    questdb.kill()
    questdb.start()
    assert seen(reader) == [(0, 1), (1, 2)]


def test_rows_wait_while_the_server_is_dead(
    questdb: QuestdbServer, writer: QuestdbWriter, reader: QuestdbReader
) -> None:
    writer.append(TICKS, ticks(SYMBOL, (0, 1)))
    writer.flush()
    questdb.kill()
    for n in (2, 3):
        writer.append(TICKS, ticks(SYMBOL, (n, n)))
        with pytest.raises(UnavailableError, match=r"QuestDB at 127.0.0.1:\d+ cannot be reached"):
            writer.flush()
    with pytest.raises(UnavailableError, match=r"QuestDB at 127.0.0.1:\d+ cannot be reached"):
        reader.newest(TICKS, SYMBOL, 1)
    questdb.start()
    writer.flush()
    assert seen(reader) == [(0, 1), (2, 2), (3, 3)]


def test_rows_wait_while_the_server_hangs(questdb: QuestdbServer, writer: QuestdbWriter, reader: QuestdbReader) -> None:
    writer.prepare()
    writer.append(TICKS, ticks(SYMBOL, (0, 1)))
    questdb.pause()
    try:
        with pytest.raises(UnavailableError, match="cannot be reached"):
            writer.flush()
    finally:
        questdb.resume()
    writer.flush()
    assert seen(reader) == [(0, 1)]


def test_a_question_to_a_server_that_hangs_is_given_up(
    questdb: QuestdbServer, writer: QuestdbWriter, settings: Settings
) -> None:
    writer.prepare()
    wanted = settings.questdb
    assert wanted.pg_password is not None
    password = wanted.pg_password.get_secret_value()
    reader = QuestdbReader(wanted.pg_host, wanted.pg_port, wanted.pg_user, password, timeout_s=1.0)
    assert seen(reader) == []
    questdb.pause()
    try:
        with pytest.raises(UnavailableError, match="cannot be reached"):
            seen(reader)
    finally:
        questdb.resume()
    assert seen(reader) == []
    reader.close()


def test_who_asks_a_server_that_is_known_to_hang_is_told_at_once_and_one_finds_out_when_it_is_back(
    questdb: QuestdbServer, writer: QuestdbWriter, settings: Settings
) -> None:
    writer.prepare()
    reader = reader_of(settings, timeout_s=3.0)

    def complaint(_: int) -> str:
        try:
            reader.newest(TICKS, SYMBOL, 1)
        except UnavailableError as error:
            return error.what
        return ""

    with ThreadPoolExecutor(20) as askers:
        assert set(askers.map(complaint, range(20))) == {""}
        questdb.pause()
        try:
            assert "" not in set(askers.map(complaint, range(20)))
            told = Counter(askers.map(complaint, range(1000)))
            assert sum(count for what, count in told.items() if "hangs, and is tried again" in what) > 990
        finally:
            questdb.resume()
        eventually(lambda: complaint(0) == "")
        assert set(askers.map(complaint, range(20))) == {""}
    reader.close()


@pytest.mark.parametrize("login", ["admin:wrong@", ""])
def test_a_wrong_password_is_refused_without_being_told(settings: Settings, login: str) -> None:
    host = settings.questdb.http_url.get_secret_value().rpartition("@")[2]
    writer = QuestdbWriter(f"http://{login}{host}")
    with pytest.raises(ConfigurationError, match=f"QuestDB at {host} refuses user or password") as refused:
        writer.prepare()
    assert "wrong" not in str(refused.value)
    writer.close()


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_wrong_password_of_the_reader_is_refused(settings: Settings, password: str | None) -> None:
    wanted = settings.questdb
    reader = QuestdbReader(wanted.pg_host, wanted.pg_port, wanted.pg_user, password)
    with pytest.raises(ConfigurationError, match=f"refuses user {wanted.pg_user} or the password — correct questdb"):
        reader.newest(TICKS, SYMBOL, 1)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9000", "questdb://host", "http://", "http://user@host", "http://host:no", "http://host/path"]
)
def test_an_address_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^questdb.http_url cannot be read — write it like http://user:pass"):
        QuestdbWriter(url)


def test_what_answers_but_is_no_questdb_is_refused(questdb: QuestdbServer, settings: Settings) -> None:
    writer = QuestdbWriter(f"http://127.0.0.1:{settings.questdb.pg_port}", timeout_s=1.0)
    with pytest.raises(UnavailableError, match="cannot be reached"):
        writer.prepare()
    writer.close()


def test_a_question_before_any_table_is_made_says_who_makes_it(reader: QuestdbReader) -> None:
    with pytest.raises(UnavailableError, match=r"table does not exist.*market_persistor"):
        reader.newest(TICKS, SYMBOL, 1)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("ALTER TABLE ticks DROP COLUMN sma", "has no column sma — `ALTER TABLE ticks ADD COLUMN sma DOUBLE`"),
        ("ALTER TABLE ticks ALTER COLUMN sma TYPE FLOAT", "column sma of QuestDB's table ticks is FLOAT, not DOUBLE"),
        (
            "ALTER TABLE ticks DEDUP DISABLE",
            "does not keep each timestamp, symbol, seq once — `ALTER TABLE ticks DEDUP",
        ),
    ],
)
def test_a_table_of_another_make_is_named_with_the_cure(
    questdb: QuestdbServer,
    settings: Settings,
    writer: QuestdbWriter,
    reader: QuestdbReader,
    change: str,
    complaint: str,
) -> None:
    writer.prepare()
    questdb.ask(change)
    reader.wait_until_visible(WITHIN_S)
    with pytest.raises(ConfigurationError, match=complaint):
        writer.prepare()


def test_rows_for_a_table_that_was_changed_meanwhile_are_refused(
    questdb: QuestdbServer, settings: Settings, writer: QuestdbWriter, reader: QuestdbReader
) -> None:
    writer.prepare()
    questdb.ask("ALTER TABLE ticks DROP COLUMN sma")
    reader.wait_until_visible(WITHIN_S)
    with pytest.raises(ConfigurationError, match="another make"):
        reader.newest(TICKS, SYMBOL, 1)
    writer.append(TICKS, ticks(SYMBOL, (0, 1))._replace(sma=ticks(SYMBOL, (0, 1)).vwap))
    with pytest.raises(DataError, match=r"refuses rows for ticks: .*sma"):
        writer.flush()


def kept_days(questdb: QuestdbServer) -> set[object]:
    """Of our tables, as QuestDB tells; it does so a moment after the statement."""
    rows = questdb.ask("SELECT table_name, ttlValue FROM tables()")
    ours = {table.name for table in TABLES}
    return {days for name, days in rows if name in ours}


def test_rows_are_kept_for_ever_unless_days_are_given(questdb: QuestdbServer, settings: Settings) -> None:
    for days, kept in ((None, 0), (3, 3), (None, 3), (0, 0)):
        writer = writer_of(settings, keep_days=days)
        writer.prepare()
        writer.close()
        eventually(partial(lambda kept: kept_days(questdb) == {kept}, kept), lambda: str(kept_days(questdb)), WITHIN_S)


def test_rows_beyond_the_days_to_keep_go(settings: Settings, reader: QuestdbReader) -> None:
    writer = writer_of(settings, keep_days=2)
    day = 86_400 * 10**9
    for n in range(6):
        writer.append(TICKS, ticks(SYMBOL, (n * day - 300 * day, n)))
        writer.flush()
    assert [seq for _, seq in seen(reader)] == [3, 4, 5]
    writer.close()
