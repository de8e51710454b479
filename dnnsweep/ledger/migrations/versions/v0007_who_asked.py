"""Who asked for what, and the sweeps that were deleted.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the names of tokens, unknown for what happened before, and the table of deleted sweeps, which is empty."""
    op.add_column("events", sa.Column("requested_by", sa.String(length=100), nullable=True))
    op.add_column("sweeps", sa.Column("submitted_by", sa.String(length=100), nullable=True))
    op.add_column("sweeps", sa.Column("stopped_by", sa.String(length=100), nullable=True))
    op.create_table(
        "deleted_sweeps",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("submitted_by", sa.String(length=100), nullable=True),
        sa.Column("stopped_by", sa.String(length=100), nullable=True),
        sa.Column("deleted_by", sa.String(length=100), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
