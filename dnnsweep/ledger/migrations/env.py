"""Run by Alembic: migrates over the connection that it is given."""

from __future__ import annotations

from alembic import context

from dnnsweep.ledger.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
