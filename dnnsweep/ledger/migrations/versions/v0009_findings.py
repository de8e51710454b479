"""What is wrong with the training of each trial.

Revision ID: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the findings of trials; those that have ended have none."""
    op.add_column("trials", sa.Column("findings", sa.JSON(), nullable=False, server_default="[]"))
