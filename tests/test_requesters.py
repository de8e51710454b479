"""Who did what: the names of tokens in rows, events and the log, and what is kept once a sweep is deleted."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving import settings_of, sweep
from typer.testing import CliRunner

from dnnsweep.cli import app as commands
from dnnsweep.records import SweepState
from dnnsweep.service.app import create_app
from dnnsweep.service.tokens import Token
from dnnsweep.settings import Limits, Settings
from dnnsweep.stores.local import LocalStore

TOKENS = [Token(name, f"{name}-s3cret", may_write=True) for name in ("anna", "bert", "carl")]


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DNNSWEEP_API_URL", raising=False)
    url = None if request.param == "sqlite" else request.getfixturevalue("postgresql").database()
    found = settings_of(tmp_path, url)
    monkeypatch.setenv("DNNSWEEP_DATABASE_URL", found.database_url)
    return found


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings, Limits(), TOKENS), base_url="http://elsewhere") as made:
        yield made


@pytest.fixture
def home(settings: Settings) -> Iterator[LocalStore]:
    with LocalStore.opened(settings, create=True) as made:
        yield made


def asks(client: TestClient, name: str, method: str, path: str, **more: Any) -> Any:
    answer = client.request(method, path, headers={"Authorization": f"Bearer {name}-s3cret"}, **more)
    assert answer.is_success, answer.text
    return answer.json()


def typed(settings: Settings, *words: str) -> str:
    done = CliRunner().invoke(commands, [*words, "--home", str(settings.home)])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def told(events: Any) -> list[tuple[str, str | None]]:
    return [(event["kind"], event["requested_by"]) for event in events]


def test_rows_and_events_name_who_asked_and_a_deleted_sweep_leaves_them_behind(
    client: TestClient, settings: Settings
) -> None:
    made = asks(client, "anna", "POST", "/sweeps", json=sweep())
    assert (made["submitted_by"], made["stopped_by"]) == ("anna", None)

    asks(client, "bert", "POST", "/sweeps/pretend/stop")
    shown = asks(client, "carl", "GET", "/sweeps/pretend")
    assert (shown["submitted_by"], shown["stopped_by"]) == ("anna", "bert")
    assert json.loads(typed(settings, "show", "pretend", "--json"))["stopped_by"] == "bert"

    resumed = asks(client, "carl", "POST", "/sweeps/pretend/resume")
    assert (resumed["submitted_by"], resumed["stopped_by"]) == ("anna", None)
    asks(client, "bert", "POST", "/sweeps/pretend/stop")
    happened = [("created", "anna"), ("queued", "anna"), ("stop requested", "bert"), ("ended", None)]
    happened += [("queued", "carl"), ("stop requested", "bert"), ("ended", None)]
    assert told(json.loads(typed(settings, "show", "pretend", "--events", "--json"))) == happened
    assert "stop requested           by bert" in typed(settings, "show", "pretend", "--events")
    assert "by anna" in typed(settings, "show", "pretend")

    asks(client, "carl", "DELETE", "/sweeps/pretend")
    [kept] = asks(client, "anna", "GET", "/deleted-sweeps")
    assert (kept["id"], kept["name"]) == (made["id"], "pretend")
    assert [kept[f"{did}_by"] for did in ("submitted", "stopped", "deleted")] == ["anna", "bert", "carl"]
    assert kept["created_at"] == made["created_at"] <= kept["deleted_at"]
    assert told(kept["events"]) == happened
    assert json.loads(typed(settings, "list", "--deleted", "--json")) == [kept]
    assert json.loads(typed(settings, "list", "--json")) == []
    line = typed(settings, "list", "--deleted").splitlines()[1]
    assert all(word in line.split() for word in ("pretend", made["id"], "anna", "bert", "carl"))


def test_a_name_may_be_used_and_deleted_again_and_each_sweep_is_told_apart(client: TestClient) -> None:
    for name in ("anna", "bert", "carl"):
        asks(client, name, "POST", "/sweeps", json=sweep())
        asks(client, name, "DELETE", "/sweeps/pretend")

    answer = client.get("/deleted-sweeps?limit=2&offset=1", headers={"Authorization": "Bearer anna-s3cret"})

    assert [kept["deleted_by"] for kept in answer.json()] == ["bert", "carl"]
    assert answer.headers["x-total-count"] == "3"


def test_who_stops_a_running_sweep_is_seen_at_once_and_stays(client: TestClient, home: LocalStore) -> None:
    asks(client, "anna", "POST", "/sweeps", json=sweep())
    claim = home.ledger.claim()
    assert claim is not None
    assert asks(client, "anna", "GET", "/sweeps/pretend")["state"] == "RUNNING"

    asks(client, "bert", "POST", "/sweeps/pretend/stop")
    assert asks(client, "anna", "GET", "/sweeps/pretend")["stopped_by"] == "bert"
    claim[0].end(SweepState.STOPPED)
    assert asks(client, "anna", "GET", "/sweeps/pretend")["stopped_by"] == "bert"


def test_whoever_submits_a_file_again_withdraws_a_stop_by_name(client: TestClient, home: LocalStore) -> None:
    asks(client, "anna", "POST", "/sweeps", json=sweep())
    assert home.ledger.claim() is not None
    asks(client, "bert", "POST", "/sweeps/pretend/stop")

    again = asks(client, "carl", "POST", "/sweeps", json=sweep())

    assert (again["submitted_by"], again["stopped_by"]) == ("anna", None)
    events = client.get(
        "/sweeps/pretend/events", headers={"Authorization": "Bearer anna-s3cret", "Accept": "application/json"}
    )
    assert told(events.json())[-2:] == [("stop requested", "bert"), ("queued", "carl")]


def test_commands_on_a_home_have_no_token_and_name_nobody(home: LocalStore, settings: Settings) -> None:
    home.submit(sweep())
    home.stop("pretend")
    assert (home.sweep("pretend").submitted_by, home.sweep("pretend").stopped_by) == (None, None)
    home.delete("pretend")

    [kept] = home.deleted()
    assert (kept.submitted_by, kept.stopped_by, kept.deleted_by) == (None, None, None)
    assert typed(settings, "list", "--deleted").splitlines()[1].split()[-1] == "-"


def test_a_stop_of_what_does_not_run_names_nobody(client: TestClient) -> None:
    asks(client, "anna", "POST", "/sweeps", json=sweep())
    asks(client, "bert", "POST", "/sweeps/pretend/stop")
    assert asks(client, "carl", "POST", "/sweeps/pretend/stop")["is_stopping"] is False

    assert asks(client, "carl", "GET", "/sweeps/pretend")["stopped_by"] == "bert"


def test_the_log_names_the_token_of_each_request_and_never_its_secret(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dnnsweep.service")
    asks(client, "anna", "POST", "/sweeps", json=sweep())
    asks(client, "bert", "POST", "/sweeps/pretend/stop")
    asks(client, "carl", "DELETE", "/sweeps/pretend")
    client.get("/sweeps?token=carl-s3cret")
    client.get("/healthz")

    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line.startswith("sweep ")] == [
        "sweep pretend: submitted by anna",
        "sweep pretend: stopped by bert",
        "sweep pretend: deleted by carl",
    ]
    assert [line.split(" ", 1)[1] for line in lines if "HTTP" in line] == [
        'anna "POST /sweeps HTTP/1.1" 201',
        'bert "POST /sweeps/pretend/stop HTTP/1.1" 200',
        'carl "DELETE /sweeps/pretend HTTP/1.1" 200',
        '- "GET /sweeps?token=*** HTTP/1.1" 401',
        '- "GET /healthz HTTP/1.1" 200',
    ]
    assert "s3cret" not in "".join(lines)
