"""Where the ledger meets the bus: offsets consumed, and records that leave once their block is committed."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select

from quant_platform.adapters.ledger.bulk import bulk_insert
from quant_platform.adapters.ledger.tables import consumer_offsets, outbox
from quant_platform.ports.ledger_store import OutboxRow

_DROP_OFFSETS = delete(consumer_offsets).where(consumer_offsets.c.group == bindparam("of"))
_ADD_TO_OUTBOX = insert(outbox).inline()  # nobody asks which number a row got


def write_offsets(connection: Connection, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Replace a group's offsets within the connection's transaction; none given leaves those that are there."""
    if not offsets:
        return
    forget_offsets(connection, group)
    rows = [
        {"group": group, "topic": topic, "partition": partition, "offset": offset}
        for (topic, partition), offset in offsets.items()
    ]
    bulk_insert(connection, consumer_offsets, rows)


def read_offsets(connection: Connection, group: str) -> dict[tuple[str, int], int]:
    """(topic, partition) → offset that a group goes on from; empty where it never read."""
    stored = consumer_offsets.c
    rows = connection.execute(select(stored.topic, stored.partition, stored.offset).where(stored.group == group))
    return {(row.topic, row.partition): row.offset for row in rows}


def forget_offsets(connection: Connection, group: str) -> None:
    """Have a group begin anew, within the connection's transaction."""
    connection.execute(_DROP_OFFSETS, {"of": group})


def write_outbox(connection: Connection, rows: Sequence[OutboxRow], when: datetime) -> None:
    """Keep records to be published, within the transaction that they tell of."""
    if rows:
        connection.execute(
            _ADD_TO_OUTBOX,
            [{"topic": row.topic, "key": row.key, "value": row.value.decode(), "created_at": when} for row in rows],
        )


def take_outbox(connection: Connection, most: int) -> list[OutboxRow]:
    """Take the oldest records out, within the connection's transaction: rolled back, they are there again.

    What another publisher holds is passed over (in SQLite there is only one).
    """
    stored = outbox.c
    query = select(stored.id, stored.topic, stored.key, stored.value).order_by(stored.id).limit(most)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    if rows:
        connection.execute(delete(outbox).where(stored.id.in_([row.id for row in rows])))
    return [OutboxRow(row.topic, row.key, row.value.encode()) for row in rows]
