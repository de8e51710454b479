"""Run every test there is, part by part; `make test-all`.

All parts are run, also after one that fails; exits 1 if one failed. What a part needs and this machine does not have is
said before anything is run, for a part that tests nothing must not count as passed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
#: Part -> its target in the Makefile, in the order in which they are run.
PARTS: Final = {
    "check": "check",
    "test": "test-full",
    "notebook": "test-notebook",
    "exactness": "test-exactness",
    "wheel": "test-wheel",
    "site": "site",
    "chaos": "chaos",
    "compose": "test-compose",
    "browser": "test-browser",
    "gp": "test-gp",
}


def missing_engine() -> str | None:
    """Return why docker compose cannot be used; None if it can."""
    docker = shutil.which("docker")
    if docker is None:
        return "there is no docker command"
    for words in (["version"], ["compose", "version"]):
        done = subprocess.run([docker, *words], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            reason = " ".join(done.stderr.split()).rstrip(".?")
            return f"`docker {' '.join(words)}` says: {reason}; start an engine, or name one in DOCKER_HOST"
    return None


def missing_browser() -> str | None:
    """Return why there is no browser; None if there is one."""
    if os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser"):
        return None
    return "there is no Chromium; install Debian's package chromium, or name a program in CHROMIUM"


#: Part -> what says why it cannot be run here.
NEEDS: Final[dict[str, Callable[[], str | None]]] = {"compose": missing_engine, "browser": missing_browser}


def selected(skip: Sequence[str]) -> list[str]:
    """Return the parts to run.

    Args:
        skip: Names of the parts to leave out.

    Raises:
        ValueError: There is no part of such a name.
    """
    unknown = [name for name in skip if name not in PARTS]
    if unknown:
        raise ValueError(f"SKIP must name parts of {' '.join(PARTS)}, got {' '.join(unknown)}")
    return [name for name in PARTS if name not in skip]


def obstacles(parts: Sequence[str]) -> list[str]:
    """Return why parts cannot be run here, one line for each of them."""
    reasons = {name: NEEDS[name]() for name in parts if name in NEEDS}
    return [
        f'{name} cannot be tested here: {reason}; SKIP="{name}" leaves it out'
        for name, reason in reasons.items()
        if reason
    ]


def run(part: str) -> bool:
    """Run one part; return whether it passed."""
    print(f"== {part}", flush=True)
    start = time.monotonic()
    code = subprocess.run(["make", PARTS[part]], cwd=ROOT, check=False).returncode  # noqa: S603, S607
    print(f"== {part}: {'passed' if code == 0 else 'failed'} after {time.monotonic() - start:.0f} s", flush=True)
    return code == 0


def main() -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skip", default="", help="parts to leave out, with spaces between them")
    try:
        parts = selected(parser.parse_args().skip.split())
    except ValueError as error:
        parser.error(str(error))
    if reasons := obstacles(parts):
        print("\n".join(reasons), file=sys.stderr)
        return 1
    failed = [part for part in parts if not run(part)]
    print(f"failed: {' '.join(failed)}" if failed else f"all passed: {' '.join(parts)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
