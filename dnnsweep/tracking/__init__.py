"""The only door to MLflow: pages of runs go in, and its UI comes up."""

from __future__ import annotations

from dnnsweep.tracking.tracker import Tracker
from dnnsweep.tracking.ui import serve_ui, ui_command, ui_environment, ui_url

__all__ = ["Tracker", "serve_ui", "ui_command", "ui_environment", "ui_url"]
