"""The REST API, on SQLite and on PostgreSQL: what its routes answer, whom they let in, and what they withstand."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import jsonschema
import postgres
import pytest
from fake_clock import FakeClock
from fastapi.testclient import TestClient
from serving import READER, WRITER, serving, settings_of, sweep
from turns import write
from typer.testing import CliRunner
from workspace import wait_until

from dnnsweep import spec
from dnnsweep.addresses import is_loopback
from dnnsweep.cli import app as commands
from dnnsweep.errors import LedgerError, SettingsError
from dnnsweep.ledger import Asked, Ledger
from dnnsweep.records import Curve, Reason, Series, Suggestion, SweepState, TrialResult
from dnnsweep.service import serve
from dnnsweep.service.app import create_app
from dnnsweep.service.quotas import MAX_FAILURES, MAX_STREAMS_OF_TOKEN, Quotas
from dnnsweep.service.streams import Poller
from dnnsweep.service.tokens import Token, tokens
from dnnsweep.settings import Limits, Settings
from dnnsweep.spec.documents import MAX_BYTES
from dnnsweep.stores.local import LocalStore

LOCAL = "http://127.0.0.1:8000"
PROBLEM = "application/problem+json"


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return settings_of(tmp_path)
    return settings_of(tmp_path, request.getfixturevalue("postgresql").database())


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings, Limits(), ()), base_url=LOCAL) as made:
        yield made


@pytest.fixture
def home(settings: Settings) -> Iterator[LocalStore]:
    with LocalStore.opened(settings, create=True) as made:
        yield made


def trained(home: LocalStore, name: str = "pretend", n_trials: int = 5) -> None:
    """Let a sweep of a home end with trials of growing values."""
    home.submit(sweep(name, budget={"trials": n_trials}))
    claim = home.ledger.claim()
    assert claim is not None
    lease = claim[0]
    for number in range(n_trials):
        write(lease).advance([], [Asked(Suggestion(number, {"dropout": number / 10}, number), {})], {})
        write(lease).start(number, 1)
        curve = Curve((Series("val_loss", (0.5,)),), (1000,))
        write(lease).finish(TrialResult(number, 1, Reason.COMPLETED, curve, 1, 1.0), (number / 10,), {"val_loss": 0.5})
    lease.end(SweepState.COMPLETE)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the problem document that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


# -- sweeps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/json", "application/yaml", "text/yaml; charset=utf-8"])
def test_a_sweep_file_is_queued_whether_it_is_json_or_yaml(client: TestClient, kind: str) -> None:
    content = json.dumps(sweep()) if "json" in kind else spec.check(sweep()).to_yaml()

    answer = client.post("/sweeps", content=content, headers={"Content-Type": kind})

    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["state"]) == ("pretend", "QUEUED")
    assert answer.headers["location"] == "/sweeps/pretend"
    assert client.get("/sweeps/pretend").json() == answer.json()


def test_submitting_again_answers_alike_and_another_content_is_a_conflict(client: TestClient) -> None:
    first = client.post("/sweeps", json=sweep())

    again = client.post("/sweeps", json=sweep())
    assert (again.status_code, again.json()) == (200, first.json())

    document = problem(client.post("/sweeps", json=sweep(seed=7)), 409)
    assert document["difference"] == ["seed: was 0, is 7"]
    assert document["type"] == "urn:dnnsweep:problem:sweep-conflict"


def test_every_mistake_of_a_sweep_file_is_answered_in_the_words_of_the_command_line(
    client: TestClient, tmp_path: Path
) -> None:
    wrong = sweep(space={"dropout": {"low": 0.9, "high": 0.1}}, training={"epochs": "many"}, sead=1)
    file = tmp_path / "wrong.yaml"
    file.write_text(json.dumps(wrong))
    with pytest.raises(Exception, match="dropout") as caught:
        spec.load(file)

    document = problem(client.post("/sweeps", json=wrong), 422)

    assert document["detail"] == str(caught.value)
    assert {mistake["path"] for mistake in document["mistakes"]} == {"space.dropout", "training.epochs", "sead"}
    assert client.get("/sweeps").json() == []


def test_sweeps_are_listed_by_pages(client: TestClient, home: LocalStore) -> None:
    for name in ("a", "b", "c"):
        home.submit(sweep(name))
    home.stop("b")

    page = client.get("/sweeps?limit=2")
    assert [item["name"] for item in page.json()] == ["a", "b"]
    assert page.headers["x-total-count"] == "3"
    assert page.headers["link"] == '</sweeps?limit=2&offset=2>; rel="next"'
    following = client.get("/sweeps?limit=2&offset=2")
    assert [item["name"] for item in following.json()] == ["c"]
    assert "link" not in following.headers
    assert [item["name"] for item in client.get("/sweeps?state=STOPPED").json()] == ["b"]


def test_a_sweep_is_stopped_resumed_and_deleted(client: TestClient) -> None:
    client.post("/sweeps", json=sweep())

    assert client.post("/sweeps/pretend/stop").json() == {"name": "pretend", "is_stopping": True}
    assert client.get("/sweeps/pretend").json()["state"] == "STOPPED"
    assert client.post("/sweeps/pretend/resume").json()["state"] == "QUEUED"
    assert client.delete("/sweeps/pretend").json() == {"name": "pretend", "is_gone": True}
    problem(client.get("/sweeps/pretend"), 404)


def test_a_sweep_that_somebody_runs_is_neither_deleted_nor_resumed_with_another_budget(
    client: TestClient, home: LocalStore
) -> None:
    client.post("/sweeps", json=sweep())
    home.ledger.claim(owner="another-host:1")

    assert "is being run by process 1" in problem(client.delete("/sweeps/pretend"), 409)["detail"]
    problem(client.post("/sweeps", json=sweep(budget={"trials": 99})), 409)
    assert client.post("/sweeps/pretend/stop").json()["is_stopping"] is True


def test_a_service_that_has_watched_a_silent_holder_for_a_whole_lease_lets_its_sweep_go(
    settings: Settings, home: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.service.state.LOOK_SECONDS", 0.02)
    home.submit(sweep())
    home.ledger.claim(owner="another-host:1")
    app = create_app(settings, Limits(), ())
    with TestClient(app, base_url=LOCAL) as client:
        assert client.get("/sweeps/pretend").json()["state"] == "RUNNING"
        monkeypatch.setattr("dnnsweep.ledger.watch.LEASE_SECONDS", 0.1)
        silences = app.state.service.store.ledger._watch._silences
        assert wait_until(lambda: max(silence.seconds for silence in silences.values()) >= 0.1)  # no request looks

        assert client.get("/sweeps/pretend").json()["state"] == "QUEUED"
        assert client.delete("/sweeps/pretend").status_code == 200


def test_what_the_operator_does_not_allow_is_neither_submitted_nor_resumed(
    settings: Settings, home: LocalStore
) -> None:
    home.submit(sweep("mine", network={"builder": "python:nets:build"}, objective={"metric": "val_loss"}))
    home.stop("mine")
    with TestClient(create_app(settings, Limits(max_trials=10), ()), base_url=LOCAL) as client:
        document = problem(client.post("/sweeps", json=sweep(dataset={"source": "npz:/etc/passwd"})), 422)
        assert [mistake["path"] for mistake in document["mistakes"]] == ["dataset.source", "budget.trials"]
        document = problem(client.post("/sweeps/mine/resume"), 422)
        assert "DNNSWEEP_ALLOWED_PYTHON" in document["detail"]
        assert client.get("/sweeps/mine").json()["state"] == "STOPPED"


# -- trials ---------------------------------------------------------------------------------------------------------


def test_bodies_are_what_the_commands_print(
    client: TestClient, settings: Settings, home: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(home)
    monkeypatch.setenv("DNNSWEEP_DATABASE_URL", settings.database_url)
    monkeypatch.delenv("DNNSWEEP_API_URL", raising=False)

    def printed(*words: str) -> Any:
        done = CliRunner().invoke(commands, [*words, "--json", "--home", str(settings.home)])
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    assert client.get("/sweeps").json() == printed("list")
    assert client.get("/sweeps/pretend").json() == printed("show", "pretend")
    assert client.get("/sweeps/pretend/trials").json() == printed("trials", "pretend")
    assert client.get("/sweeps/pretend/best").json() == printed("best", "pretend")
    where = "dropout < 0.25"
    found = client.get("/sweeps/pretend/best", params={"top": 2, "where": where}).json()
    assert found == printed("best", "pretend", "--top", "2", "--where", where)
    events = client.get("/sweeps/pretend/events", headers={"Accept": "application/json"}).json()
    assert events == printed("show", "pretend", "--events")


def test_trials_are_ordered_chosen_and_paged(client: TestClient, home: LocalStore) -> None:
    trained(home)

    page = client.get("/sweeps/pretend/trials", params={"order": "-value", "limit": 2, "where": "dropout < 0.35"})

    assert [trial["number"] for trial in page.json()] == [3, 2]
    assert page.headers["x-total-count"] == "4"
    following = client.get(page.headers["link"].partition(">")[0].removeprefix("<"))
    assert [trial["number"] for trial in following.json()] == [1, 0]
    assert "did you mean value" in problem(client.get("/sweeps/pretend/trials?order=valu"), 422)["detail"]
    assert "unknown field x" in problem(client.get("/sweeps/pretend/trials?where=x<1"), 422)["detail"]


def test_a_trial_comes_with_its_curve(client: TestClient, home: LocalStore) -> None:
    trained(home)

    trial = client.get("/sweeps/pretend/trials/3").json()

    curve = trial.pop("curve")
    assert trial == home.trial("pretend", 3).to_json()
    assert curve == {"ended_at": [1000], "series": [{"metric": "val_loss", "layer": None, "values": [0.5]}]}


def test_the_best_model_is_sent(client: TestClient, home: LocalStore, settings: Settings) -> None:
    trained(home)
    problem(client.get("/sweeps/pretend/model"), 404)
    with home.ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE trials SET model_path = 'trial-4.keras' WHERE number = 4")
    folder = settings.models("pretend") / "best"
    folder.mkdir(parents=True)
    (folder / "trial-4.keras").write_bytes(b"weights")

    got = client.get("/sweeps/pretend/model")
    assert (got.content, got.headers["content-length"]) == (b"weights", "7")
    assert "pretend-trial-4.keras" in client.get("/sweeps/pretend/model?trial=4").headers["content-disposition"]
    problem(client.get("/sweeps/pretend/model?trial=3"), 404)


@pytest.mark.parametrize("linked", ["pretend/best/trial-4.keras", "pretend/best", "pretend"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after it was found"])
def test_a_link_in_place_of_a_model_is_not_followed(
    client: TestClient,
    home: LocalStore,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    linked: str,
    is_late: bool,
) -> None:
    trained(home)
    with home.ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE trials SET model_path = 'trial-4.keras' WHERE number = 4")
    elsewhere = settings.home / "elsewhere"
    for models, content in ((settings.models("pretend").parent, b"weights"), (elsewhere, b"secret")):
        (models / "pretend" / "best").mkdir(parents=True)
        (models / "pretend" / "best" / "trial-4.keras").write_bytes(content)
    path, open_part = settings.models("pretend").parent / linked, os.open

    def put_link() -> None:
        path.rename(settings.home / "moved")
        path.symlink_to(elsewhere / linked)

    def swap(*arguments: Any, **options: Any) -> int:
        if not path.is_symlink():
            put_link()
        return open_part(*arguments, **options)

    assert client.get("/sweeps/pretend/model").content == b"weights"
    if is_late:
        monkeypatch.setattr(os, "open", swap)
    else:
        put_link()
    refused = client.get("/sweeps/pretend/model")

    assert "the model of trial 4 cannot be read" in problem(refused, 404)["detail"]
    assert "secret" not in refused.text


# -- events ---------------------------------------------------------------------------------------------------------


def messages(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return server-sent events as kinds and data."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines())
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]) | {"id": int(fields.get("id", -1))}))
    return found


def test_events_come_as_they_happen_until_the_sweep_has_ended(settings: Settings, home: LocalStore) -> None:
    home.submit(sweep(budget={"trials": 1}))
    claim = home.ledger.claim()
    assert claim is not None
    lease, heard = claim[0], list[str]()
    with serving(settings) as url, httpx.stream("GET", f"{url}/sweeps/pretend/events", timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        parts = answer.iter_text()
        while "leased" not in "".join(heard):
            heard.append(next(parts))
        write(lease).advance([], [Asked(Suggestion(0, {"dropout": 0.1}, 0), {})], {})
        while '"kind":"created","attempt":null,"detail":null' not in "".join(heard).partition("leased")[2]:
            heard.append(next(parts))
        curve = Curve((Series("val_loss", (0.5,)),), (1000,))
        write(lease).finish(TrialResult(0, 1, Reason.COMPLETED, curve, 1, 1.0), (0.75,), {"val_loss": 0.5})
        lease.end(SweepState.COMPLETE)
        heard += list(parts)

    found = messages("".join(heard))
    told = [data for kind, data in found if kind == "event"]
    assert [item["kind"] for item in told] == ["created", "queued", "leased", "created", "ended", "ended"]
    assert [item["id"] for item in told] == sorted({item["id"] for item in told})
    last = [data for kind, data in found if kind == "progress"][-1]
    assert (last["n_finished"], last["best_value"], last["state"]) == (1, 0.75, "COMPLETE")
    assert found[-1][0] == "end"
    assert found[-1][1]["state"] == "COMPLETE"


def test_a_reader_that_comes_back_hears_what_it_has_not_heard(client: TestClient, home: LocalStore) -> None:
    trained(home, n_trials=2)
    everything = [data for kind, data in messages(client.get("/sweeps/pretend/events").text) if kind == "event"]
    assert len(everything) > 5

    after = str(everything[3]["id"])
    rest = messages(client.get("/sweeps/pretend/events", headers={"Last-Event-ID": after}).text)
    assert [data for kind, data in rest if kind == "event"] == everything[4:]

    last = str(everything[-1]["id"])
    assert client.get("/sweeps/pretend/events", headers={"Last-Event-ID": last}).status_code == 204
    for odd in ("-1", "x", "9" * 30, "1e3"):
        heard = messages(client.get("/sweeps/pretend/events", headers={"Last-Event-ID": odd}).text)
        assert [data for kind, data in heard if kind == "event"] == everything


def test_a_reader_of_a_sweep_that_is_deleted_is_told_so(settings: Settings, home: LocalStore) -> None:
    home.submit(sweep())
    with serving(settings) as url, httpx.stream("GET", f"{url}/sweeps/pretend/events", timeout=60) as answer:
        parts = answer.iter_text()
        heard = [next(parts)]
        home.delete("pretend")
        heard += list(parts)

    assert messages("".join(heard))[-1][0] == "deleted"


def test_silence_is_broken_by_signs_of_life(
    settings: Settings, home: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.service.streams.HEARTBEAT_SECONDS", 0.0)
    home.submit(sweep())
    with serving(settings) as url, httpx.stream("GET", f"{url}/sweeps/pretend/events", timeout=60) as answer:
        parts, heard = answer.iter_text(), ""
        while ": alive" not in heard:
            heard += next(parts)


def test_all_readers_of_a_sweep_share_what_is_read(
    settings: Settings, home: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.submit(sweep())
    pollers = list[Poller]()

    def count(*given: Any) -> Poller:
        pollers.append(Poller(*given))
        return pollers[-1]

    monkeypatch.setattr("dnnsweep.service.streams.Poller", count)
    with serving(settings) as url, ExitStack() as stack:
        readers = [
            stack.enter_context(httpx.stream("GET", f"{url}/sweeps/pretend/events", timeout=60)).iter_text()
            for _ in range(4)
        ]
        heard = [[next(reader)] for reader in readers]
        assert wait_until(lambda: [poller.n_readers for poller in pollers] == [4])
        home.stop("pretend")
        for texts, reader in zip(heard, readers, strict=True):
            texts += list(reader)

    kinds = [[kind for kind, _ in messages("".join(texts))] for texts in heard]
    assert kinds[0][-2:] == ["progress", "end"]
    assert kinds == [kinds[0]] * 4
    assert len(pollers) == 1


def test_one_token_does_not_take_all_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.service.quotas.REFUSAL_SECONDS", 0.0)
    with LocalStore.opened(settings_of(tmp_path), create=True) as home:
        home.submit(sweep())

    def follow(url: str, token: Token) -> Any:
        headers = {"Authorization": f"Bearer {token.secret}"}
        return httpx.stream("GET", f"{url}/sweeps/pretend/events", headers=headers, timeout=60)

    with serving(settings_of(tmp_path), [READER, WRITER]) as url, ExitStack() as stack:
        followed = [stack.enter_context(follow(url, READER)) for _ in range(MAX_STREAMS_OF_TOKEN)]
        assert {answer.status_code for answer in followed} == {200}
        with follow(url, READER) as refused:
            refused.read()
            assert "20 readers of one token" in problem(refused, 429)["detail"]
            assert int(refused.headers["Retry-After"]) > 0
        assert stack.enter_context(follow(url, WRITER)).status_code == 200
        followed[0].close()

        def is_free() -> bool:
            with follow(url, READER) as answer:
                return bool(answer.status_code == 200)

        assert wait_until(is_free)


# -- whom it lets in ------------------------------------------------------------------------------------------------

WRITES = [
    ("POST", "/sweeps"),
    ("POST", "/sweeps/pretend/stop"),
    ("POST", "/sweeps/pretend/resume"),
    ("DELETE", "/sweeps/pretend"),
]
READS = [
    ("GET", "/sweeps"),
    ("GET", "/sweeps/pretend"),
    ("GET", "/sweeps/pretend/trials"),
    ("GET", "/sweeps/pretend/trials/0"),
    ("GET", "/sweeps/pretend/best"),
    ("GET", "/sweeps/pretend/model"),
    ("GET", "/sweeps/pretend/events"),
    ("GET", "/metrics"),
]


READ_PATHS = [path for _, path in READS]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(settings_of(tmp_path), Limits(), [WRITER, READER]), base_url=LOCAL) as made:
        yield made


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES])
@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        f"Bearer {WRITER.secret[:-1]}",
        f"Bearer {WRITER.secret}x",
        f"Basic {WRITER.secret}",
        "Bearer \u00e9\u00e8".encode(),
        f"Bearer {WRITER.name}",
        f"Bearer {'a' * 5000}",
    ],
)
def test_nobody_comes_in_without_a_token(guarded: TestClient, method: str, path: str, header: Any) -> None:
    headers = {} if header is None else {"Authorization": header}

    answer = guarded.request(method, path, headers=headers, content=b"name: a")

    document = problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert WRITER.secret not in document["detail"]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_token_for_reading_changes_nothing(guarded: TestClient, method: str, path: str) -> None:
    answer = guarded.request(method, path, headers={"Authorization": f"Bearer {READER.secret}"}, json=sweep())

    assert "wall may only read" in problem(answer, 403)["detail"]


@pytest.mark.parametrize(("method", "path"), READS)
def test_a_token_for_reading_reads(guarded: TestClient, method: str, path: str) -> None:
    answer = guarded.request(method, path, headers={"Authorization": f"Bearer {READER.secret}"})

    assert answer.status_code == (404 if "pretend" in path else 200)  # there is no sweep yet


def test_whether_it_is_there_needs_no_token(guarded: TestClient) -> None:
    assert guarded.get("/healthz").json() == {"status": "ok"}
    assert guarded.get("/readyz").json() == {"status": "ready"}


def test_it_is_not_ready_while_its_database_is_away(tmp_path: Path) -> None:
    away = settings_of(tmp_path, "postgresql://127.0.0.1:1/x?user=u&password=s3cret")
    with TestClient(create_app(away, Limits(), ()), base_url=LOCAL) as client:
        assert client.get("/healthz").status_code == 200
        for path in ("/readyz", "/sweeps", "/metrics", "/sweeps/a/events"):
            answer = client.get(path)
            problem(answer, 503)
            assert "s3cret" not in answer.text
        detail = client.get("/readyz").json()["detail"]
        assert detail == "the ledger cannot be read; see the service's log for the reason"


def test_an_address_in_an_error_has_no_query() -> None:
    for secret in ("u:s3cret@127.0.0.1:1/x", "127.0.0.1:1/x?user=u&password=s3cret", "127.0.0.1:1/x?passfile=s3cret"):
        with pytest.raises(LedgerError, match="check postgresql") as caught:
            Ledger.open(f"postgresql://{secret}", create=True)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a:b:rw", [("a", "b", True)]),
        (" a:b:rw , c:d:ro,", [("a", "b", True), ("c", "d", False)]),
        ("a:with:colons:ro", [("a", "with:colons", False)]),
    ],
)
def test_tokens_are_read_from_the_environment(text: str, shown: list[tuple[str, str, bool]]) -> None:
    found = tokens({"DNNSWEEP_TOKENS": text})

    assert [(token.name, token.secret, token.may_write) for token in found] == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3cret",
        "a:s3cret",
        "a:s3cret:wr",
        "",
        " , ",
        ":s3cret:rw",
        "a::rw",
        "a:s3cret:rw,s3cret",
        "a:s3 cret:rw",
        "a:s3cret\u20ac:ro",
    ],
)
def test_tokens_written_otherwise_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SettingsError, match="NAME:SECRET:rw") as caught:
        tokens({"DNNSWEEP_TOKENS": text})

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "127.0.0.1.example.org"])  # noqa: S104
def test_no_other_machine_is_served_without_tokens(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DNNSWEEP_TOKENS", raising=False)

    assert not is_loopback(host)
    with pytest.raises(SettingsError, match="set DNNSWEEP_TOKENS") as caught:
        serve(host, 8000)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_is(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 200),
        ("GET", {"Host": "localhost:8000"}, 200),
        ("GET", {"Host": "[::1]:8000"}, 200),
        ("GET", {"Host": "rebound.example.org"}, 403),
        ("GET", {"Host": "127.0.0.1.example.org"}, 403),
        ("GET", {"Host": ""}, 403),
        ("POST", {"Origin": "http://127.0.0.1:8000"}, 201),
        ("POST", {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}, 201),
        ("POST", {"Sec-Fetch-Site": "none"}, 201),
        ("POST", {"Host": "localhost", "Origin": "http://localhost:80"}, 201),
        ("POST", {"Origin": "http://localhost:3000"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:3000"}, 403),
        ("POST", {"Origin": "http://127.0.0.1"}, 403),
        ("POST", {"Origin": "file://127.0.0.1:8000"}, 403),
        ("POST", {"Origin": "http://127.0.0.1:x"}, 403),
        ("POST", {"Origin": ""}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Origin": "https://example.org"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Host": "rebound.example.org", "Origin": "http://rebound.example.org"}, 403),
    ],
)
def test_without_tokens_pages_of_other_sites_are_kept_out(
    client: TestClient, method: str, headers: dict[str, str], status: int
) -> None:
    assert client.request(method, "/sweeps", headers=headers, json=sweep()).status_code == status


# -- what it withstands ---------------------------------------------------------------------------------------------

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BODIES: dict[str, tuple[str, bytes, int]] = {
    "a bomb of aliases": ("application/yaml", BOMB.encode(), 422),
    "an alias": ("application/yaml", b"name: &a b\ndescription: *a", 422),
    "a tag": ("application/yaml", b"!!python/object/apply:os.system ['true']", 422),
    "deep yaml": ("application/yaml", b"[" * 5000, 422),
    "deep json": ("application/json", b"[" * 100_000, 422),
    "deep mapping": ("application/json", b'{"a":' * 30_000, 422),
    "half of json": ("application/json", b'{"name": "a"', 422),
    "no text": ("application/json", b"\xff\xfe\x00", 422),
    "nothing": ("application/json", b"", 422),
    "a number": ("application/json", b"1", 422),
    "null": ("application/yaml", b"", 422),
    "a key twice": ("application/json", b'{"name": "a", "name": "b", "dataset": {"source": "sklearn:iris"}}', 422),
    "NaN": ("application/json", b'{"name":"a","dataset":{"source":"sklearn:iris"},"budget":{"seconds":NaN}}', 422),
    "infinity": ("application/json", b'{"name":"a","dataset":{"source":"sklearn:iris"},"seed":1e999}', 422),
    "a giant": ("application/json", b'{"name":"a","dataset":{"source":"sklearn:iris"},"seed":%s}' % (b"9" * 5000), 422),
    "a large number": (
        "application/json",
        b'{"name":"a","dataset":{"source":"sklearn:iris"},"budget":{"trials":%s}}' % (b"9" * 900),
        422,
    ),
    "half a surrogate": (
        "application/json",
        b'{"name":"a","description":"\\ud800","dataset":{"source":"sklearn:iris"}}',
        422,
    ),
    "half a surrogate as a key twice": ("application/json", b'{"\\ud800":1,"\\ud800":2}', 422),
    "a long key twice": ("application/json", b'{"%s":1,"%s":2}' % (b"a" * 90_000, b"a" * 90_000), 422),
    "many keys of long names": (
        "application/json",
        json.dumps({"space": {f"{n}{'a' * 50}": {f"{n}{'a' * 50}": 1} for n in range(900)}}).encode(),
        422,
    ),
    "more yaml": ("application/yaml", b" " * (MAX_BYTES + 1), 413),
    "NUL": ("application/json", b'{"name":"a","description":"\\u0000","dataset":{"source":"sklearn:iris"}}', 422),
    "too many values": ("application/json", json.dumps({"a": [0] * 20_000}).encode(), 422),
    "many lines": ("application/yaml", b"a: 1\n" * 30_000, 422),
    "blanks": ("application/json", b" " * MAX_BYTES, 422),
    "more": ("application/json", b" " * (MAX_BYTES + 1), 413),
    "another language": ("text/html", b"<p>", 415),
    "a form": ("application/x-www-form-urlencoded", b"name=a", 415),
    "files": ("multipart/form-data; boundary=x", b"--x--", 415),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_a_problem_and_stores_nothing(client: TestClient, name: str) -> None:
    kind, content, status = BODIES[name]

    document = problem(client.post("/sweeps", content=content, headers={"Content-Type": kind}), status)

    assert len(json.dumps(document)) < 30_000
    assert client.get("/sweeps").json() == []


def test_of_many_mistakes_fifty_are_answered_and_how_many_more_there_are(client: TestClient) -> None:
    document = problem(client.post("/sweeps", json=sweep() | {f"wrong{number}": 1 for number in range(70)}), 422)

    assert len(document["mistakes"]) == 51
    assert document["detail"].splitlines()[-1] == "sweep file: has 20 more mistakes"


def test_a_sender_that_goes_away_in_its_body_is_no_failure(client: TestClient) -> None:
    statuses = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/sweeps", "query_string": b"", "headers": headers}
    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]

    assert statuses[0] == 400


def test_a_body_that_does_not_come_in_time_is_given_up(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.service.bodies.BODY_SECONDS", 0.01)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0 if not sent else 3600)
        sent.append(b"{")
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/sweeps", "query_string": b"", "headers": headers}
    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]

    assert sent[1]["status"] == 408
    assert (b"connection", b"close") in sent[1]["headers"]
    assert b"within 0.01 seconds, got 1 bytes" in sent[2]["body"]


def test_a_body_in_pieces_is_read_no_further_than_the_limit(client: TestClient) -> None:
    read = []

    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            read.append(1)
            yield b" " * 10_000

    answer = client.post("/sweeps", content=pieces(), headers={"Content-Type": "application/json"})

    problem(answer, 413)


def test_a_body_said_to_be_large_is_not_read(client: TestClient) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(10**12)}

    problem(client.post("/sweeps", content=b"{}", headers=headers), 413)


NAMES = [
    "..",
    "..%2f..%2fetc%2fpasswd",
    "a%2fb",
    "%2e%2e",
    "%00",
    "a%00b",
    "%F0%9F%98%80",
    "%ff%fe",
    "na%C3%AFve",
    "a" * 101,
    "a" * 5000,
    "a%0d%0ab",
    "'%3B%20DROP%20TABLE%20sweeps%3B--",
    "%25s",
    "a b",
    "-" * 100,
]
PLACES = ["", "/trials", "/trials/0", "/best", "/model", "/events"]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_not_found(client: TestClient, name: str) -> None:
    for place in PLACES:
        assert client.get(f"/sweeps/{name}{place}").status_code in (200, 404), place
    assert client.delete(f"/sweeps/{name}").status_code in (404, 405)
    assert client.post(f"/sweeps/{name}/stop").status_code == 404


QUERIES = [
    "trials/-1",
    "trials/1e3",
    f"trials/{2**31}",
    f"trials/{10**30}",
    "trials/x",
    "trials?limit=0",
    "trials?limit=-1",
    "trials?limit=1001",
    f"trials?limit={10**40}",
    f"trials?offset={10**40}",
    "trials?offset=-1",
    "trials?order=",
    "trials?order=--value",
    "trials?order=value;drop",
    "trials?order=%00",
    "trials?where=",
    "trials?where=%00",
    "trials?where=" + "(" * 1000,
    "trials?where=" + "not%20" * 300 + "batch_norm",
    f"trials?where=number<{10**30}",
    f"trials?where=value<{'9' * 400}.0",
    "trials?where=__import__('os').system('true')",
    "trials?where=optimizer=='%ED%A0%80'",
    "trials?where=" + "a" * 3000,
    "best?top=0",
    f"best?top={10**40}",
    "best?top=1.5",
    "model?trial=-1",
    f"model?trial={10**40}",
]


@pytest.mark.parametrize("query", QUERIES)
def test_odd_queries_are_problems(client: TestClient, home: LocalStore, query: str) -> None:
    home.submit(sweep())

    answer = client.get(f"/sweeps/pretend/{query}")

    problem(answer, 422)


def test_large_but_possible_queries_are_answered(client: TestClient, home: LocalStore) -> None:
    trained(home)

    lists = f"where=number in [1,2.5,None,{2**62}] and not (reason in ['diverged',None])"
    for query in (
        lists,
        "offset=1000000000",
        f"where=number<{2**62}",
        "where=value>-1e300",
        "where=dropout in [0.1,2,None]",
    ):
        assert client.get(f"/sweeps/pretend/trials?{query}").status_code == 200, query
    assert len(client.get(f"/sweeps/pretend/best?top={2**31 - 1}").json()) == 5


def test_unknown_routes_and_methods_are_problems(client: TestClient) -> None:
    problem(client.get("/nothing"), 404)
    problem(client.put("/sweeps"), 405)
    problem(client.get("/sweeps/", follow_redirects=False), 404)
    problem(client.get("/sweeps?state=NONSENSE"), 422)


@pytest.mark.parametrize("path", [*READ_PATHS, "/healthz", "/readyz", "/openapi.json", "/nothing", "/sweeps/other"])
def test_head_answers_what_get_does_without_the_body(client: TestClient, home: LocalStore, path: str) -> None:
    trained(home)
    if path.endswith("/model"):
        return  # it has none, which another test looks at

    head, get = client.head(path), client.get(path)

    assert (head.status_code, head.content) == (get.status_code, b"")
    names = ["content-type", "x-total-count", "cache-control"]
    names += [] if path == "/metrics" else ["content-length"]  # ages grow
    assert [head.headers.get(name) for name in names] == [get.headers.get(name) for name in names]


def test_head_is_refused_where_get_is(client: TestClient, guarded: TestClient) -> None:
    assert client.head("/sweeps/pretend/stop").status_code == 405
    assert guarded.head("/sweeps").status_code == 401
    assert guarded.head("/sweeps", headers={"Authorization": f"Bearer {READER.secret}"}).status_code == 200


def test_whoever_asks_whether_it_is_ready_reads_the_ledger_once_a_second(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, read = FakeClock(), list[int]()
    monkeypatch.setattr("dnnsweep.service.readiness.time.monotonic", clock)
    monkeypatch.setattr(LocalStore, "sweep_page", lambda _, limit: read.append(limit))

    for _ in range(5):
        assert client.get("/readyz").status_code == 200
    assert read == [1]
    clock.advance(1.0)
    client.get("/readyz")
    assert read == [1, 1]


def test_many_requests_without_a_token_are_refused_and_one_with_a_token_is_not(
    guarded: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.service.quotas.REFUSAL_SECONDS", 0.0)
    monkeypatch.setattr("dnnsweep.service.quotas.FAILURES_A_SECOND", 1e-6)

    statuses = [guarded.get("/sweeps", headers={"Authorization": "Bearer guess"}).status_code for _ in range(25)]

    assert statuses == [401] * MAX_FAILURES + [429] * 5
    assert guarded.get("/sweeps", headers={"Authorization": f"Bearer {READER.secret}"}).status_code == 200
    assert guarded.get("/healthz").status_code == 200


def test_a_token_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.service.quotas.REFUSAL_SECONDS", 0.0)
    monkeypatch.setattr("dnnsweep.service.quotas.WAIT_SECONDS", 0.0)
    app = create_app(settings_of(tmp_path), Limits(), [READER, WRITER])
    app.state.service.quotas = Quotas(1, FakeClock())
    with TestClient(app, base_url=LOCAL) as client:
        reader, writer = ({"Authorization": f"Bearer {token.secret}"} for token in (READER, WRITER))
        answers = [client.get("/sweeps", headers=reader) for _ in range(30)]
        assert answers[0].status_code == 200
        problem(answers[-1], 429)
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert client.get("/sweeps", headers=writer).status_code == 200


def test_an_error_that_nobody_thought_of_says_nothing_of_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("s3cret")

    monkeypatch.setattr(LocalStore, "sweep", broken)
    with TestClient(create_app(settings, Limits(), ()), base_url=LOCAL, raise_server_exceptions=False) as client:
        answer = client.get("/sweeps/a")

    assert problem(answer, 500)["detail"] == "the service failed; see its log for the reason"


def test_fifty_clients_at_once_submit_and_read(settings: Settings) -> None:
    failures: list[str] = []

    def visit(url: str, index: int) -> None:
        with httpx.Client(base_url=url, timeout=60) as visitor:
            answers = [
                visitor.post("/sweeps", json=sweep("shared")),
                visitor.post("/sweeps", json=sweep(f"own-{index}")),
                visitor.get("/sweeps?limit=1000"),
                visitor.get(f"/sweeps/own-{index}"),
                visitor.get("/metrics"),
                visitor.delete(f"/sweeps/own-{index}") if index % 2 else visitor.get("/sweeps/shared"),
            ]
        failures.extend(answer.text for answer in answers if answer.status_code >= 300)

    with serving(settings) as url:
        threads = [threading.Thread(target=visit, args=(url, index)) for index in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = [item["name"] for item in httpx.get(f"{url}/sweeps?limit=1000").json()]

    assert failures == []
    assert sorted(names) == sorted(["shared", *(f"own-{index}" for index in range(0, 50, 2))])


# -- what it says of itself -----------------------------------------------------------------------------------------


def test_figures_are_those_of_the_ledger(client: TestClient, home: LocalStore) -> None:
    trained(home)
    home.submit(sweep("next"))

    figures = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#"))

    assert figures["dnnsweep_queue_length"] == "1.0"
    assert figures['dnnsweep_trials{state="COMPLETE"}'] == "5.0"
    assert figures["dnnsweep_ended_trials"] == "5.0"
    assert float(figures["dnnsweep_trials_per_second"]) == pytest.approx(5 / 60)
    assert figures["dnnsweep_outbox_entries"] == str(float(home.ledger.outbox.count()))
    assert float(figures["dnnsweep_outbox_age_seconds"]) > 0
    assert figures["dnnsweep_lease_age_seconds"] == "0.0"


def test_the_document_describes_sweeps_and_trials_as_they_are_sent(client: TestClient, home: LocalStore) -> None:
    pair = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]
    trained(home)
    home.submit(sweep("pair", objective=pair))
    schemas = client.get("/openapi.json").json()["components"]["schemas"]

    for kind, path in (("Sweep", "/sweeps/pair"), ("Sweep", "/sweeps/pretend"), ("Trial", "/sweeps/pretend/trials/0")):
        sent = {name: part for name, part in client.get(path).json().items() if name != "curve"}
        assert set(sent) == set(schemas[kind]["properties"])
        whole = {**schemas[kind], "components": {"schemas": schemas}}
        jsonschema.Draft202012Validator(whole).validate(sent)


def test_the_description_is_complete_and_its_examples_are_right(client: TestClient, home: LocalStore) -> None:
    document = client.get("/openapi.json").json()

    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert routes >= {
        ("POST", "/sweeps"),
        ("GET", "/sweeps"),
        ("GET", "/sweeps/{name}"),
        ("DELETE", "/sweeps/{name}"),
        ("POST", "/sweeps/{name}/stop"),
        ("POST", "/sweeps/{name}/resume"),
        ("GET", "/sweeps/{name}/trials"),
        ("GET", "/sweeps/{name}/trials/{number}"),
        ("GET", "/sweeps/{name}/best"),
        ("GET", "/sweeps/{name}/events"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }
    body = document["paths"]["/sweeps"]["post"]["requestBody"]["content"]
    for kind, part in body.items():
        example = part["example"]
        content = example if isinstance(example, str) else json.dumps(example)
        assert client.post("/sweeps", content=content, headers={"Content-Type": kind}).status_code in (201, 409)
    home.stop("digits")
    trained(home, "other")
    examples: dict[str, Callable[[], Any]] = {
        "/sweeps/{name}": home.sweep("other").to_json,
        "/sweeps/{name}/best": home.best("other")[0].to_json,
    }
    for path, real in examples.items():
        example = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
        assert set(example[0] if isinstance(example, list) else example) <= set(real())


def test_logs_hold_no_secret_and_a_reader_does_not_disturb_the_end(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys
    import time

    environ = {**os.environ, "DNNSWEEP_HOME": str(tmp_path), "DNNSWEEP_TOKENS": f"anna:{WRITER.secret}:rw"}
    for name in ("DNNSWEEP_DATABASE_URL", "DNNSWEEP_API_URL"):
        environ.pop(name, None)
    port = str(postgres.free_port())
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "dnnsweep", "serve", "--port", port],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(process.kill)
        url, status = f"http://127.0.0.1:{port}", 0
        until = time.monotonic() + 60
        while status == 0 and time.monotonic() < until:
            try:
                status = httpx.get(f"{url}/healthz").status_code
            except httpx.TransportError:
                time.sleep(0.1)
        for secret in (WRITER.secret, f"{WRITER.secret}-almost"):
            httpx.get(f"{url}/sweeps", headers={"Authorization": f"Bearer {secret}"})
        known = {"Authorization": f"Bearer {WRITER.secret}"}
        httpx.post(f"{url}/sweeps", json=sweep(), headers=known)
        reader = stack.enter_context(httpx.stream("GET", f"{url}/sweeps/pretend/events", headers=known, timeout=60))
        next(reader.iter_text())
        process.terminate()
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "GET /sweeps" in err
    assert WRITER.secret not in out + err
    assert out == ""
    assert "Error" not in err
    assert "Traceback" not in err
