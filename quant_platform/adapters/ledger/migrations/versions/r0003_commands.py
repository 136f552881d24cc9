"""Commands to a portfolio: out of everything, and where their audit chain ends."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

GENESIS = "0" * 64


def upgrade() -> None:
    """From the release with API keys."""
    op.add_column("runtime_state", sa.Column("square_off", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("runtime_state", sa.Column("command_seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("runtime_state", sa.Column("command_hash", sa.Text(), nullable=False, server_default=GENESIS))
