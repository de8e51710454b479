"""docker compose as a team starts it: sweeps at once, a worker killed, servers restarted; `make test-compose`."""

from __future__ import annotations

import re
import secrets
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from engine import Compose, ask, checkout, docker, missing, passwords
from workspace import Workspace, prepared, wait_until

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=f"no engine for docker compose: {missing()}"),
    pytest.mark.timeout(3600),
]

LOGS: Final = Path(__file__).parent / "logs.txt"
SWEEPS: Final = [f"team-{number}" for number in range(5)]
N_TRIALS: Final = 16
N_EPOCHS: Final = 12
#: Trained one by one, by `fit`: slow enough that everything happens in the middle of it.
SWEEP: Final[dict[str, Any]] = {
    "dataset": {"source": "sklearn:digits"},
    "space": {
        "dropout": {"low": 0.0, "high": 0.5},
        "optimizer": ["sgd", "adam"],
        "batch_size": [32, 64],
        "learning_rate": {"low": 1.0e-4, "high": 1.0e-1, "log": True},
    },
    "training": {"epochs": N_EPOCHS, "early_stopping": None},
    "budget": {"trials": N_TRIALS},
    "trainer": "fit",
}
#: What is done to the services once so many trials of all sweeps have ended.
KILL_AT: Final = 6
RESTART_AT: Final = {"mlflow": 16, "db": 28}
#: Seconds for all sweeps on a busy machine of two cores.
SWEEPS_SECONDS: Final = 1500.0
#: Seconds in which a worker brings to MLflow what is left when a sweep has ended.
DELIVERY_SECONDS: Final = 300.0


def say(text: str) -> None:
    """Tell a person who waits a quarter of an hour what is going on."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)  # noqa: T201


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout without passwords."""
    return checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def compose(folder: Path) -> Iterator[Compose]:
    """All services, healthy."""
    passwords(folder)
    compose = Compose(folder)
    try:
        say("building")
        compose.run("build")
        say("starting")
        compose.up()
        say(compose.run("ps", "--format", "table {{.Service}}\t{{.Status}}\t{{.Ports}}"))
        yield compose
    finally:
        LOGS.write_text(compose.start("logs", "--no-color", "--timestamps").stdout, encoding="utf-8")
        say(f"stopping; what the services said is in {LOGS}")
        compose.run("down", "--volumes", "--remove-orphans", "--timeout", "20")


@pytest.fixture(scope="module")
def workspace(compose: Compose, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Commands of this machine that talk to the API."""
    environ = {"DNNSWEEP_API_URL": compose.api, "DNNSWEEP_TOKEN": compose.passwords["DNNSWEEP_TOKEN"]}
    workspace = Workspace(tmp_path_factory.mktemp("workspace"), environ)
    yield workspace
    workspace.end()


@pytest.fixture(scope="module")
def taken_over(compose: Compose, workspace: Workspace) -> str:
    """The sweep of the worker that was killed, when it and four more are complete; the servers were restarted, too."""
    files = {name: workspace.file(name=name, seed=seed, **SWEEP) for seed, name in enumerate(SWEEPS)}
    submitted = {name: workspace.start("submit", file, "--wait") for name, file in files.items()}
    until_trained(workspace, KILL_AT)
    victim = compose.containers("worker")[0]
    sweep = claimed(victim)
    say(f"{n_ended(workspace)} trials have ended: killing the worker of {sweep}")
    assert docker("kill", victim).returncode == 0  # its restart policy does not start it again
    for service, n_trials in RESTART_AT.items():
        until_trained(workspace, n_trials)
        say(f"{n_ended(workspace)} trials have ended: restarting {service}")
        compose.run("restart", service)
    for name, command in submitted.items():
        command.process.wait(SWEEPS_SECONDS)
        assert command.process.returncode == 0, f"{name}: {command.err}\n{compose.logs()}"
        say(f"{name}: {command.out.splitlines()[0]}")
    assert wait_until(lambda: n_undelivered(workspace) == 0, DELIVERY_SECONDS), compose.logs()
    return sweep


def claimed(worker: str) -> str:
    """Return the sweep that a worker runs."""
    done = docker("logs", worker)
    last = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("sweep ")][-1]
    name, _, what = last.removeprefix("sweep ").partition(": ")
    assert what == "claimed", last
    return name


def n_ended(workspace: Workspace) -> int:
    """Return how many trials of all sweeps have ended."""
    listed = workspace.run("list", "--json")
    return sum(sweep["n_finished"] for sweep in listed.json) if listed.code == 0 else 0


def n_undelivered(workspace: Workspace) -> int:
    """Return how much MLflow has not seen yet."""
    return sum(sweep["n_undelivered"] for sweep in workspace.run("list", "--json").json)


def until_trained(workspace: Workspace, n_trials: int) -> None:
    assert wait_until(lambda: n_ended(workspace) >= n_trials, SWEEPS_SECONDS), workspace.run("list").out


def trials(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = workspace.run("trials", name, "--json").json
    return listed


def runs(compose: Compose, name: str, headers: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the runs of a sweep as MLflow's own API tells them."""
    api = f"{compose.mlflow}/api/2.0/mlflow"
    _, found = ask(f"{api}/experiments/get-by-name?experiment_name={name}", headers=headers)
    experiments = [found["experiment"]["experiment_id"]]
    _, listed = ask(f"{api}/runs/search", {"experiment_ids": experiments, "max_results": 1000}, headers)
    return [
        {
            **{pair["key"]: pair["value"] for kind in ("metrics", "tags") for pair in run["data"].get(kind, [])},
            "run_id": run["info"]["run_id"],
            "status": run["info"]["status"],
        }
        for run in listed["runs"]
    ]


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "DNNSWEEP_TOKEN"])
def test_compose_stops_and_says_which_password_is_missing(folder: Path, tmp_path: Path, name: str) -> None:
    passwords(folder)
    kept = [line for line in (folder / ".env").read_text().splitlines() if not line.startswith(f"{name}=")]
    (tmp_path / "env").write_text("\n".join(kept))

    stopped = Compose(folder).start("--env-file", str(tmp_path / "env"), "up")

    assert stopped.returncode != 0
    assert re.search(
        rf"{name} is missing a value: must be .*; write one into \.env, or run `make \.env`", stopped.stderr
    )


def test_only_the_loopback_address_is_published_and_nobody_is_root(compose: Compose) -> None:
    ports = compose.run("ps", "--format", "{{.Ports}}")
    users = {service: compose.run("exec", "-T", service, "id", "-u").strip() for service in ("api", "mlflow", "worker")}

    assert set(re.findall(r"(\S+):\d+->", ports)) == {"127.0.0.1"}
    assert "0" not in users.values()


def test_the_api_asks_for_its_token(compose: Compose) -> None:
    token = compose.passwords["DNNSWEEP_TOKEN"]

    assert ask(f"{compose.api}/sweeps")[0] == 401
    assert ask(f"{compose.api}/sweeps", headers={"Authorization": "Bearer wrong"})[0] == 401
    assert ask(f"{compose.api}/sweeps", headers={"Authorization": f"Bearer {token}"})[0] == 200


def test_mlflow_answers_to_the_names_it_was_told_only(compose: Compose) -> None:
    url = f"{compose.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"

    assert ask(url)[0] == 200
    assert ask(url, headers={"Host": "mlflow:5000"})[0] == 200
    assert ask(url, headers={"Host": "evil.example"})[0] == 403


@pytest.mark.usefixtures("taken_over")
@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_is_complete_though_a_worker_was_killed_and_servers_restarted(
    workspace: Workspace, name: str
) -> None:
    assert workspace.run("show", name, "--json").json["state"] == "COMPLETE"
    assert [(trial["number"], trial["state"], trial["epochs"]) for trial in trials(workspace, name)] == [
        (number, "COMPLETE", N_EPOCHS) for number in range(N_TRIALS)
    ]


def test_another_worker_went_on_with_the_sweep_of_the_killed_one(
    taken_over: str, compose: Compose, workspace: Workspace
) -> None:
    happened = workspace.run("show", taken_over, "--events").out

    assert len(compose.containers("worker")) == 2
    assert happened.count("leased") >= 2, happened


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.usefixtures("taken_over")
def test_mlflow_holds_one_run_and_every_epoch_of_each_trial(compose: Compose, workspace: Workspace, name: str) -> None:
    found = runs(compose, name)
    api = f"{compose.mlflow}/api/2.0/mlflow/metrics/get-history?metric_key=val_loss&run_id="

    assert len(found) == 1 + N_TRIALS
    shown = {run["run_id"]: run for run in found}
    for trial in trials(workspace, name):
        run = shown[trial["run_id"]]
        assert (run["status"], run["dnnsweep.trial"]) == ("FINISHED", str(trial["number"]))
        assert run["objective"] == trial["value"]
        points = ask(f"{api}{trial['run_id']}")[1]["metrics"]
        assert sorted(int(point["step"]) for point in points) == list(range(1, N_EPOCHS + 1))


@pytest.mark.usefixtures("taken_over")
def test_the_doctor_finds_no_difference_between_ledger_and_mlflow(compose: Compose) -> None:
    say(compose.run("exec", "-T", "api", "dnnsweep", "doctor", "--check"))


def test_the_same_file_gives_the_same_trials_in_the_service_as_by_run(
    taken_over: str, workspace: Workspace, tmp_path: Path, template: Path
) -> None:
    alone = prepared(tmp_path, template, {})
    file = alone.file(name=taken_over, seed=SWEEPS.index(taken_over), **SWEEP)
    assert alone.start("run", file).process.wait(SWEEPS_SECONDS) == 0

    expected, got = alone.trials(taken_over), trials(workspace, taken_over)

    assert [(t["number"], t["params"], t["seed"]) for t in got] == [
        (t.number, dict(t.params), t.seed) for t in expected
    ]
    assert [t["value"] for t in got] == pytest.approx([t.value for t in expected], abs=1e-6)


@pytest.fixture(scope="module")
def password(taken_over: str, compose: Compose) -> str:
    """MLflow's, set after everything else was tried without; it is called by another name as well then."""
    password = secrets.token_urlsafe(12) + "@/%:"
    compose.environ |= {
        "MLFLOW_ADMIN_PASSWORD": password,
        "MLFLOW_ALLOWED_HOSTS": "mlflow.example.org",
        "MLFLOW_ALLOWED_ORIGINS": "https://mlflow.example.org",
    }
    say(f"{taken_over} and the others are looked at: starting again, with a log-in for MLflow")
    compose.up()
    return password


def login(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"admin:{password}".encode()).decode()}


def test_with_a_password_mlflow_asks_for_it_and_sweeps_still_arrive(
    password: str, compose: Compose, workspace: Workspace
) -> None:
    search = f"{compose.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"

    submitted = workspace.run("submit", workspace.file(name="behind-login", budget={"trials": 4}), "--wait")

    assert [ask(search, headers=words)[0] for words in ({}, login("another"), login(password))] == [401, 401, 200]
    assert submitted.code == 0, submitted.err
    assert wait_until(lambda: n_undelivered(workspace) == 0, DELIVERY_SECONDS), compose.logs()
    assert len(runs(compose, "behind-login", login(password))) == 1 + 4
    assert password not in compose.start("logs").stdout


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("mlflow.example.org", "https://mlflow.example.org", 200),
        ("mlflow.example.org", "https://evil.example", 403),
        ("evil.example", "https://mlflow.example.org", 403),
    ],
)
def test_browsers_reach_mlflow_by_a_name_that_it_was_told(
    password: str, compose: Compose, host: str, origin: str, status: int
) -> None:
    search = f"{compose.mlflow}/ajax-api/2.0/mlflow/runs/search"
    headers = {"Host": host, "Origin": origin, **login(password)}

    assert ask(search, {"experiment_ids": ["0"], "max_results": 1}, headers)[0] == status


def test_a_worker_that_is_stopped_ends_by_itself(compose: Compose) -> None:
    worker = compose.containers("worker")[0]

    assert docker("stop", "--time", "40", worker).returncode == 0
    assert docker("inspect", "--format", "{{.State.ExitCode}}", worker).stdout.strip() == "0"


def test_every_command_of_the_page_does_what_it_says(compose: Compose) -> None:
    page = (compose.folder / "docs" / "compose.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert len(lines) > 10

    typed = compose.type("set -e", *lines)

    assert typed.returncode == 0, f"{typed.stdout}\n{typed.stderr}\n{compose.logs()}"
    assert "best val_accuracy" in typed.stdout
    assert "CREATE TABLE public.trials" in (compose.folder / "ledger.sql").read_text(encoding="utf-8")
