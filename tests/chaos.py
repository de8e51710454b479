"""Processes killed at random instants, and what is left of their sweeps; `make chaos` runs the long version.

A round is a sweep of trials that are only pretended, so that kills fall on dnnsweep's own code; it is run again
whenever its controller was killed, until it is complete. Then ledger and MLflow are compared, row by row, with each
other and with the same sweep undisturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import postgres
from workspace import Command, Workspace, identity, prepared, wait_until

import dnnsweep
from dnnsweep.ledger import Ledger
from dnnsweep.settings import find_settings

Identity = list[tuple[Any, ...]]
PRETEND = {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"}
#: Who is killed, how often among ten.
VICTIMS = {"controller": 4, "trainer": 3, "shipping": 2, "server": 1}
#: A round ends at last, whoever is killed.
MAX_RUNS = 60
#: How long a run may take when nobody disturbs it any more.
END_SECONDS = 300
#: Kills of processes that really train, in the long version; beside those that are asked for.
REAL_KILLS = 15


@dataclass(frozen=True)
class Plan:
    """What is run while processes are killed.

    Args:
        sweep: Sections that replace those of the tests' sweep.
        environ: For its commands.
        pause: Bounds of the seconds between two kills.
        n_kills: In one round at most.
    """

    sweep: Mapping[str, Any]
    environ: Mapping[str, str]
    pause: tuple[float, float] = (0.05, 1.5)
    n_kills: int = 12

    @property
    def name(self) -> str:
        return str(self.sweep["name"])


def pretended(name: str = "pretend", n_trials: int = 40, sleep: float = 0.03) -> Plan:
    """Return a sweep whose trials sleep so many seconds an epoch."""
    words = {"name": name, "description": f"sleep={sleep}", "budget": {"trials": n_trials}, "training": {"epochs": 3}}
    return Plan(words, PRETEND)


PRETENDED = pretended()
#: Trained by Keras and TensorFlow; their start takes seconds, in which a kill finds little to destroy.
REAL = Plan(
    {
        "name": "real",
        "dataset": {"source": "sklearn:digits"},
        "space": {"dropout": {"low": 0.0, "high": 0.6}, "optimizer": ["sgd", "adam"]},
        "training": {"epochs": 60, "early_stopping": None},
        "budget": {"trials": 24},
    },
    {},
    (1.0, 12.0),
    5,
)


@dataclass
class Row:
    """What is left of sweeps; every column from `lost` on has to be 0.

    Args:
        place: Where ledger and runs were kept.
        kills: Processes killed.
        asked: Trials asked for.
        finished: Trials that ended.
        runs: Runs of trials in MLflow.
        lost: Numbers that are missing.
        twice: Numbers, or runs of the same trial, that are there twice.
        running: Trials that are still running, in the ledger or in MLflow.
        different: Trials that differ from the undisturbed sweep's.
        points_missing: Points of metrics that MLflow lacks.
        points_more: Points that it has and the ledger has not.
        unlike: Differences that `dnnsweep doctor` finds.
    """

    place: str
    kills: int = 0
    asked: int = 0
    finished: int = 0
    runs: int = 0
    lost: int = 0
    twice: int = 0
    running: int = 0
    different: int = 0
    points_missing: int = 0
    points_more: int = 0
    unlike: int = 0

    @property
    def is_good(self) -> bool:
        bad = ("lost", "twice", "running", "different", "points_missing", "points_more", "unlike")
        return self.asked == self.finished == self.runs and not any(getattr(self, name) for name in bad)

    def add(self, other: Row) -> None:
        for each in fields(self)[1:]:
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class MlflowServer:
    """MLflow's own server on a loopback port; killed and started again at will."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = postgres.free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environ = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        store = f"sqlite:///{self._folder / 'server.db'}"
        words = ["server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        words += ["--backend-store-uri", store, "--artifacts-destination", str(self._folder / "artifacts")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:  # noqa: S310  our own
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Round:
    """One sweep that is disturbed.

    Args:
        workspace: To run commands in; ready for MLflow.
        plan: What is run.
        chance: Who is killed, and when.
        server: MLflow's; None for the embedded store.
    """

    def __init__(self, workspace: Workspace, plan: Plan, chance: random.Random, server: MlflowServer | None) -> None:
        self._workspace = workspace
        self._plan = plan
        self._chance = chance
        self._server = server
        self.n_kills = 0

    def run(self, n_kills: int) -> None:
        """Run the sweep to its end; kill so many processes meanwhile, or fewer if it ends before."""
        file = self._workspace.file(**self._plan.sweep)
        for _ in range(MAX_RUNS):
            command = self._workspace.start("run", file, "--trainers", "2")
            while command.process.poll() is None:
                if self.n_kills >= n_kills:
                    command.process.wait(END_SECONDS)
                    break
                time.sleep(self._chance.uniform(*self._plan.pause))
                self._kill(command)
            if command.code == 0:
                return
        raise AssertionError(f"the sweep did not end in {MAX_RUNS} runs: {command.err[-2000:]}")

    def _kill(self, command: Command) -> None:
        victim = self._chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        if victim == "server":
            if self._server is not None:
                self._server.kill()
                self._server.start()
                self.n_kills += 1
            return
        pids = [command.process.pid] if victim == "controller" else self._pids(victim)
        if pids and command.process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), signal.SIGKILL)
                self.n_kills += 1

    def _pids(self, victim: str) -> list[int]:
        word = {"trainer": b"dnnsweep.executors.trainer_process", "shipping": b"dnnsweep.delivery.process"}[victim]
        found = []
        for pid in self._workspace.processes():
            with suppress(OSError):
                if word in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def conclude(self) -> None:
        """Deliver what is left."""
        if self._server is not None:
            assert wait_until(self._server.is_up)
        done = self._workspace.run("run", self._workspace.file(**self._plan.sweep))
        assert done.code == 0, done.err


def undisturbed(folder: Path, plan: Plan = PRETENDED) -> Identity:
    """Return what a sweep gives that nobody disturbs."""
    workspace = prepared(folder, None, plan.environ)
    done = workspace.run("run", workspace.file(**plan.sweep), "--trainers", "1")
    assert done.code == 0, done.err
    return identity(workspace.trials(plan.name))


def audited(place: str, workspace: Workspace, uri: str, expected: Identity, n_kills: int, name: str) -> Row:
    """Compare ledger, MLflow and the undisturbed sweep."""
    with _environment(workspace.environ):
        trials, doctor = workspace.trials(name), dnnsweep.doctor(name, repair=False, home=workspace.home)
        with closing(Ledger.open(find_settings(workspace.home).database_url)) as ledger:
            sweep_id = ledger.sweep(name).id
            curves = {trial.number: ledger.curve(sweep_id, trial.number) for trial in trials}
    numbers = Counter(trial.number for trial in trials)
    row = Row(place, n_kills, len(expected), sum(trial.reason is not None for trial in trials))
    row.lost = len(set(range(len(expected))) - set(numbers))
    row.twice = sum(count - 1 for count in numbers.values())
    row.running = sum(trial.reason is None for trial in trials)
    row.different = sum(one != other for one, other in zip(identity(trials), expected, strict=False))
    row.unlike = len(doctor.differences)
    shown: dict[int, set[tuple[str, int, float]]] = {}
    for number, status, points in _shown(uri, name):
        row.runs += 1
        row.twice += number in shown
        row.running += status in ("RUNNING", "SCHEDULED")
        shown[number] = points
    for number, curve in curves.items():
        known = {
            (series.metric, step, value) for series in curve.series for step, value in enumerate(series.values, start=1)
        }
        seen = {
            point for point in shown.get(number, set()) if point[0] not in ("objective", "best_epoch", "n_parameters")
        }
        row.points_missing += len(known - seen)
        row.points_more += len(seen - known)
    return row


def _shown(uri: str, name: str) -> Iterator[tuple[int, str, set[tuple[str, int, float]]]]:
    """Yield number, status and points of each trial's run in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    for run in client.search_runs([experiment.experiment_id], "tags.`dnnsweep.trial` != ''", max_results=1000):
        history = [client.get_metric_history(run.info.run_id, name) for name in run.data.metrics]
        points = {(point.key, point.step, point.value) for metric in history for point in metric}
        yield int(run.data.tags["dnnsweep.trial"]), run.info.status, points


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def disturbed(
    folder: Path,
    chance: random.Random,
    n_kills: int,
    expected: Identity,
    *,
    plan: Plan = PRETENDED,
    template: Path | None = None,
    database: postgres.Server | None = None,
    has_server: bool = False,
) -> Row:
    """Run rounds until so many processes were killed; return what is left of their sweeps, added up.

    Args:
        folder: Empty; a folder in it for each round.
        chance: Who is killed, and when.
        n_kills: Processes to kill.
        expected: The undisturbed sweep.
        plan: What is run.
        template: An empty MLflow store to copy, where there is no server.
        database: PostgreSQL for the ledger; None for SQLite.
        has_server: Whether MLflow is a server of its own.
    """
    place = f"{'SQLite' if database is None else 'PostgreSQL'}, MLflow {'server' if has_server else 'embedded'}"
    total = Row(place if plan.environ else f"{place}, really trained")
    while total.kills < n_kills:
        own = folder / f"round-{total.asked // len(expected)}"
        own.mkdir()
        environ = {**plan.environ, **({} if database is None else {"DNNSWEEP_DATABASE_URL": database.database()})}
        with ExitStack() as stack:
            server = MlflowServer(own) if has_server else None
            if server is not None:
                stack.callback(server.kill)
                server.start()
                assert wait_until(server.is_up)
                environ["MLFLOW_TRACKING_URI"] = server.uri
            workspace = prepared(own, None, environ)
            workspace.environ["PYTHONPATH"] = str(Path(__file__).parent)  # MLflow can be imported
            if template is not None and not has_server:
                (workspace.home / "mlflow.db").write_bytes(template.read_bytes())
            stack.callback(workspace.end)
            each = Round(workspace, plan, chance, server)
            each.run(min(n_kills - total.kills, plan.n_kills))
            each.conclude()
            uri = environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.home / 'mlflow.db'}"
            row = audited(place, workspace, uri, expected, each.n_kills, plan.name)
        if not row.is_good:
            sys.stderr.write(f"{own}: {row}\n")
        total.add(row)
    return total


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    names = [each.name.replace("_", " ") for each in fields(Row)]
    lines = [names, ["---"] * len(names), *([str(value) for value in asdict(row).values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run the long version; return 0 if nothing was lost, and nothing counted twice."""
    parser = argparse.ArgumentParser(description="Kill processes at random instants, and count what is left.")
    parser.add_argument("--kills", type=int, default=210)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    chance, share = random.Random(given.seed), -(-given.kills // 3)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        expected = undisturbed(folder / "undisturbed")
        database = None
        if postgres.programs() is None:
            sys.stdout.write("PostgreSQL was left out: there is no initdb\n")
        else:
            database = stack.enter_context(postgres.running())
        real = undisturbed(folder / "undisturbed-real", REAL)
        rounds: list[tuple[Plan, int, Identity, postgres.Server | None, bool]] = [
            (PRETENDED, share, expected, None, False),
            (PRETENDED, share, expected, None, True),
            (REAL, REAL_KILLS, real, None, False),
        ]
        if database is not None:
            rounds.append((PRETENDED, share, expected, database, True))
        rows = []
        for i, (plan, n_kills, known, own, has_server) in enumerate(rounds):
            place = folder / str(i)
            place.mkdir()
            rows.append(disturbed(place, chance, n_kills, known, plan=plan, database=own, has_server=has_server))
            sys.stdout.write(table(rows[-1:]) + "\n")
            sys.stdout.flush()
    sys.stdout.write(table(rows) + "\n")
    return 0 if all(row.is_good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
