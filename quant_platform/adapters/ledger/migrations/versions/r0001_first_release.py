"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

from quant_platform.adapters.ledger.columns import BigCounter, Moment, Rupees

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database."""
    _create_audit_log()
    _create_consumer_offsets()
    _create_instruments()
    _create_outbox()
    _create_portfolios()
    _create_scanner_results()
    _create_positions()
    _create_runs()
    _create_equity_curve()
    _create_orders()
    _create_refusals()
    _create_runtime_state()
    _create_executed_orders()


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "seq", name=op.f("pk_audit_log")),
        sqlite_with_rowid=False,
    )


def _create_consumer_offsets() -> None:
    op.create_table(
        "consumer_offsets",
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group", "topic", "partition", name=op.f("pk_consumer_offsets")),
    )


def _create_instruments() -> None:
    op.create_table(
        "instruments",
        sa.Column("instrument_token", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("isin", sa.Text(), nullable=False),
        sa.Column("tick_size", Rupees(), nullable=False),
        sa.Column("lot_size", sa.Integer(), nullable=False),
        sa.Column("cas_eligible", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("instrument_token", name=op.f("pk_instruments")),
        sa.UniqueConstraint("symbol", name=op.f("uq_instruments_symbol")),
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", BigCounter, autoincrement=True, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )


def _create_portfolios() -> None:
    op.create_table(
        "portfolios",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("starting_balance", Rupees(), nullable=False),
        sa.Column("balance", Rupees(), nullable=False),
        sa.Column("equity", Rupees(), nullable=False),
        sa.Column("audit_seq", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", sa.Text(), nullable=False),
        sa.Column("last_updated", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_portfolios")),
    )


def _create_scanner_results() -> None:
    op.create_table(
        "scanner_results",
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("ltp", Rupees(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("timestamp", "symbol", name=op.f("pk_scanner_results")),
    )


def _create_positions() -> None:
    op.create_table(
        "positions",
        sa.Column("portfolio_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("avg_price", Rupees(scale=4), nullable=False),
        sa.Column("buy_value", Rupees(), nullable=False),
        sa.Column("buy_charges", Rupees(), nullable=False),
        sa.Column("opened_at", Moment(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_updated", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["portfolio_id"], ["portfolios.id"], name=op.f("fk_positions_portfolio_id")),
        sa.PrimaryKeyConstraint("portfolio_id", "symbol", name=op.f("pk_positions")),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("portfolio_id", sa.Text(), nullable=False),
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("starting_balance", Rupees(), nullable=False),
        sa.Column("balance", Rupees(), nullable=False),
        sa.Column("max_drawdown", Rupees(), nullable=False),
        sa.Column("moment_ns", sa.BigInteger(), nullable=True),
        sa.Column("counters", sa.Text(), nullable=False),
        sa.Column("refusals", sa.Text(), nullable=False),
        sa.Column("ledger_sha256", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('running', 'interrupted', 'complete')", name=op.f("ck_runs_state")),
        sa.ForeignKeyConstraint(["portfolio_id"], ["portfolios.id"], name=op.f("fk_runs_portfolio_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
        sa.UniqueConstraint("portfolio_id", "run_no", name=op.f("uq_runs_portfolio_id_run_no")),
    )


def _create_equity_curve() -> None:
    op.create_table(
        "equity_curve",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("portfolio_id", sa.Text(), nullable=False),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("balance", Rupees(), nullable=False),
        sa.Column("equity", Rupees(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_equity_curve_run_id")),
        sa.PrimaryKeyConstraint("run_id", "ts_ns", name=op.f("pk_equity_curve")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_equity_curve_portfolio_id_timestamp"), "equity_curve", ["portfolio_id", "timestamp"], unique=False
    )


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("order_no", sa.Integer(), nullable=False),
        sa.Column("portfolio_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("transaction_type", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("price", Rupees(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'filled', 'cancelled', 'refused_at_fill')", name=op.f("ck_orders_state")
        ),
        sa.CheckConstraint("transaction_type IN ('BUY', 'SELL')", name=op.f("ck_orders_transaction_type")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_orders_quantity")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_orders_run_id")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
        sa.UniqueConstraint("run_id", "order_no", name=op.f("uq_orders_run_id_order_no")),
        sqlite_with_rowid=False,
    )


def _create_refusals() -> None:
    op.create_table(
        "refusals",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("price", Rupees(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_refusals_run_id")),
        sa.PrimaryKeyConstraint("run_id", "ts_ns", "symbol", "reason", name=op.f("pk_refusals")),
        sqlite_with_rowid=False,
    )


def _create_runtime_state() -> None:
    op.create_table(
        "runtime_state",
        sa.Column("portfolio_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("halted", sa.Boolean(), nullable=False),
        sa.Column("halt_reason", sa.Text(), nullable=False),
        sa.Column("moment_ns", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("last_updated", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["portfolio_id"], ["portfolios.id"], name=op.f("fk_runtime_state_portfolio_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_runtime_state_run_id")),
        sa.PrimaryKeyConstraint("portfolio_id", name=op.f("pk_runtime_state")),
    )


def _create_executed_orders() -> None:
    op.create_table(
        "executed_orders",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("portfolio_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("transaction_type", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("price", Rupees(scale=4), nullable=False),
        sa.Column("value", Rupees(), nullable=False),
        sa.Column("charges", Rupees(), nullable=False),
        sa.Column("gross", Rupees(), nullable=False),
        sa.Column("pnl", Rupees(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("closed_at_last_price", sa.Boolean(), nullable=False),
        sa.CheckConstraint("transaction_type IN ('BUY', 'SELL')", name=op.f("ck_executed_orders_transaction_type")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_executed_orders_quantity")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_executed_orders_order_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_executed_orders_run_id")),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_executed_orders")),
        sa.UniqueConstraint("order_id", name=op.f("uq_executed_orders_order_id")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_executed_orders_portfolio_id_timestamp"),
        "executed_orders",
        ["portfolio_id", "timestamp"],
        unique=False,
    )
