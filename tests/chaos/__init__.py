"""Sweeps that are disturbed at random instants, and what is left of them; `make chaos` runs the long version.

A round is a sweep, or several that workers share. It is run again whenever a controller or worker ended too early,
until it is complete. Then ledger and MLflow are compared, row by row, with each other and with the same sweep
undisturbed.
"""

from __future__ import annotations

from chaos.audit import Outcome, Row, audited, outcome_of, table
from chaos.disturbances import Kills
from chaos.mlflow_server import MlflowServer
from chaos.plans import CONFIRMED, PRETEND, PRETENDED, Plan, pretended
from chaos.rounds import disturbed, undisturbed

__all__ = [
    "CONFIRMED",
    "PRETEND",
    "PRETENDED",
    "Kills",
    "MlflowServer",
    "Outcome",
    "Plan",
    "Row",
    "audited",
    "disturbed",
    "outcome_of",
    "pretended",
    "table",
    "undisturbed",
]
