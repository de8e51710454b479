"""How the trials of a sweep are trained, chosen when it is created.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the plan's columns; sweeps from before were trained by `fit`."""
    op.add_column("sweeps", sa.Column("trainer", sa.String(length=16), nullable=False, server_default="fit"))
    op.add_column("sweeps", sa.Column("slots", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("sweeps", sa.Column("device", sa.String(length=16), nullable=False, server_default="cpu"))
