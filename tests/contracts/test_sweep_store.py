"""What a home and a service must both do: the service is in front of a home, and both are asked the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from serving import WRITER, serving, settings_of, sweep
from turns import write
from typer.testing import CliRunner

import dnnsweep
from dnnsweep.cli import app
from dnnsweep.errors import (
    DnnsweepError,
    ExportError,
    QueryError,
    ServiceError,
    SpecError,
    SweepConflictError,
    SweepNotFoundError,
)
from dnnsweep.ledger import Asked, Ledger, RepeatLease
from dnnsweep.records import Confirmed, Curve, Reason, Series, Suggestion, Sweep, SweepState, Trial, TrialResult
from dnnsweep.settings import ServiceAddress
from dnnsweep.spec import check
from dnnsweep.stores import SweepStore
from dnnsweep.stores.local import LocalStore
from dnnsweep.stores.remote import RemoteStore
from dnnsweep.stores.wire import decode_curve as decoded_curve
from dnnsweep.stores.wire import decode_record, encode_curve

SECRET = str(WRITER.secret)


#: What the repeats of one sweep say: trial 2 wins, and trial 5 has left the race.
ANSWER: dict[str, Any] = {
    "sweep": "half",
    "metric": "val_accuracy",
    "direction": "maximize",
    "kind": "confirmed",
    "n_trials": 5,
    "winner": {"number": 2, "params": {}, "label": "trial 2", "mean": 0.8, "interval": [0.7, 0.9], "n": 6},
    "candidates": [
        {"number": 2, "mean": 0.8, "interval": [0.7, 0.9], "n": 6, "is_live": True},
        {"number": None, "mean": 0.7, "interval": [0.6, 0.8], "n": 6, "is_live": True},
        {"number": 1, "mean": 0.7, "interval": None, "n": 6, "is_live": True},
        {"number": 5, "mean": 0.5, "interval": [0.4, 0.6], "n": 3, "is_live": False},
        {"number": 3, "mean": None, "interval": None, "n": 3, "is_live": False},
    ],
    "retrained": {"trial": 2, "params": {}, "n_epochs": 2, "model": "winner.keras", "is_chosen": False},
    "sentences": ["Trial 2 wins."],
    "done": {"confirm": {}},
}


def filled(home: LocalStore) -> None:
    """Put sweeps into a home: one that was half run, with curves, a failure and a model, and one that waits."""
    home.submit(sweep("half", budget={"trials": 8}, space={"dropout": {"low": 0.0, "high": 0.6}}))
    home.submit(sweep("waiting"))
    claim = home.ledger.claim()
    assert claim is not None
    lease, name = claim
    assert name == "half"
    for number in range(6):
        asked = Asked(Suggestion(number, {"dropout": number / 10, "hidden": [8, 4], "batch_norm": True}, number), {})
        write(lease).advance([], [asked], {})
        write(lease).start(number, 1)
        reason = Reason.DIVERGED if number == 4 else Reason.COMPLETED
        loss = math.nan if number == 4 else 0.5 - number / 100
        curve = Curve((Series("val_loss", (1.0, loss)), Series("gradient", (0.1, math.inf), "dense")), (10, 20))
        model = "trial-5.keras" if number == 5 else None
        best = None if reason is Reason.DIVERGED else 2
        result = TrialResult(number, 1, reason, curve, best, 0.25, model_path=model)
        write(lease).finish(result, None if best is None else (1 / 3 + number / 7,), {"val_loss": loss})
    write(lease).advance([], [Asked(Suggestion(6, {"dropout": 0.6, "hidden": [8, 4], "batch_norm": False}, 6), {})], {})
    RepeatLease(lease).store_answer(ANSWER)
    home.stop("half")
    lease.end(SweepState.STOPPED)
    fill_pair(home)
    folder = settings_of(home._settings.home).models("half") / "best"
    folder.mkdir(parents=True)
    (folder / "trial-5.keras").write_bytes(b"weights")
    (folder.parent / "retrained").mkdir()
    (folder.parent / "retrained" / "winner.keras").write_bytes(b"retrained weights")


def fill_pair(home: LocalStore) -> None:
    """Put a sweep of two objectives into a home: four trials, one of them beaten and one pruned."""
    home.submit(sweep("pair", objective=[{"metric": "val_accuracy"}, {"metric": "n_parameters"}], priority=5))
    claim = home.ledger.claim()
    assert claim is not None
    lease, name = claim
    assert name == "pair"
    for number, values in enumerate([(0.9, 300.0), (0.5, 100.0), (0.8, 400.0), None]):
        write(lease).advance([], [Asked(Suggestion(number, {"hidden": [8]}, number), {})], {})
        write(lease).start(number, 1)
        reason, best = (Reason.PRUNED, None) if values is None else (Reason.COMPLETED, 1)
        curve = Curve((Series("val_loss", (0.5,)),), (10,))
        write(lease).finish(TrialResult(number, 1, reason, curve, best, 0.25), values, {"val_loss": 0.5})
    lease.end(SweepState.INTERRUPTED)


@pytest.fixture(params=["home", "service"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SweepStore]:
    settings = settings_of(tmp_path)
    with ExitStack() as stack:
        home = stack.enter_context(LocalStore.opened(settings, create=True))
        filled(home)
        if request.param == "home":
            yield home
        else:
            yield RemoteStore(ServiceAddress(stack.enter_context(serving(settings, [WRITER])), SECRET))


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[LocalStore, RemoteStore]]:
    settings = settings_of(tmp_path)
    with LocalStore.opened(settings, create=True) as home, serving(settings, [WRITER]) as url:
        filled(home)
        yield home, RemoteStore(ServiceAddress(url, SECRET))


Ask = Callable[[SweepStore], Any]
QUESTIONS: dict[str, Ask] = {
    "sweeps": lambda place: place.sweeps(),
    "sweeps by state": lambda place: place.sweeps(SweepState.STOPPED),
    "sweep": lambda place: place.sweep("half"),
    "waiting sweep": lambda place: place.sweep("waiting"),
    "trials": lambda place: place.trials("half"),
    "no trials": lambda place: place.trials("waiting"),
    "trials where": lambda place: place.trials("half", "dropout > 0.15 and reason == 'completed'"),
    "trial": lambda place: place.trial("half", 4),
    "best": lambda place: place.best("half"),
    "best one": lambda place: place.best("half", 1),
    "best where": lambda place: place.best("half", 10, "dropout < 0.35 and hidden == [8, 4]"),
    "best in the race": lambda place: place.best("half", 2),
    "answer": lambda place: place.answer("half"),
    "sweep of two objectives": lambda place: place.sweep("pair"),
    "best of very many": lambda place: place.best("half", 2**31),
    "front": lambda place: place.best("pair"),
    "first of the front": lambda place: place.best("pair", 1),
    "front where": lambda place: place.best("pair", None, "value_2 > 100"),
    "curve": lambda place: repr(place.curve("half", 4)),  # NaN is not equal to itself
    "events": lambda place: place.events("half"),
    "newest trials": lambda place: place.trial_page("half", None, "-number", 3, 1),
    "best trials where": lambda place: place.trial_page("half", "dropout > 0.15", "-value", 2),
    "all trials by value": lambda place: place.trial_page("half", None, "value"),
    "newest events": lambda place: place.event_page("half", 4, 2),
    "all events, newest first": lambda place: place.event_page("half"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_service_answers_as_its_home_does(both: tuple[LocalStore, RemoteStore], question: str) -> None:
    home, service = both

    answer = QUESTIONS[question](service)

    assert answer == QUESTIONS[question](home)
    assert answer or question == "no trials"


def test_of_a_service_with_many_trials_none_is_missed(
    both: tuple[LocalStore, RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, service = both
    for size in (1, 2, 3, 6, 7, 8):
        monkeypatch.setattr("dnnsweep.stores.remote.PAGE", size)

        assert [trial.number for trial in service.trials("half")] == list(range(7))
        assert service.trial_page("half", None, "-number", 5, 1) == home.trial_page("half", None, "-number", 5, 1)
        assert service.event_page("half", 7, 3) == home.event_page("half", 7, 3)
        assert service.sweeps() == home.sweeps()


MISTAKES: dict[str, Ask] = {
    "no sweep": lambda place: place.sweep("nothing"),
    "no trials": lambda place: place.trials("nothing"),
    "no name": lambda place: place.sweep("a/b"),
    "no name to delete": lambda place: place.delete("a/b"),
    "no name with trials": lambda place: place.best("../half"),
    "long where": lambda place: place.trials("half", "dropout < 0.3" + " " * 3000),
    "no trial": lambda place: place.trial("half", 99),
    "no curve": lambda place: place.curve("half", 99),
    "wrong where": lambda place: place.best("half", 5, "dropuot < 0.3"),
    "wrong top": lambda place: place.best("half", 0),
    "beaten model": lambda place: place.model("half", 2),
    "no answer": lambda place: place.answer("waiting"),
    "answer of no sweep": lambda place: place.answer("nothing"),
    "no events": lambda place: place.events("nothing"),
    "no newest events": lambda place: place.event_page("nothing", 5),
    "no such order": lambda place: place.trial_page("half", None, "-size"),
    "stop": lambda place: place.stop("nothing"),
    "resume": lambda place: place.resume("nothing"),
    "delete": lambda place: place.delete("nothing"),
    "conflict": lambda place: place.submit(sweep("waiting", seed=1)),
    "wrong file": lambda place: place.submit(sweep("a b", training={"epochs": 0}, budgt={})),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_both_refuse_in_the_same_words(both: tuple[LocalStore, RemoteStore], mistake: str) -> None:
    told = []
    for place in both:
        with pytest.raises(DnnsweepError) as caught:
            MISTAKES[mistake](place)
        told.append((type(caught.value), caught.value.exit_code, str(caught.value)))

    assert told[0] == told[1]


def test_kinds_of_mistakes_are_those_of_the_command_line(place: SweepStore) -> None:
    with pytest.raises(SweepNotFoundError):
        place.sweep("nothing")
    with pytest.raises(QueryError):
        place.trials("half", "1")
    with pytest.raises(SpecError) as caught:
        MISTAKES["wrong file"](place)
    with pytest.raises(SweepConflictError, match="seed: was 0, is 1"):
        MISTAKES["conflict"](place)
    with pytest.raises(ExportError):
        place.model("half", 2)

    assert {mistake.path for mistake in caught.value.mistakes} >= {"name", "training.epochs", "budgt"}


def test_sweeps_are_submitted_stopped_resumed_and_deleted(place: SweepStore) -> None:
    made = place.submit(check(sweep("new", budget={"trials": 3}, priority=2)))
    assert (made.state, made.n_trials, made.spec["priority"]) == (SweepState.QUEUED, 3, 2)
    assert place.submit(sweep("new", budget={"trials": 3}, priority=2)) == made

    assert place.stop("new") is True
    assert place.stop("new") is False
    assert place.sweep("new").state is SweepState.STOPPED
    assert place.resume("new").state is SweepState.QUEUED
    assert place.delete("new") is True
    with pytest.raises(SweepNotFoundError):
        place.sweep("new")


def test_the_best_model_can_be_had(place: SweepStore, tmp_path: Path) -> None:
    assert place.model("half", 5, tmp_path).read_bytes() == b"weights"


def test_the_retrained_model_comes_before_that_of_the_best_trial(place: SweepStore, tmp_path: Path) -> None:
    file = place.retrained_model("half", tmp_path)

    assert file is not None
    assert file.read_bytes() == b"retrained weights"
    assert place.retrained_model("waiting", tmp_path) is None


def test_confirmed_trials_in_the_race_come_first_and_the_others_by_their_value(place: SweepStore) -> None:
    best = place.best("half", 10)

    assert [trial.number for trial in best] == [2, 1, 5, 3, 0]
    assert [trial.confirmed for trial in best] == [
        Confirmed(0.8, (0.7, 0.9), 6),
        Confirmed(0.7, None, 6),
        Confirmed(0.5, (0.4, 0.6), 3),
        None,
        None,
    ]
    assert place.trial("half", 5).confirmed == place.trials("half")[5].confirmed == best[2].confirmed


# -- records as JSON ------------------------------------------------------------------------------------------------


def test_records_come_back_from_json_as_they_were(both: tuple[LocalStore, RemoteStore]) -> None:
    import json

    home, _ = both
    for kind, items in ((Sweep, home.sweeps()), (Trial, [*home.trials("half"), *home.trials("pair")])):
        for item in items:
            assert decode_record(kind, json.loads(json.dumps(item.to_json()))) == item


def test_what_a_newer_service_adds_is_left_out_and_what_is_missing_is_said(
    both: tuple[LocalStore, RemoteStore],
) -> None:
    plain = both[0].sweep("half").to_json()

    assert decode_record(Sweep, {**plain, "later": 1}) == both[0].sweep("half")
    del plain["name"]
    with pytest.raises(ServiceError, match="upgrade whichever is older"):
        decode_record(Sweep, plain)
    with pytest.raises(ServiceError, match="must answer with a sweep"):
        decode_record(Sweep, [])


def test_curves_come_back_with_what_is_not_finite() -> None:
    curve = Curve((Series("loss", (1.0, math.nan, math.inf, -math.inf), "dense"),), (1, 2, 3, 4))

    assert repr(decoded_curve(encode_curve(curve))) == repr(curve)


# -- a service that is not there ------------------------------------------------------------------------------------


def test_a_service_that_cannot_be_reached_is_named_without_its_password() -> None:
    place = RemoteStore(ServiceAddress("http://user:s3cret@127.0.0.1:1", "t0ken"))

    with pytest.raises(ServiceError, match="cannot be reached") as caught:
        place.sweeps()

    assert "s3cret" not in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_a_wrong_token_is_a_message_and_no_traceback(tmp_path: Path) -> None:
    with serving(settings_of(tmp_path), [WRITER]) as url:
        for token in (None, "nonsense", "wr1te-s3cre"):
            with pytest.raises(ServiceError, match="an accepted token must be sent"):
                RemoteStore(ServiceAddress(url, token)).sweeps()


# -- the commands ---------------------------------------------------------------------------------------------------

COMMANDS = [
    "list",
    "list --json",
    "list --yaml",
    "list --csv",
    "show half",
    "show half --json",
    "show waiting",
    "show half --events",
    "show half --events --json",
    "trials half",
    "trials half --json",
    "trials half --top 2 --csv",
    "trials waiting",
    "best half",
    "best half --json --top 3",
    "best half --where dropout<0.35",
    "best half --yaml",
    "best waiting",
    "answer half",
    "answer half --json",
    "answer waiting",
    "export half",
    "export half --as yaml",
    "export half --as yaml --trial 2",
    "export half --trial 99",
    "export waiting",
    "show nothing",
    "best half --where dropuot<1",
    "stop half",
    "stop nothing",
    "delete nothing --yes",
    "delete a/b --yes",
    "show a/b",
    "best half --top 1001",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_the_same_of_a_service_as_of_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: str, command: str
) -> None:
    told = []
    for environ in ({"DNNSWEEP_HOME": shared.partition("|")[0]}, {"DNNSWEEP_API_URL": shared.partition("|")[2]}):
        for name in ("DNNSWEEP_HOME", "DNNSWEEP_API_URL", "DNNSWEEP_DATABASE_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**environ, "DNNSWEEP_TOKEN": SECRET}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, command.split())
        error = done.exception if isinstance(done.exception, DnnsweepError) else None
        told.append((done.stdout, done.stderr, done.exit_code, error and error.exit_code, str(error or "")))

    assert told[0] == told[1]
    assert any(told[0])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A home and the address of its service, with a bar between them."""
    settings = settings_of(tmp_path_factory.mktemp("shared"))
    with LocalStore.opened(settings, create=True) as home, serving(settings, [WRITER]) as url:
        filled(home)
        yield f"{settings.home}|{url}"


def test_a_home_that_is_named_is_asked_though_there_is_a_service(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNNSWEEP_API_URL", shared.partition("|")[2])
    monkeypatch.setenv("DNNSWEEP_TOKEN", SECRET)
    monkeypatch.delenv("DNNSWEEP_DATABASE_URL", raising=False)
    Ledger.open(settings_of(tmp_path).database_url, create=True).close()

    assert len(dnnsweep.sweeps()) == 3
    assert dnnsweep.sweeps(home=tmp_path) == []
    monkeypatch.setenv("DNNSWEEP_HOME", str(tmp_path))
    assert len(dnnsweep.sweeps()) == 3
    assert "half" not in CliRunner().invoke(app, ["list", "--home", str(tmp_path)]).stdout
    assert "half" in CliRunner().invoke(app, ["list"]).stdout
