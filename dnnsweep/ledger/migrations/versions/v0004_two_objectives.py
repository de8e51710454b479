"""The second of two objectives.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the second objective's columns, empty for sweeps of one objective."""
    op.add_column("sweeps", sa.Column("metric_2", sa.String(length=64), nullable=True))
    op.add_column("sweeps", sa.Column("direction_2", sa.String(length=16), nullable=True))
    op.add_column("trials", sa.Column("value_2", sa.Double(), nullable=True))
    op.add_column("trials", sa.Column("penalty_2", sa.Double(), nullable=True))
