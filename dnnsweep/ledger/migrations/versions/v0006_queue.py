"""Sweeps that wait for a worker; indices for the reads of a service. There is no revision 0005.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add who comes first, since when a sweep is the workers', and whether it came over the network."""
    op.add_column("sweeps", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("sweeps", sa.Column("queued_at", sa.BigInteger(), nullable=True))
    op.add_column("sweeps", sa.Column("is_restricted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_trials_standing", "trials", ["sweep_id", "state", "reason", "value"])
    op.create_index("ix_trials_ended_at", "trials", ["ended_at"])
