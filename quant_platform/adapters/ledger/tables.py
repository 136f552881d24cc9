"""Every table of the ledger, as the program uses it; ``migrations/`` makes the same ones in the database.

Money columns are rupees in the database and paise in Python (:class:`.columns.Rupees`). Where a moment
decides anything, ``ts_ns`` holds it exactly beside the readable ``timestamp``.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from quant_platform.adapters.ledger.columns import BigCounter, Moment, Rupees

HEAD_REVISION = "0003"
"""Revision of the newest migration: what these tables are."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

GENESIS = "0" * 64
"""What the first row of an audit chain takes as the hash before it."""

SIDES = "transaction_type IN ('BUY', 'SELL')"

portfolios = Table(
    "portfolios",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("starting_balance", Rupees, nullable=False),
    Column("balance", Rupees, nullable=False),
    Column("equity", Rupees, nullable=False),
    Column("audit_seq", BigInteger, nullable=False),  # the last row of the portfolio's audit chain …
    Column("audit_hash", Text, nullable=False),  # … so that rows cut off its end are missed
    Column("last_updated", Moment, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("portfolio_id", Text, ForeignKey("portfolios.id"), nullable=False),
    Column("run_no", Integer, nullable=False),
    Column("mode", Text, nullable=False),
    Column("strategy_id", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("starting_balance", Rupees, nullable=False),
    Column("balance", Rupees, nullable=False),
    Column("max_drawdown", Rupees, nullable=False),
    Column("moment_ns", BigInteger),
    Column("counters", Text, nullable=False),  # JSON object
    Column("refusals", Text, nullable=False),  # JSON object, reason → count
    Column("ledger_sha256", Text),
    UniqueConstraint("portfolio_id", "run_no"),
    CheckConstraint("state IN ('running', 'interrupted', 'complete')", name="state"),
)

orders = Table(
    "orders",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
    Column("order_no", Integer, nullable=False),
    Column("portfolio_id", Text, nullable=False),
    Column("strategy_id", Text, nullable=False),
    Column("timestamp", Moment, nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("transaction_type", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("price", Rupees, nullable=False),  # the last price it was decided on
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("refusal", Text, nullable=False),
    Column("ended_at", Moment),
    UniqueConstraint("run_id", "order_no"),
    CheckConstraint(SIDES, name="transaction_type"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("state IN ('pending', 'filled', 'cancelled', 'refused_at_fill')", name="state"),
    Index(None, "ts_ns", "run_id", "order_no"),
    sqlite_with_rowid=False,
)

executed_orders = Table(
    "executed_orders",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
    Column("seq", Integer, nullable=False),  # counts the run's executions from 1
    Column("order_id", Text, ForeignKey("orders.order_id"), nullable=False, unique=True),
    Column("portfolio_id", Text, nullable=False),
    Column("strategy_id", Text, nullable=False),
    Column("timestamp", Moment, nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("transaction_type", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("price", Rupees(4), nullable=False),  # value / quantity; value and quantity are the exact ones
    Column("value", Rupees, nullable=False),
    Column("charges", Rupees, nullable=False),
    Column("gross", Rupees, nullable=False),
    Column("pnl", Rupees, nullable=False),
    Column("reason", Text, nullable=False),
    Column("closed_at_last_price", Boolean, nullable=False),
    PrimaryKeyConstraint("run_id", "seq"),
    CheckConstraint(SIDES, name="transaction_type"),
    CheckConstraint("quantity > 0", name="quantity"),
    Index(None, "portfolio_id", "timestamp"),
    sqlite_with_rowid=False,
)

positions = Table(
    "positions",
    metadata,
    Column("portfolio_id", Text, ForeignKey("portfolios.id"), nullable=False),
    Column("symbol", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("avg_price", Rupees(4), nullable=False),
    Column("buy_value", Rupees, nullable=False),
    Column("buy_charges", Rupees, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("opened_ns", BigInteger, nullable=False),
    Column("last_updated", Moment, nullable=False),
    PrimaryKeyConstraint("portfolio_id", "symbol"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("timestamp", Moment, nullable=False),
    Column("price", Rupees, nullable=False),
    PrimaryKeyConstraint("run_id", "ts_ns", "symbol", "reason"),
    sqlite_with_rowid=False,
)

equity_curve = Table(
    "equity_curve",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id"), nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("portfolio_id", Text, nullable=False),
    Column("timestamp", Moment, nullable=False),
    Column("balance", Rupees, nullable=False),
    Column("equity", Rupees, nullable=False),
    PrimaryKeyConstraint("run_id", "ts_ns"),
    Index(None, "portfolio_id", "timestamp"),
    sqlite_with_rowid=False,
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("chain", Text, nullable=False),  # one a writer: the portfolio's name
    Column("seq", BigInteger, nullable=False),
    Column("timestamp", Moment, nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("before", Text, nullable=False),  # JSON
    Column("after", Text, nullable=False),  # JSON
    Column("hash", Text, nullable=False),
    PrimaryKeyConstraint("chain", "seq"),
    sqlite_with_rowid=False,
)

runtime_state = Table(
    "runtime_state",
    metadata,
    Column("portfolio_id", Text, ForeignKey("portfolios.id"), primary_key=True),
    Column("epoch", BigInteger, nullable=False),  # of the writer; an older one cannot commit any more
    Column("run_id", Text, ForeignKey("runs.run_id")),
    Column("halted", Boolean, nullable=False),
    Column("halt_reason", Text, nullable=False),
    Column("square_off", Boolean, nullable=False, server_default=false()),  # while halted: sell what is held
    Column("command_seq", BigInteger, nullable=False, server_default="0"),  # end of the chain of commands
    Column("command_hash", Text, nullable=False, server_default=GENESIS),
    Column("moment_ns", BigInteger),
    Column("state", LargeBinary, nullable=False),
    Column("last_updated", Moment, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigCounter, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),  # JSON
    Column("created_at", Moment, nullable=False),
)

consumer_offsets = Table(
    "consumer_offsets",
    metadata,
    Column("group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("group", "topic", "partition"),
)

scanner_results = Table(
    "scanner_results",
    metadata,
    Column("timestamp", Moment, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("ltp", Rupees, nullable=False),
    Column("volume", BigInteger, nullable=False),
    PrimaryKeyConstraint("timestamp", "symbol"),
)

instruments = Table(
    "instruments",
    metadata,
    Column("instrument_token", Text, primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("segment", Text, nullable=False),
    Column("symbol", Text, nullable=False, unique=True),
    Column("isin", Text, nullable=False),
    Column("tick_size", Rupees, nullable=False),
    Column("lot_size", Integer, nullable=False),
    Column("cas_eligible", Boolean, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # with spaces between, as OAuth writes them
    Column("secret_hash", Text, nullable=False),  # Argon2id; the secret itself is nowhere
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
)

alembic_version = Table(
    "alembic_version",
    MetaData(),  # as Alembic makes it, outside our metadata: read before Alembic is loaded
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
