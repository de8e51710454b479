"""The only door to MLflow: pages of runs go in, and its UI comes up."""

from __future__ import annotations

from dnnsweep.tracking.store import readable_copy
from dnnsweep.tracking.store_file import find_loss, is_writable
from dnnsweep.tracking.tracker import Tracker
from dnnsweep.tracking.ui import check_port, serve_ui, ui_command, ui_environment, ui_url

__all__ = [
    "Tracker",
    "check_port",
    "find_loss",
    "is_writable",
    "readable_copy",
    "serve_ui",
    "ui_command",
    "ui_environment",
    "ui_url",
]
