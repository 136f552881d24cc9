"""Keys of the HTTP API, and the order in which it lists orders."""

import sqlalchemy as sa
from alembic import op

from quant_platform.adapters.ledger.columns import Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From the first release."""
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.Column("revoked_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
    )
    if op.get_bind().dialect.name == "postgresql":
        # A role that was given every table there is and will be (a dashboard's) still sees no row of this one.
        op.execute("ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY")
    op.create_index(op.f("ix_orders_ts_ns_run_id_order_no"), "orders", ["ts_ns", "run_id", "order_no"], unique=False)
