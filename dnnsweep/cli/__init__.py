"""The command line: parse, call the client once, render."""

from __future__ import annotations

from dnnsweep.cli import answer_commands, draft_commands, query_commands, run_commands, server_commands
from dnnsweep.cli.app import app, main

__all__ = ["answer_commands", "app", "draft_commands", "main", "query_commands", "run_commands", "server_commands"]
