"""Reads of the REST API by many clients, on a ledger of many trials."""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from sqlalchemy import insert, update

from bench import attacks
from bench.numbers import spread, verdict
from bench.report import table
from bench.sweeps import Effort
from dnnsweep.ledger import Ledger
from dnnsweep.ledger.tables import CurveRow, SweepRow, TrialRow
from dnnsweep.settings import find_settings
from dnnsweep.stores.local import LocalStore

N_SWEEPS: Final = 100
N_TRIALS: Final = 1000
N_EPOCHS: Final = 20
N_CLIENTS: Final = 20
#: How long a client looks at an answer before it asks again.
PAUSE_SECONDS: Final = 0.2
SECONDS: Final = 15.0
ATTACK_SECONDS: Final = 3.0
METRICS: Final = ("loss", "accuracy", "val_loss", "val_accuracy")
OPTIMIZERS: Final = ("sgd", "adam", "nadam", "adamw")
WHERE: Final = "dropout < 0.3 and optimizer == 'adam'"
GOALS: Final = {"PostgreSQL": 50.0, "SQLite": 100.0}


class Latencies(NamedTuple):
    """Milliseconds of each read, by what was asked."""

    by_question: dict[str, list[float]]
    cpu_seconds: float = math.nan

    @property
    def cpu(self) -> float:
        """Return the milliseconds of a processor that the service took for a read."""
        return self.cpu_seconds / len(self.all) * 1000

    @property
    def all(self) -> list[float]:
        """Return those of all reads."""
        return [one for found in self.by_question.values() for one in found]


#: Makes a path, for a ledger of so many sweeps.
Ask = Callable[[random.Random, int], str]


def _sweep(chance: random.Random, n_sweeps: int) -> str:
    return f"/sweeps/sweep-{chance.randrange(n_sweeps)}"


def _of_sweep(rest: str) -> Ask:
    return lambda chance, n_sweeps: _sweep(chance, n_sweeps) + rest.format(chance.randrange(N_TRIALS))


QUESTIONS: Final[dict[str, Ask]] = {
    "`GET /sweeps?limit=20`": lambda chance, n_sweeps: f"/sweeps?limit=20&offset={chance.randrange(n_sweeps)}",
    "`GET /sweeps/NAME`": _sweep,
    "`.../trials?limit=50`": _of_sweep("/trials?limit=50&offset={}"),
    "`.../trials?order=-value&where=...`": _of_sweep(f"/trials?limit=20&order=-value&where={quote(WHERE)}"),
    "`.../trials/NUMBER`, with its curve": _of_sweep("/trials/{}"),
    "`.../best?top=5`": _of_sweep("/best?top=5"),
    "`.../best?where=...`": _of_sweep(f"/best?top=5&where={quote(WHERE)}"),
}


def service(effort: Effort) -> str:
    """Measure reads on SQLite and, where there is one, on PostgreSQL."""
    sys.path.insert(0, "tests")
    import postgres

    n_sweeps, seconds = (3, 1.0) if effort.is_quick else (N_SWEEPS, SECONDS)
    found: dict[str, list[tuple[Latencies, Latencies]]] = {}
    with contextlib.ExitStack() as stack:
        databases: dict[str, str | None] = {"SQLite": None}
        if postgres.programs() is not None:
            databases["PostgreSQL"] = stack.enter_context(postgres.running()).database()
        for kind, url in databases.items():
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            fill(home, url, n_sweeps)
            with served(home, url) as (port, pid):
                _get(http.client.HTTPConnection("127.0.0.1", port, timeout=60), "/sweeps?limit=1000")  # each seen once
                found[kind] = [
                    (load(port, pid, n_sweeps, seconds, PAUSE_SECONDS), load(port, pid, n_sweeps, seconds, 0.0))
                    for _ in range(effort.repetitions)
                ]
            if url is None:
                attacked = attacks.table_of(_attack(home, n_sweeps, effort))
        frozen = _ask_frozen(Path(stack.enter_context(tempfile.TemporaryDirectory())))
    return "\n\n".join([_tables(found, seconds), attacked, *frozen])


def _attack(home: Path, n_sweeps: int, effort: Effort) -> dict[str, attacks.Measured]:
    chance = random.Random(0)  # noqa: S311  likewise
    paths = [ask(chance, n_sweeps) for ask in QUESTIONS.values() for _ in range(20)]
    n_pairs, seconds = (1, 1.0) if effort.is_quick else (2 * effort.repetitions, ATTACK_SECONDS)
    with served(home, None, attacks.TOKENS) as (port, _):
        attacks.read(port, paths, seconds)  # each seen once
        return {name: attacks.measure(name, port, paths, n_pairs, seconds) for name in attacks.ATTACKS}


def _ask_frozen(home: Path) -> list[str]:
    """Return, as a sentence, how long requests take while PostgreSQL hangs."""
    import postgres

    if postgres.programs() is None:
        return []
    with postgres.running() as server:
        url = server.database()
        fill(home, url, 1)
        with served(home, url, attacks.TOKENS) as (port, _):
            attacks.ask_at_once(port)  # it has connections
            with server.frozen():
                found, health = attacks.ask_at_once(port), attacks.ask_at_once(port, "/healthz")
    seconds, statuses = max(second for second, _ in found), sorted({status for _, status in found})
    said = (
        f"PostgreSQL stopped by SIGSTOP, {len(found)} requests at once: all were answered within {seconds:.3g} s, with "
        f"{' or '.join(map(str, statuses))}; `/healthz` within {max(second for second, _ in health) * 1000:.3g} ms."
    )
    return [said]


def _tables(found: dict[str, list[tuple[Latencies, Latencies]]], seconds: float) -> str:
    kinds = list(found)
    rows = [
        [question, *(_percentiles([paused.by_question[question] for paused, _ in found[kind]]) for kind in kinds)]
        for question in QUESTIONS
    ]
    rows.append(["all", *(_percentiles([paused.all for paused, _ in found[kind]]) for kind in kinds)])
    worst = {kind: [_p95(paused.all) for paused, _ in found[kind]] for kind in kinds}
    rows.append(["goal", *(verdict(worst[kind], GOALS[kind], is_limit=True) for kind in kinds)])
    closed = [
        ["all, without a pause", *(_percentiles([closed.all for _, closed in found[kind]]) for kind in kinds)],
        ["reads a second", *(spread([len(closed.all) / seconds for _, closed in found[kind]]) for kind in kinds)],
        ["the service's own ms of a core for a read", *(spread([one.cpu for _, one in found[kind]]) for kind in kinds)],
    ]
    head = f"ms at the 95th percentile, {N_CLIENTS} clients"
    return f"{table([head, *kinds], rows)}\n\n{table(['as fast as it goes', *kinds], closed)}"


def _percentiles(found: Sequence[Sequence[float]]) -> str:
    return spread([_p95(one) for one in found])


def _p95(found: Sequence[float]) -> float:
    return statistics.quantiles(found, n=20)[-1]


def fill(home: Path, url: str | None, n_sweeps: int) -> None:
    """Put sweeps with trials and curves into a ledger, as if they had been trained."""
    settings = find_settings(home, {} if url is None else {"DNNSWEEP_DATABASE_URL": url})
    with LocalStore.opened(settings, create=True) as place:
        for index in range(n_sweeps):
            place.submit(_document(f"sweep-{index}"))
            sweep = place.sweep(f"sweep-{index}")
            _fill_sweep(place.ledger, sweep.id, random.Random(index))  # noqa: S311  rows that can be repeated
        if url is not None:
            with place.ledger._database.engine.connect() as connection:  # noqa: SLF001  as autovacuum does by itself
                connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")


def _document(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "dataset": {"source": "sklearn:digits"},
        "space": {
            "dropout": {"low": 0.0, "high": 0.6},
            "l2": {"low": 1.0e-6, "high": 1.0e-1, "log": True},
            "optimizer": list(OPTIMIZERS),
            "learning_rate": {"low": 1.0e-4, "high": 1.0e-1, "log": True},
        },
        "objective": {"metric": "val_accuracy"},
        "budget": {"trials": N_TRIALS},
    }


def _fill_sweep(ledger: Ledger, sweep_id: str, chance: random.Random) -> None:
    time_ = time.time_ns() // 1_000_000 - 10**7
    trials = [_trial(sweep_id, number, time_ + number, chance) for number in range(N_TRIALS)]
    curves = [
        {
            "sweep_id": sweep_id,
            "number": number,
            "metric": metric,
            "layer": "",
            "points": [chance.random() for _ in range(N_EPOCHS)],
        }
        for number in range(N_TRIALS)
        for metric in METRICS
    ]
    data = {"task": "multiclass", "n_features": 64, "n_train": 1079, "n_validation": 359, "n_test": 359}
    ended = {"state": "COMPLETE", "fingerprint": "f" * 64, "data": data, "ended_at": time_ + N_TRIALS, "token": 2}
    with ledger._database.write() as connection:  # noqa: SLF001  training them would take a day
        connection.execute(insert(TrialRow), trials)
        connection.execute(insert(CurveRow), curves)
        connection.execute(update(SweepRow).where(SweepRow.id == sweep_id).values(ended))


def _trial(sweep_id: str, number: int, time_: int, chance: random.Random) -> dict[str, Any]:
    is_failed = chance.random() < 0.05
    value = None if is_failed else chance.random()
    return {
        "sweep_id": sweep_id,
        "number": number,
        "state": "FAILED" if is_failed else "COMPLETE",
        "reason": "diverged" if is_failed else "early_stopped",
        "params": {
            "initializer": "he_normal",
            "dropout": chance.uniform(0, 0.6),
            "l2": 10 ** chance.uniform(-6, -1),
            "batch_norm": chance.random() < 0.5,
            "optimizer": chance.choice(OPTIMIZERS),
            "learning_rate": 10 ** chance.uniform(-4, -1),
            "schedule": "constant",
            "global_clipnorm": 0.0,
            "batch_size": 32,
            "hidden": [64, 32],
            "activation": "relu",
        },
        "seed": chance.randrange(2**31),
        "value": value,
        "val_loss": None if value is None else 1 - value,
        "best_epoch": None if is_failed else 15,
        "epochs": N_EPOCHS,
        "seconds": 0.3,
        "metrics": {} if is_failed else {metric: chance.random() for metric in (*METRICS, "l2_penalty")},
        "epoch_times": [time_ + epoch for epoch in range(N_EPOCHS)],
        "system_attrs": {},
        "created_at": time_,
        "started_at": time_,
        "ended_at": time_ + N_EPOCHS,
    }


@contextlib.contextmanager
def served(home: Path, url: str | None, tokens: str | None = None) -> Iterator[tuple[int, int]]:
    """Yield the port of a service and the id of its process.

    Args:
        home: Its home.
        url: Address of the ledger's database; None for SQLite in the home.
        tokens: The accepted tokens; None to accept everybody.
    """
    import postgres

    port = postgres.free_port()
    environ = {**os.environ, "DNNSWEEP_HOME": str(home), **({} if url is None else {"DNNSWEEP_DATABASE_URL": url})}
    environ |= {} if tokens is None else {"DNNSWEEP_TOKENS": tokens}
    with (home / "serve.log").open("wb") as log:
        command = [sys.executable, "-m", "dnnsweep", "serve", "--port", str(port)]
        # a session of its own, for Linux shares the processors out by sessions, as among machines
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:
            _await(port, process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError):
            if _get(http.client.HTTPConnection("127.0.0.1", port, timeout=60), "/readyz"):
                return
        time.sleep(0.2)
    raise RuntimeError("the service must come up, but ended")


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} was answered with {answer.status}: {body[:500]!r}")
    return body


def _cpu_seconds(pid: int) -> float:
    """Return how long a process had a processor."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():  # not Linux
        return math.nan
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(port: int, pid: int, n_sweeps: int, seconds: float, pause: float) -> Latencies:
    """Let clients ask one question after the other, and measure how long each answer takes.

    Args:
        port: Of the service.
        pid: Of its process.
        n_sweeps: How many there are.
        seconds: For how long.
        pause: Between an answer and a client's next question, on average.
    """
    found = Latencies({question: [] for question in QUESTIONS})
    until, spent_before = time.monotonic() + seconds, _cpu_seconds(pid)
    errors: list[BaseException] = []

    def ask(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  likewise
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            while time.monotonic() < until:
                time.sleep(chance.uniform(0, 2 * pause))
                question = chance.choice(list(QUESTIONS))
                path = QUESTIONS[question](chance, n_sweeps)
                began = time.perf_counter()
                _get(connection, path)
                found.by_question[question].append((time.perf_counter() - began) * 1000)
        except BaseException as error:  # noqa: BLE001  told below
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(N_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found._replace(cpu_seconds=_cpu_seconds(pid) - spent_before)
