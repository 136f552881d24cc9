"""Kafka away, hung, restarted or no Kafka at all: whoever writes and reads waits, is told, and nothing is lost."""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from quant_platform.adapters.bus.kafka import KafkaBus, KafkaOptions
from quant_platform.adapters.bus.kafka_writer import COMMIT_WITHIN_S, KafkaWriter
from quant_platform.domain.errors import RefusedRecordError, UnavailableError
from quant_platform.domain.topics import Topic
from quant_platform.ports.bus import Record, Source
from tests.contracts.bus_rig import flushed
from tests.e2e.service_rig import eventually
from tests.servers import KafkaServer

THINGS = Topic("things", 3)
OTHERS = Topic("others", 3)
WITHIN_S = 120.0
SESSION_S = 3.0
"""Of a broker with its controller, as `quant servers` sets it."""
EVERY = dict.fromkeys(range(3), 0)


@pytest.fixture
def things(bus: KafkaBus) -> KafkaBus:
    bus.ensure([THINGS, OTHERS])
    return bus


def stored(bus: KafkaBus, topic: Topic = THINGS) -> list[int]:
    return [int(record.value) for record in bus.history(topic.name, dict.fromkeys(range(3), 0))]


def send(writer: KafkaWriter, numbers: range) -> None:
    for number in numbers:
        writer.send(THINGS.name, "key", str(number).encode())


@pytest.mark.parametrize("end", [KafkaServer.stop, KafkaServer.kill], ids=["stopped", "killed"])
def test_a_writer_keeps_what_a_broker_that_went_did_not_take(
    things: KafkaBus, kafka: KafkaServer, end: Callable[[KafkaServer], None]
) -> None:
    writer = things.writer()
    send(writer, range(1000))
    writer.flush()
    send(writer, range(1000, 2000))
    end(kafka)
    send(writer, range(2000, 3000))
    with pytest.raises(UnavailableError, match=f"records wait: Kafka at {kafka.bootstrap_servers} does not take them"):
        writer.flush()
    kafka.start()
    flushed(writer)
    writer.close()
    assert stored(things) == list(range(3000))


def test_a_record_that_the_client_gave_up_is_never_silent(things: KafkaBus, kafka: KafkaServer) -> None:
    impatient = KafkaWriter(kafka.bootstrap_servers, {"message.timeout.ms": 1000})  # ours waits for ever
    kafka.stop()
    send(impatient, range(1))
    for attempt in (impatient.flush, impatient.flush, lambda: send(impatient, range(1))):
        with pytest.raises(RefusedRecordError, match="a record of 1 bytes for topic things could not be written"):
            attempt()
    impatient.close()


def test_a_hung_broker_is_waited_for_and_takes_every_record_once(things: KafkaBus, kafka: KafkaServer) -> None:
    writer = things.writer()
    send(writer, range(500))
    writer.flush()
    kafka.pause()
    try:
        send(writer, range(500, 1000))
        with pytest.raises(UnavailableError, match="500 records wait"):
            writer.flush()
    finally:
        kafka.resume()
    flushed(writer)
    writer.close()
    assert stored(things) == list(range(1000))


def test_the_ends_are_asked_for_where_a_hung_broker_leads_anew(
    things: KafkaBus, kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = things.writer()
    send(writer, range(10))
    writer.flush()
    writer.close()
    before = things.ends(THINGS.name)
    kafka.pause()
    time.sleep(SESSION_S + 2)
    kafka.resume()
    time.sleep(2)  # until it is put out of its session, and is let in again
    # As where it was asked the moment before: the client still knows the leader of then.
    monkeypatch.setattr(things, "partitions", lambda _: len(before))
    assert things.ends(THINGS.name) == before


def test_a_hung_broker_is_away_to_whoever_would_change_something(things: KafkaBus, kafka: KafkaServer) -> None:
    kafka.pause()
    try:
        with pytest.raises(UnavailableError, match=kafka.bootstrap_servers):
            things.forget_groups(["group"])
    finally:
        kafka.resume()


def test_a_reader_says_that_the_broker_is_away_and_goes_on_where_it_was(things: KafkaBus, kafka: KafkaServer) -> None:
    writer = things.writer()
    send(writer, range(10))
    writer.flush()
    reader = things.reader(THINGS.name, dict.fromkeys(range(3), 0))
    read: list[int] = []

    def read_on() -> int:
        read.extend(int(record.value) for record in reader.poll(100, 0.5))
        return len(read)

    eventually(lambda: read_on() == 10)
    kafka.kill()
    with pytest.raises(UnavailableError, match=kafka.bootstrap_servers):
        eventually(lambda: read_on() > 10)
    send(writer, range(10, 20))
    kafka.start()
    flushed(writer)
    eventually(lambda: read_on() >= 20)
    assert read == list(range(20))
    reader.close()
    writer.close()


def test_a_reader_notices_a_hung_broker_by_its_silence_and_another_goes_on(
    things: KafkaBus, kafka: KafkaServer
) -> None:
    writer = things.writer()
    send(writer, range(2))
    reader = things.reader(THINGS.name, EVERY)
    eventually(lambda: reader.poll(1, 0.5))
    kafka.pause()
    try:
        with pytest.raises(UnavailableError, match="see whether Kafka runs there"):
            eventually(lambda: reader.poll(1, 0.5) and False)
        reader.close()
    finally:
        kafka.resume()
    again = things.reader(THINGS.name, EVERY)
    eventually(lambda: again.poll(1, 0.5))
    again.close()
    writer.close()


def test_what_goes_to_another_reader_while_one_waits_for_company_is_read_by_one_of_them_once(things: KafkaBus) -> None:
    told: list[int] = []
    first = things.group_reader("group", "one", THINGS.name, told.extend)
    eventually(lambda: first.poll(1, 0.2) or told)
    writer = things.writer()
    for number in range(3):
        writer.send(THINGS.name, "key", str(number).encode(), partition=number)
    writer.flush()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(first.poll, 100, WITHIN_S, 8.0)
        time.sleep(1.0)  # enough for the first records, and no matter where it is not
        second = things.group_reader("group", "two", THINGS.name)
        theirs: list[Record] = []
        while not waiting.done():  # joins while the other has its first records
            theirs += second.poll(100, 0.2)
        ours = list(waiting.result())
    eventually(
        lambda: ours.extend(first.poll(100, 0.2)) or theirs.extend(second.poll(100, 0.2)) or len(ours + theirs) >= 3
    )
    assert theirs
    assert sorted(int(record.value) for record in ours + theirs) == [0, 1, 2]
    first.close()
    second.close()
    writer.close()


def test_a_commit_without_a_broker_does_not_take_place_and_the_next_writer_of_its_name_goes_on(
    things: KafkaBus, kafka: KafkaServer
) -> None:
    writer = things.writer()
    send(writer, range(1))
    writer.flush()
    reader = things.group_reader("group", "one", THINGS.name)
    eventually(lambda: reader.poll(1, 0.5))
    transaction = things.transactional_writer("writer")
    transaction.send(OTHERS.name, "key", b"1")
    transaction.flush()
    kafka.kill()
    with pytest.raises(UnavailableError):
        transaction.commit(reader, {(THINGS.name, 0): 1})
    kafka.start()
    transaction.close()
    reader.close()
    writer.close()
    again = things.group_reader("group", "one", THINGS.name)
    eventually(lambda: again.poll(1, 0.5))
    second = things.transactional_writer("writer")
    second.send(OTHERS.name, "key", b"2")
    second.commit(again, {(THINGS.name, 0): 1})
    second.close()
    again.close()
    assert stored(things, OTHERS) == [2]


def copy_until(stop: threading.Event, bus: KafkaBus, copied: list[int]) -> None:
    """Take records from one topic to another, each in a transaction of its own; begin anew after every fault."""

    def reached(_: Sequence[int]) -> Mapping[int, int]:
        return Counter(record.partition for record in bus.history(OTHERS.name, EVERY))

    while not stop.is_set():
        with contextlib.ExitStack() as opened, contextlib.suppress(UnavailableError):
            writer = opened.enter_context(contextlib.closing(bus.transactional_writer("copier")))
            reader = opened.enter_context(contextlib.closing(bus.group_reader("copiers", "one", THINGS.name, reached)))
            while not stop.is_set():
                for record in reader.poll(1, 0.05):
                    writer.send(OTHERS.name, record.key, record.value)
                    writer.commit(reader, {(record.topic, record.partition): record.offset + 1})
                    copied.append(int(record.value))


def test_a_transaction_under_way_when_the_broker_dies_holds_nobody_and_its_records_come_once(
    things: KafkaBus, kafka: KafkaServer
) -> None:
    writer = things.writer()
    send(writer, range(300))
    writer.flush()
    writer.close()
    stop, copied = threading.Event(), list[int]()
    thread = threading.Thread(target=copy_until, args=(stop, things, copied))
    thread.start()
    try:
        eventually(lambda: len(copied) > 100)
        kafka.kill()
        kafka.start()
        eventually(lambda: 299 in copied)
    finally:
        stop.set()
        thread.join()
    assert stored(things, OTHERS) == list(range(300))


def test_a_transaction_waits_for_a_slow_broker_and_fails_by_its_own_limit_where_that_takes_too_long(
    things: KafkaBus, kafka: KafkaServer
) -> None:
    writer = things.writer()
    send(writer, range(1))
    writer.flush()
    reader = things.group_reader("group", "one", THINGS.name)
    eventually(lambda: reader.poll(1, 0.5))
    transaction = things.transactional_writer("writer")

    def commit_while_paused(value: bytes, seconds: float) -> None:
        transaction.send(OTHERS.name, "key", value)
        transaction.flush()
        kafka.pause()
        timer = threading.Timer(seconds, kafka.resume)
        timer.start()
        try:
            transaction.commit(reader, {(THINGS.name, 0): 1})
        finally:
            timer.join()

    commit_while_paused(b"1", COMMIT_WITHIN_S - 2)
    with pytest.raises(UnavailableError, match=r"Kafka does not answer as asked|a transaction does not end"):
        commit_while_paused(b"2", COMMIT_WITHIN_S + 4)
    transaction.close()
    reader.close()
    send(writer, range(1, 2))
    flushed(writer)
    writer.close()
    # First, as in every service: what the client that gave up left pending with the group is dropped (ADR 26).
    second = things.transactional_writer("writer", Source("group", THINGS.name))
    again = things.group_reader("group", "one", THINGS.name)
    eventually(lambda: again.poll(1, 0.5))
    second.send(OTHERS.name, "key", b"3")
    second.commit(again, {(THINGS.name, 0): 2})
    second.close()
    again.close()
    assert stored(things, OTHERS) == [1, 3]


def test_a_writer_fenced_off_while_its_records_are_under_way_says_so_and_prints_nothing(
    things: KafkaBus, capfd: pytest.CaptureFixture[str]
) -> None:
    first = things.transactional_writer("writer")
    first.send(OTHERS.name, "key", b"1")
    second = things.transactional_writer("writer")

    def send_more() -> bool:
        first.send(OTHERS.name, "key", b"2")
        first.flush()
        return False

    with pytest.raises(UnavailableError):
        eventually(send_more)
    first.close()
    second.close()
    assert "rdkafka" not in capfd.readouterr().err


@pytest.fixture
def not_kafka() -> Iterator[str]:
    """Something that listens, takes what it is sent, and answers in another language."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_what_is_no_kafka_is_named_with_its_address_and_setting(not_kafka: str) -> None:
    bus = KafkaBus(KafkaOptions(not_kafka))
    with pytest.raises(UnavailableError, match=f"(?s){not_kafka}.*KAFKA_BOOTSTRAP_SERVERS"):
        bus.ensure([THINGS])
