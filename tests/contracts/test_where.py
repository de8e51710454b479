"""A condition on trials holds in every read that takes one: of a home, over HTTP, and by a client of the service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_mlflow import use_fake_mlflow
from fastapi.testclient import TestClient
from serving import serving, settings_of
from workspace import SWEEP

import dnnsweep
from dnnsweep.service.app import create_app
from dnnsweep.settings import Limits

N_TRIALS = 12
LOCAL = "http://127.0.0.1:8000"
#: Conditions, and what they mean for a trial as it is told in JSON.
CONDITIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "dropout < 0.3": lambda trial: trial["params"]["dropout"] < 0.3,
    "optimizer == 'adam'": lambda trial: trial["params"]["optimizer"] == "adam",
    "number >= 4 and number != 7": lambda trial: trial["number"] >= 4 and trial["number"] != 7,
    "value > 0.75 or number == 0": lambda trial: trial["value"] > 0.75 or trial["number"] == 0,
    "number > 99": lambda trial: trial["number"] > 99,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished sweep."""
    folder = tmp_path_factory.mktemp("where") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:ScriptedTrainer")
        for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        use_fake_mlflow(patch)
        dnnsweep.run(SWEEP, trials=N_TRIALS, executor="inprocess", home=folder)
    return folder


@pytest.fixture(scope="module")
def everything(home: Path) -> list[dict[str, Any]]:
    """All trials, best first, without a condition."""
    trials = [trial.to_json() for trial in dnnsweep.trials("pretend", home=home)]
    assert len(trials) == N_TRIALS
    return sorted(trials, key=lambda trial: (-trial["value"], trial["metrics"]["val_loss"], trial["number"]))


Read = Callable[[str, str], list[dict[str, Any]]]  # `best` or `trials`, and a condition


@pytest.fixture(params=["home", "http", "client"])
def read(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    if request.param == "home":
        yield partial(by_python, home=home)
    elif request.param == "http":
        with TestClient(create_app(settings_of(home), Limits(), ()), base_url=LOCAL) as client:
            yield partial(over_http, client)
    else:
        with serving(settings_of(home)) as url:
            monkeypatch.setenv("DNNSWEEP_API_URL", url)
            yield by_python


def by_python(what: str, where: str, home: Path | None = None) -> list[dict[str, Any]]:
    if what == "best":
        chosen = dnnsweep.best("pretend", top=N_TRIALS, where=where, home=home)
    else:
        chosen = dnnsweep.trials("pretend", where=where, home=home)
    return [trial.to_json() for trial in chosen]


def over_http(client: TestClient, what: str, where: str) -> list[dict[str, Any]]:
    answer = client.get(f"/sweeps/pretend/{what}", params={"where": where, **({"top": "12"} if what == "best" else {})})
    assert answer.status_code == 200, answer.text
    answered: list[dict[str, Any]] = answer.json()
    return answered


@pytest.mark.parametrize("where", CONDITIONS)
def test_the_best_under_a_condition_are_those_of_all_that_meet_it(
    read: Read, everything: list[dict[str, Any]], where: str
) -> None:
    expected = [trial for trial in everything if CONDITIONS[where](trial)]
    assert len(expected) < N_TRIALS

    assert read("best", where) == expected


@pytest.mark.parametrize("where", CONDITIONS)
def test_the_trials_under_a_condition_are_those_that_meet_it_in_their_order(
    read: Read, everything: list[dict[str, Any]], where: str
) -> None:
    expected = [trial for trial in sorted(everything, key=lambda trial: trial["number"]) if CONDITIONS[where](trial)]
    assert len(expected) < N_TRIALS

    assert read("trials", where) == expected


def test_only_the_condition_that_nothing_meets_chooses_nothing(everything: list[dict[str, Any]]) -> None:
    counts = {where: sum(map(meets, everything)) for where, meets in CONDITIONS.items()}

    assert [where for where, count in counts.items() if count == 0] == ["number > 99"]
