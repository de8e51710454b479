"""Keep a ledger of a released version, and what that version says about it, for `tests/test_upgrades.py`.

Run once for each release, with a checkout of it that has its own `.venv`:

    python tools/keep_ledger.py 0.1.0 CHECKOUT pretend:PretendTrainer

The sweeps are those of `tests/data/ledgers/sweeps.json`. `wine` is trained in earnest, all others by the trainer of the
checkout's tests that only pretends to train. `tpe` and `pruned` are interrupted: one by Ctrl-C, the other by a kill of
its controller. `queued` waits for a worker. The name of this machine is left out of what is kept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

KEPT: Final = Path(__file__).resolve().parents[1] / "tests" / "data" / "ledgers"
#: Sweep -> how it is interrupted.
INTERRUPTIONS: Final = {"tpe": signal.SIGINT, "pruned": signal.SIGKILL}
#: After so many trials.
N_ENDED: Final = 6
#: A controller's lease is over when it was silent for so long.
LEASE_SECONDS: Final = 20


class Checkout:
    """The commands of another version, on a home of their own.

    Args:
        folder: The checkout.
        home: The home.
        trainer: What pretends to train, as `module:class` among the checkout's tests.
    """

    def __init__(self, folder: Path, home: Path, trainer: str) -> None:
        self._program = str(folder / ".venv" / "bin" / "dnnsweep")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DNNSWEEP_", "MLFLOW_"))}
        self._real = {**clean, "DNNSWEEP_HOME": str(home), "PYTHONPATH": str(folder / "tests")}
        self._scripted = {**self._real, "DNNSWEEP_TRAINER": trainer}

    def train(self, file: Path, *, is_real: bool) -> None:
        """Run a sweep to its end."""
        environ = self._real if is_real else self._scripted
        subprocess.run([self._program, "run", str(file), "--trainers", "1"], check=True, env=environ)  # noqa: S603

    def interrupt(self, file: Path, how: signal.Signals) -> None:
        """Run a sweep and end its controller by a signal when some of its trials have ended."""
        command = [self._program, "run", str(file), "--trainers", "1"]
        with subprocess.Popen(command, env=self._scripted, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
            lines = iter(process.stderr or [])
            n_ended = 0
            while n_ended < N_ENDED:
                n_ended += next(lines).startswith("[")
            process.send_signal(how)
            list(lines)  # until it has ended

    def submit(self, file: Path) -> None:
        """Queue a sweep."""
        subprocess.run([self._program, "submit", str(file)], check=True, env=self._real)  # noqa: S603

    def answer(self, *words: str) -> Any:
        """Return what a query prints."""
        command = [self._program, *words, "--json"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True, env=self._real)  # noqa: S603
        return json.loads(printed.stdout)


def make(checkout: Checkout, folder: Path) -> list[str]:
    """Make the ledger; return the sweeps' names."""
    documents = json.loads((KEPT / "sweeps.json").read_text(encoding="utf-8"))
    for document in documents:
        file = folder / f"{document['name']}.yaml"
        file.write_text(json.dumps(document), encoding="utf-8")
        if document["name"] in INTERRUPTIONS:
            slow = {**document, "description": "sleep=0.1"}  # so that a signal finds it in the middle
            file.write_text(json.dumps(slow), encoding="utf-8")
            checkout.interrupt(file, INTERRUPTIONS[document["name"]])
        elif document["name"] == "queued":
            checkout.submit(file)
        else:
            checkout.train(file, is_real=document["name"] == "wine")
    return [document["name"] for document in documents]


def answers(checkout: Checkout, names: list[str]) -> dict[str, Any]:
    """Return what the version says about the ledger; words of a command -> its JSON."""
    commands = ["list", *(f"{word} {name}" for name in names for word in ("show", "best", "trials"))]
    return {command: checkout.answer(*command.split()) for command in commands}


def dumped(file: Path) -> str:
    """Return a ledger as SQL."""
    with closing(sqlite3.connect(file)) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def anonymous(text: str) -> str:
    """Return a text without the name of this machine."""
    return text.replace(socket.gethostname(), "workstation")


def main() -> None:
    """Make and keep the ledger of one version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="the version's number")
    parser.add_argument("checkout", type=Path, help="a checkout of the version, installed in its .venv")
    parser.add_argument("trainer", help="the trainer of the checkout's tests that pretends, as module:class")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dnnsweep-ledger-") as name:
        folder = Path(name)
        checkout = Checkout(arguments.checkout.resolve(), folder / "home", arguments.trainer)
        names = make(checkout, folder)
        time.sleep(LEASE_SECONDS)
        told = json.dumps(answers(checkout, names), indent=1, sort_keys=True).replace(
            socket.gethostname(), "workstation"
        )
        sql = dumped(folder / "home" / "dnnsweep.db")
    (KEPT / f"{arguments.version}.json").write_text(anonymous(told) + "\n", encoding="utf-8")
    (KEPT / f"{arguments.version}.sql.gz").write_bytes(gzip.compress(sql.encode(), mtime=0))


if __name__ == "__main__":
    main()
