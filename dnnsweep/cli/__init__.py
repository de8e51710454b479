"""The command line: parse, call the client once, render."""

from __future__ import annotations

from dnnsweep.cli import draft_commands, query_commands, run_commands, server_commands
from dnnsweep.cli.app import app, main

__all__ = ["app", "draft_commands", "main", "query_commands", "run_commands", "server_commands"]
