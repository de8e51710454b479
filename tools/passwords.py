"""Prints .env.example with random passwords where it has none; `make .env` keeps them."""

from __future__ import annotations

import secrets
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / ".env.example"


def filled(line: str) -> str:
    """Return a line of the example; a name without a value, not commented out, gets a random one."""
    return line + secrets.token_urlsafe(24) if line.endswith("=") and not line.startswith("#") else line


if __name__ == "__main__":
    print("\n".join(filled(line) for line in EXAMPLE.read_text(encoding="utf-8").splitlines()))
