from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import postgres
import pytest
from leases import SOMEBODY_ELSE, gone
from sqlalchemy import column, create_engine, insert, table
from turns import write

from dnnsweep.errors import (
    DnnsweepError,
    LeaseLostError,
    LedgerError,
    QueryError,
    SweepConflictError,
    SweepHeldError,
    SweepNotFoundError,
)
from dnnsweep.ledger import PARENT, Asked, Entry, Lease, Ledger, NewSweep, Told, Turn
from dnnsweep.ledger.outbox import DELETE, SYNC
from dnnsweep.ledger.turn import QUICK_SECONDS
from dnnsweep.query import parse
from dnnsweep.records import (
    Curve,
    DataSummary,
    Finding,
    FindingCode,
    Objective,
    Reason,
    Series,
    State,
    Suggestion,
    SweepState,
    Task,
    Trial,
    TrialResult,
)

DATA = DataSummary("f" * 64, Task.MULTICLASS, 64, ("a",), ("0", "1", "2"), 60, 20, 20)
SPEC = {
    "name": "digits",
    "dataset": {"source": "sklearn:digits"},
    "seed": 0,
    "budget": {"trials": 5},
}
NEW = NewSweep(
    name="digits",
    spec=SPEC,
    identity={"seed": 0},
    digest="d" * 64,
    data=DATA,
    window=4,
    objectives=(Objective("val_accuracy", "maximize"),),
)


def store(ledger: Ledger, new: NewSweep) -> None:
    ledger.begin(new).end(SweepState.INTERRUPTED)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'home' / 'dnnsweep.db'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = Ledger.open(url, create=True)
    store(opened, NEW)
    yield opened
    opened.close()


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    return ledger.begin(NEW)


def suggestion(number: int, **params: Any) -> Suggestion:
    return Suggestion(
        number, {"optimizer": "adam", "dropout": 0.1 * number, "hidden": [64, 32], **params}, 100 + number
    )


def ask(lease: Lease, n_trials: int, **params: Any) -> None:
    write(lease).advance([], [Asked(suggestion(number, **params), {}) for number in range(n_trials)], {})


def curve(*losses: float, first_time: int = 1000) -> Curve:
    return Curve((Series("val_loss", losses),), tuple(first_time + epoch for epoch in range(len(losses))))


def result(number: int, reason: Reason = Reason.COMPLETED, **changes: Any) -> TrialResult:
    ended = TrialResult(number, 1, reason, curve(1.0, 0.5), 2 if reason.state is State.COMPLETE else None, 1.5)
    return replace(ended, **changes)


def finish(lease: Lease, number: int, value: float, val_loss: float = 0.5) -> None:
    with lease.turn() as turn:
        finish_in(turn, number, value, val_loss)


def finish_in(turn: Turn, number: int, value: float, val_loss: float = 0.5) -> None:
    turn.start(number, 1)
    turn.finish(result(number), (value,), {"val_accuracy": value, "val_loss": val_loss})


def numbers(trials: Sequence[Trial]) -> list[int]:
    return [trial.number for trial in trials]


# -- opening --------------------------------------------------------------------------------------------------------


def test_reading_a_home_that_does_not_exist_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(SweepNotFoundError, match="there is no sweep yet"):
        Ledger.open(f"sqlite:///{tmp_path / 'home' / 'dnnsweep.db'}")

    assert list(tmp_path.iterdir()) == []


def test_a_ledger_keeps_its_identity_when_it_is_opened_again(url: str, ledger: Ledger) -> None:
    again = Ledger.open(url)

    assert again.id == ledger.id
    again.close()


def test_several_threads_may_create_the_same_ledger_at_once(url: str) -> None:
    ids: list[str] = []

    def create() -> None:
        opened = Ledger.open(url, create=True)
        ids.append(opened.id)
        opened.close()

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ids) == 6
    assert len(set(ids)) == 1


def test_the_version_in_the_code_is_the_newest_migration() -> None:
    from dnnsweep.ledger import migrations
    from dnnsweep.ledger.tables import HEAD

    assert migrations.head() == HEAD


def test_the_migrations_build_what_the_tables_say(ledger: Ledger) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from dnnsweep.ledger.tables import Base

    with ledger._database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_a_ledger_of_a_newer_version_is_refused(url: str, ledger: Ledger) -> None:
    with ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(LedgerError, match="upgrade dnnsweep"):
        Ledger.open(url, create=True)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dnnsweep.db").write_text("not a database " * 100)

    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger.open(f"sqlite:///{tmp_path / 'dnnsweep.db'}")


def test_an_address_that_is_no_database_is_refused() -> None:
    with pytest.raises(LedgerError, match="database URL"):
        Ledger.open("nonsense")


@pytest.mark.usefixtures("ledger")
def test_the_sqlite_file_is_in_wal_mode(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "home" / "dnnsweep.db") as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()


# -- sweeps ---------------------------------------------------------------------------------------------------------


def test_storing_the_same_sweep_again_takes_up_its_budget_only(ledger: Ledger) -> None:
    before = ledger.sweep("digits")

    store(ledger, replace(NEW, spec={**SPEC, "budget": {"trials": 9}}, window=99))

    after = ledger.sweep("digits")
    assert (after.id, after.window, after.n_trials) == (before.id, 4, 9)


def test_the_same_name_with_another_content_is_refused_with_the_difference(ledger: Ledger) -> None:
    from dnnsweep import spec

    other = spec.check({**SPEC, "seed": 1})

    with pytest.raises(SweepConflictError, match="seed: was 0, is 1"):
        store(ledger, replace(NEW, spec=other.to_json(), identity=other.identity(), digest=other.digest))


def test_changed_data_are_refused(ledger: Ledger) -> None:
    with pytest.raises(SweepConflictError, match="data at sklearn:digits have changed"):
        store(ledger, replace(NEW, data=replace(DATA, fingerprint="0" * 64)))


def test_unknown_sweeps_and_trials_are_named_in_the_error(ledger: Ledger) -> None:
    with pytest.raises(SweepNotFoundError, match="no sweep named wine"):
        ledger.sweep("wine")
    with pytest.raises(SweepNotFoundError, match="digits has no trial 7"):
        ledger.trial("digits", 7)


# -- leases ---------------------------------------------------------------------------------------------------------


def test_a_sweep_that_is_held_cannot_be_acquired(ledger: Ledger) -> None:
    ledger.begin(NEW, owner=SOMEBODY_ELSE)

    with pytest.raises(SweepHeldError, match="process 1 on another-host"):
        ledger.begin(NEW)


def test_a_lost_lease_can_be_taken_over_and_its_old_owner_writes_nothing_more(ledger: Ledger) -> None:
    old = ledger.begin(NEW, owner=gone())
    new = ledger.begin(NEW)
    ask(new, 1)

    for attempted in (
        old.renew,
        lambda: write(old).start(0, 1),
        lambda: finish(old, 0, 0.9),
        lambda: old.end(SweepState.COMPLETE),
    ):
        with pytest.raises(LeaseLostError):
            attempted()

    assert ledger.trial("digits", 0).state is State.QUEUED
    assert ledger.sweep("digits").state is SweepState.RUNNING


def test_the_lease_of_a_dead_process_of_this_machine_does_not_block(ledger: Ledger) -> None:
    import subprocess
    import sys

    from dnnsweep.ledger.owners import this_process

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    ledger.begin(NEW, owner=f"{this_process().rpartition(':')[0]}:{dead.pid}")

    assert ledger.begin(NEW).token == 3


def test_a_sweep_whose_process_is_gone_is_interrupted_not_running(ledger: Ledger) -> None:
    ledger.begin(NEW, owner=gone())

    assert ledger.sweep("digits").state is SweepState.INTERRUPTED


def test_a_sweep_stored_before_a_key_existed_can_still_be_run(ledger: Ledger) -> None:
    from dnnsweep import spec

    checked = spec.check({"name": "old", "dataset": {"source": "sklearn:iris"}})
    stored = {key: value for key, value in checked.to_json().items() if key != "pruner"}
    store(ledger, replace(NEW, name="old", spec=stored, identity={}, digest="of an older version"))

    ledger.check("old", checked.digest, checked.identity())


def test_a_file_without_space_is_refused_where_the_stored_sweep_searches_nothing(ledger: Ledger) -> None:
    from dnnsweep import spec

    file = {"name": "old", "dataset": {"source": "sklearn:iris"}}
    stored, default = spec.check({**file, "space": {}}), spec.check(file)
    other = spec.check({**file, "seed": 1})
    store(
        ledger,
        replace(NEW, name="old", spec=stored.to_json(), identity=stored.identity(), digest=stored.digest),
    )

    ledger.check("old", stored.digest, stored.identity())
    with pytest.raises(SweepConflictError, match="to continue the stored sweep, which searches nothing"):
        ledger.check("old", default.digest, default.identity())
    with pytest.raises(SweepConflictError) as caught:
        ledger.check("old", other.digest, other.identity())
    assert "space: {}" not in str(caught.value)


def test_a_database_password_is_not_shown() -> None:
    with pytest.raises(DnnsweepError) as caught:
        Ledger.open("sqlite://user:SECRET@/nowhere/at/all.db", create=False)

    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgres//user:SECRET@db/x",
        "postgresql://user:SECRET@127.0.0.1:1/x",
        "nonsense://user:SECRET@db/x",
        "postgresql://user:SEC/RET@db/x",
        "postgresql://user:p@db:SECRET/x",
    ],
)
def test_no_address_that_cannot_be_opened_shows_a_part_of_its_password(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger.open(url, create=True)

    assert "SEC" not in str(caught.value)


def test_tokens_only_grow(ledger: Ledger) -> None:
    tokens = []
    for _ in range(3):
        lease = ledger.begin(NEW)
        lease.end(SweepState.INTERRUPTED)
        tokens.append(lease.token)

    assert tokens == [2, 3, 4]


def test_taking_a_sweep_over_puts_its_running_trials_back_in_the_queue(ledger: Ledger) -> None:
    old = ledger.begin(NEW, owner=gone())
    ask(old, 2)
    write(old).start(1, 1)

    ledger.begin(NEW)

    assert [(trial.state, trial.attempts) for trial in ledger.trials("digits")] == [
        (State.QUEUED, 0),
        (State.QUEUED, 1),
    ]


def test_a_stop_reaches_the_controller_with_its_next_renewal(ledger: Ledger, lease: Lease) -> None:
    assert lease.renew()[0] is False

    assert ledger.request_stop("digits") is True

    assert lease.renew()[0] is True


def test_a_renewal_tells_whether_anything_reached_mlflow_since_the_last_one(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 3)
    write(lease).start(0, 1)  # that waits for more to be told of the trial, and is not late
    assert lease.renew()[1:] == (1, False)
    write(lease).start(1, 1)
    ledger.outbox.make_due()
    assert lease.renew()[1:] == (3, False)

    (sent,) = ledger.outbox.claim(1, lease.sweep_id)
    ledger.outbox.remove_sent(sent, None)
    write(lease).start(2, 1)

    assert lease.renew()[1:] == (2, True)
    assert lease.renew()[1:] == (2, False)


def test_a_sweep_that_nobody_runs_cannot_be_stopped(ledger: Ledger) -> None:
    assert ledger.request_stop("digits") is False


# -- trials ---------------------------------------------------------------------------------------------------------


def test_a_finished_trial_is_stored_whole(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    finish(lease, 0, 0.9, 0.25)

    trial = ledger.best("digits", 1)[0]

    assert trial.value == 0.9
    assert trial.params == {"optimizer": "adam", "dropout": 0.0, "hidden": [64, 32]}
    assert (trial.state, trial.reason, trial.best_epoch, trial.epochs) == (State.COMPLETE, Reason.COMPLETED, 2, 2)
    assert trial.metrics == {"val_accuracy": 0.9, "val_loss": 0.25}
    assert trial.seconds == 1.5
    assert json.dumps(trial.to_json(), allow_nan=False)


def test_curves_keep_nan_infinity_and_layers(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    stored = Curve(
        (
            Series("loss", (1.0, math.nan, math.inf, -math.inf)),
            Series("gradient_norm", (1.0, 2.0, 3.0, 4.0), "hidden_1"),
        ),
        (1, 2, 3, 4),
    )
    write(lease).start(0, 1)
    write(lease).finish(result(0, Reason.DIVERGED, curve=stored), None, {})

    read = ledger.curve(lease.sweep_id, 0)

    assert repr(read.values("loss")) == "(1.0, nan, inf, -inf)"
    assert read.values("gradient_norm") == ()
    assert Series("gradient_norm", (1.0, 2.0, 3.0, 4.0), "hidden_1") in read.series
    assert read.ended_at == (1, 2, 3, 4)


def test_a_trial_that_is_trained_again_keeps_the_times_of_the_epochs_known_before(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    write(lease).start(0, 1)
    write(lease).progress(0, curve(1.0, 0.9, first_time=10))
    write(lease).requeue(0, 1, "died")
    write(lease).start(0, 2)

    write(lease).finish(result(0, attempt=2, curve=curve(1.0, 0.9, 0.8, first_time=500)), (0.9,), {})

    assert ledger.curve(lease.sweep_id, 0).ended_at == (10, 11, 502)


def test_times_known_before_survive_a_retry_that_is_stored_on_its_way(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    write(lease).start(0, 1)
    write(lease).progress(0, curve(1.0, 0.9, 0.8, first_time=10))
    write(lease).requeue(0, 1, "died")
    write(lease).start(0, 2)
    write(lease).progress(0, curve(1.0, first_time=500))
    assert ledger.curve(lease.sweep_id, 0) == curve(1.0, 0.9, 0.8, first_time=10)
    assert ledger.trial("digits", 0).epochs == 3

    write(lease).finish(result(0, attempt=2, curve=curve(1.0, 0.9, 0.8, 0.7, first_time=500)), (0.9,), {})

    assert ledger.curve(lease.sweep_id, 0).ended_at == (10, 11, 12, 503)


@pytest.mark.parametrize(
    ("reason", "n_epochs"),
    [
        (Reason.KILLED, 3),
        (Reason.STOPPED, 3),
        (Reason.TIMEOUT, 3),
        (Reason.FAILED, 3),
        (Reason.PRUNED, 1),
        (Reason.DIVERGED, 1),
    ],
)
def test_a_trial_that_is_cut_short_keeps_the_epochs_of_an_attempt_that_came_further(
    ledger: Ledger, lease: Lease, reason: Reason, n_epochs: int
) -> None:
    longest = curve(1.0, 0.9, 0.8, first_time=10)
    ask(lease, 1)
    write(lease).start(0, 1)
    write(lease).progress(0, longest)
    write(lease).requeue(0, 1, "died")
    write(lease).start(0, 2)

    write(lease).finish(result(0, reason, attempt=2, curve=curve(1.0, first_time=500)), None, {})

    assert ledger.curve(lease.sweep_id, 0) == longest.until(n_epochs)
    assert ledger.trial("digits", 0).epochs == n_epochs


def test_only_running_trials_go_back_to_the_queue(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 2)
    finish(lease, 0, 0.5)
    write(lease).start(1, 1)

    write(lease).requeue(0, 1, "died")
    write(lease).requeue(1, 1, "died")

    assert [trial.state for trial in ledger.trials("digits")] == [State.COMPLETE, State.QUEUED]


def test_a_sweep_that_ends_leaves_no_trial_running(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    write(lease).start(0, 1)

    lease.end(SweepState.INTERRUPTED)

    assert ledger.trial("digits", 0).state is State.QUEUED


def test_metrics_that_are_not_finite_are_left_out_of_the_summary(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    write(lease).start(0, 1)

    write(lease).finish(result(0), (0.5,), {"val_accuracy": 0.5, "accuracy": math.nan})

    assert ledger.trial("digits", 0).metrics == {"val_accuracy": 0.5}


def test_a_sweep_whose_trials_have_all_ended_can_be_concluded_without_training(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 2)
    finish(lease, 0, 0.5)
    lease.end(SweepState.INTERRUPTED)

    ledger.mark_complete("digits", {**SPEC, "budget": {"trials": 1}})

    assert (ledger.sweep("digits").state, ledger.sweep("digits").n_trials) == (SweepState.COMPLETE, 1)


def test_a_running_sweep_keeps_its_budget_when_another_process_tries_to_run_it(ledger: Ledger) -> None:
    ledger.begin(NEW, owner=SOMEBODY_ELSE)

    with pytest.raises(SweepHeldError):
        ledger.begin(replace(NEW, spec={**SPEC, "budget": {"trials": 99}}))

    assert ledger.sweep("digits").n_trials == 5


def test_a_database_that_cannot_be_written_is_an_error_in_words(ledger: Ledger, lease: Lease) -> None:
    with ledger._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE curves RENAME TO gone")

    with pytest.raises(LedgerError, match="cannot be read or written now"):
        ledger.curve(lease.sweep_id, 0)


def test_a_transaction_that_fails_leaves_nothing_behind(
    ledger: Ledger, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(lease, 1)
    write(lease).start(0, 1)
    entries = ledger.outbox.count()

    def explode(*_: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr("dnnsweep.ledger.outbox.add_change", explode)
    with pytest.raises(RuntimeError, match="power cut"):
        write(lease).finish(result(0), (0.9,), {})

    assert ledger.trial("digits", 0).state is State.RUNNING
    assert ledger.curve(lease.sweep_id, 0).series == ()
    assert ledger.outbox.count() == entries


def test_budget_counts_leave_stopped_trials_out(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 5)
    for number, reason in enumerate((Reason.COMPLETED, Reason.DIVERGED, Reason.STOPPED, Reason.KILLED)):
        write(lease).start(number, 1)
        values = (0.5,) if reason is Reason.COMPLETED else None
        write(lease).finish(result(number, reason), values, {})
    write(lease).start(4, 1)

    sweep = ledger.sweep("digits")

    assert (sweep.n_finished, sweep.n_failed, sweep.n_running) == (3, 2, 1)


def test_equal_values_rank_by_lower_val_loss_then_by_number(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 5)
    for number, (value, val_loss) in enumerate([(0.8, 0.5), (0.9, 0.5), (0.9, 0.4), (0.9, 0.4), (0.7, 0.1)]):
        finish(lease, number, value, val_loss)

    assert numbers(ledger.best("digits", 9)) == [2, 3, 1, 0, 4]
    assert ledger.sweep("digits").best_number == 2


def test_every_read_of_trials_heeds_the_condition(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 4)
    for number, value in enumerate((0.9, 0.8, 0.7, 0.6)):
        finish(lease, number, value)
    where = "dropout > 0.05 and value != 0.7"  # dropout is a tenth of the number

    assert numbers(ledger.trials("digits", where)) == [1, 3]
    assert numbers(ledger.best("digits", None, where)) == [1, 3]
    assert numbers(ledger.best("digits", 1, where)) == [1]
    page = ledger.trial_page("digits", where, "-number", limit=1)
    assert (numbers(page.items), page.total) == ([3], 2)


def test_a_condition_that_is_wrong_is_refused_by_every_read(ledger: Ledger) -> None:
    reads: list[Callable[[str], object]] = [
        lambda where: ledger.trials("digits", where),
        lambda where: ledger.trial_page("digits", where),
        lambda where: ledger.best("digits", None, where),
    ]

    for read in reads:
        with pytest.raises(QueryError, match="dropuot"):
            read("dropuot < 0.3")


def test_a_minimised_objective_ranks_low_values_first(ledger: Ledger) -> None:
    lease = ledger.begin(replace(NEW, name="low", objectives=(Objective("val_loss", "minimize"),)))
    ask(lease, 3)
    for number, value in enumerate((0.3, 0.1, 0.2)):
        finish(lease, number, value)

    assert numbers(ledger.best("low", 2)) == [1, 2]
    assert ledger.sweep("low").best_value == 0.1


def test_what_the_sampler_was_told_is_kept_apart_from_the_value(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    write(lease).start(0, 1)
    write(lease).finish(result(0, Reason.DIVERGED), None, {})

    write(lease).advance([Told(0, (0.125,), {"key": 1})], [], {"study": 2})

    stored = lease.trials()[0]
    assert (stored.values, stored.penalty, stored.system_attrs) == (None, (0.125,), {"key": 1})
    assert lease.study_attrs() == {"study": 2}
    assert ledger.trial("digits", 0).value is None


def test_only_the_best_models_path_is_kept(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 2)
    for number in range(2):
        write(lease).start(number, 1)
        write(lease).finish(result(number, model_path=f"{number}.keras"), (0.5 + number,), {})

    assert ledger.model_name(lease.sweep_id, 0) is None
    assert ledger.model_name(lease.sweep_id, 1) == "1.keras"


# -- two objectives -------------------------------------------------------------------------------------------------

TWO = replace(NEW, name="two", objectives=(*NEW.objectives, Objective("n_parameters", "minimize")))
#: Accuracy, size and val_loss; trial 3 fails, 5 and 1 are equal in both objectives, 0 and 4 are beaten.
VALUES = [(0.8, 900.0, 0.5), (0.9, 900.0, 0.5), (0.7, 100.0, 0.5), None, (0.9, 950.0, 0.1), (0.9, 900.0, 0.4)]


@pytest.fixture
def pair(ledger: Ledger) -> Lease:
    return filled(ledger)


DEEP = {"layer": "hidden_1", "epoch": 1, "value": 1e-5, "threshold": 1e-3}
VANISHED = Finding(FindingCode.VANISHING_GRADIENT, 2, **DEEP, sentence='It says "code":"unstable".')  # type: ignore[arg-type]
UNSTABLE = Finding(FindingCode.UNSTABLE, 1, None, 3, 0.5, 0.2, "Up and down.", ({"hidden": (4, 2)}, {"l2": 0.0}))
FOUND = {1: (UNSTABLE,), 2: (VANISHED, replace(UNSTABLE, number=2)), 4: (VANISHED,)}
BY_FINDING = {
    "'unstable' in findings": [1, 2],
    "'unstable' in findings and value > 0.8": [1],
    "'vanishing_gradient' in findings": [2, 4],
    "'unstable' not in findings and 'vanishing_gradient' not in findings": [0, 3, 5],
    "'overfitting' in findings": [],
}


def filled(ledger: Ledger) -> Lease:
    store(ledger, TWO)
    lease = ledger.begin(TWO)
    ask(lease, len(VALUES))
    for number, fields in enumerate(VALUES):
        write(lease).start(number, 1)
        if fields is None:
            write(lease).finish(result(number, Reason.FAILED), None, {})
        else:
            ended = replace(result(number), findings=FOUND.get(number, ()))
            write(lease).finish(ended, fields[:2], {"val_accuracy": fields[0], "val_loss": fields[2]})
    return lease


@pytest.mark.usefixtures("pair")
def test_the_best_of_two_objectives_are_the_trials_that_no_other_beats(ledger: Ledger) -> None:
    assert numbers(ledger.best("two", None)) == [5, 1, 2]
    assert numbers(ledger.best("two", 2)) == [5, 1]
    assert [trial.values for trial in ledger.best("two", None)] == [(0.9, 900), (0.9, 900), (0.7, 100)]
    sweep = ledger.sweep("two")
    assert (sweep.best_number, sweep.best_value, sweep.front) == (5, 0.9, (5, 1, 2))
    assert [str(one) for one in sweep.objectives] == ["maximize val_accuracy", "minimize n_parameters"]


@pytest.mark.usefixtures("pair")
def test_a_condition_is_met_before_the_front_is_taken(ledger: Ledger) -> None:
    assert numbers(ledger.best("two", None, "number not in [5, 1]")) == [4, 0, 2]
    assert numbers(ledger.best("two", None, "value_2 >= 900 and number < 5")) == [1]
    assert numbers(ledger.best("two", None, "value < 0.5")) == []


def test_postgresql_finds_the_same_front(ledger: Ledger, pair: Lease, postgresql: postgres.Server) -> None:
    condition = "value_2 >= 900 and number not in [5]"
    with closing(Ledger.open(postgresql.database(), create=True)) as other:
        lease = filled(other)

        assert numbers(other.best("two", None)) == numbers(ledger.best("two", None)) == [5, 1, 2]
        assert numbers(other.best("two", None, condition)) == numbers(ledger.best("two", None, condition)) == [1]
        assert other.sweep("two").front == ledger.sweep("two").front
        assert all(numbers(other.trials("two", where)) == found for where, found in BY_FINDING.items())
        assert [trial.values for trial in lease.trials()] == [trial.values for trial in pair.trials()]


@pytest.mark.usefixtures("pair")
def test_trials_are_asked_for_by_what_was_found_in_them(ledger: Ledger) -> None:
    assert {where: numbers(ledger.trials("two", where)) for where in BY_FINDING} == BY_FINDING
    assert [finding.code for finding in ledger.trial("two", 2).findings] == ["vanishing_gradient", "unstable"]
    plain = ledger.trial("two", 1).to_json()["findings"]
    assert plain == [UNSTABLE.to_json()]
    assert plain[0]["advice"] == [{"hidden": [4, 2]}, {"l2": 0.0}]


def test_a_program_reads_the_first_value_alone_and_all_values_together(ledger: Ledger, pair: Lease) -> None:
    shown, failed = (ledger.trial("two", number).to_json() for number in (2, 3))

    assert (shown["value"], shown["values"]) == (0.7, [0.7, 100.0])
    assert (failed["value"], failed["values"]) == (None, None)
    assert pair.trials()[2].values == (0.7, 100.0)
    assert ledger.sweep("two").to_json()["objectives"] == [
        {"metric": "val_accuracy", "direction": "maximize"},
        {"metric": "n_parameters", "direction": "minimize"},
    ]
    assert ledger.sweep("digits").to_json()["objectives"] == [{"metric": "val_accuracy", "direction": "maximize"}]


def test_a_penalty_of_two_objectives_is_kept_apart_from_the_values(ledger: Ledger, pair: Lease) -> None:
    write(pair).advance([Told(3, (0.7, 950.0), {})], [], {})

    assert (pair.trials()[3].values, pair.trials()[3].penalty) == (None, (0.7, 950.0))
    assert ledger.trial("two", 3).values is None


def test_the_models_of_the_trials_that_are_kept_stay_known(ledger: Ledger, pair: Lease) -> None:
    for number, kept in [(0, [0]), (1, [0, 1]), (2, [1, 2]), (4, [2, 4])]:
        write(pair).finish(result(number, model_path=f"{number}.keras"), (0.5, 1.0), {}, kept)

    assert [ledger.model_name(pair.sweep_id, number) for number in (0, 1, 2, 4)] == [None, None, "2.keras", "4.keras"]


def test_a_ledger_from_before_two_objectives_shows_its_sweeps_as_before(tmp_path: Path) -> None:
    """Built by the migrations of that time, filled by hand."""
    from alembic import command

    from dnnsweep.ledger import migrations

    url, engine = f"sqlite:///{tmp_path / 'old.db'}", create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    with engine.begin() as connection:
        command.upgrade(migrations._config(connection), "0003")
        connection.execute(insert(table("ledger", column("id"), column("created_at"))), {"id": "old", "created_at": 1})
        fields = {**OLD_SWEEP, "spec": json.dumps(SPEC), "data": "{}", "system_attrs": "{}"}
        connection.execute(insert(table("sweeps", *map(column, fields))), fields)
        for number, value in enumerate((0.5, 0.9, None)):
            fields = {**OLD_TRIAL, "number": number, "value": value, "state": "COMPLETE" if value else "QUEUED"}
            connection.execute(insert(table("trials", *map(column, fields))), fields)
    engine.dispose()

    with closing(Ledger.open(url)) as ledger:
        assert [trial.values for trial in ledger.best("old", 9)] == [(0.9,), (0.5,)]
        old = replace(NEW, name="old", digest="d", data=replace(DATA, fingerprint="f"))
        sweep = ledger.sweep("old")
        assert (sweep.front, sweep.best_number, len(sweep.objectives)) == ((1,), 1, 1)
        assert [trial.values for trial in ledger.begin(old).trials()] == [(0.5,), (0.9,), None]


OLD_SWEEP: dict[str, Any] = {
    "id": "s",
    "name": "old",
    "state": "COMPLETE",
    "source": "sklearn:digits",
    "digest": "d",
    "fingerprint": "f",
    "metric": "val_accuracy",
    "direction": "maximize",
    "window_size": 4,
    "n_trials": 3,
    "seconds": 1.0,
    "token": 1,
    "is_stop_requested": False,
    "created_at": 1,
}
OLD_TRIAL: dict[str, Any] = {
    "sweep_id": "s",
    "params": "{}",
    "seed": 1,
    "attempts": 1,
    "token": 1,
    "epochs": 2,
    "metrics": "{}",
    "epoch_times": "[]",
    "system_attrs": "{}",
    "created_at": 1,
}


# -- conditions: SQL against plain Python -----------------------------------------------------------------------------

CONDITIONS: dict[str, Callable[[Trial], bool]] = {
    "optimizer == 'adam'": lambda t: t.params["optimizer"] == "adam",
    "optimizer != 'adam'": lambda t: t.params["optimizer"] != "adam",
    "optimizer in ['sgd', 'adam']": lambda t: t.params["optimizer"] in ("sgd", "adam"),
    "optimizer not in ['sgd', 'adam']": lambda t: t.params["optimizer"] not in ("sgd", "adam"),
    "dropout < 0.3": lambda t: t.params["dropout"] < 0.3,
    "0.1 < dropout <= 0.4": lambda t: 0.1 < t.params["dropout"] <= 0.4,
    "batch_norm": lambda t: t.params["batch_norm"],
    "not batch_norm": lambda t: not t.params["batch_norm"],
    "batch_norm == false and dropout > 0.2": lambda t: not t.params["batch_norm"] and t.params["dropout"] > 0.2,
    "hidden == [64, 32]": lambda t: t.params["hidden"] == [64, 32],
    "hidden in [[8], [64, 32]]": lambda t: t.params["hidden"] in ([8], [64, 32]),
    "batch_size == 32": lambda t: t.params["batch_size"] == 32,
    "state == 'COMPLETE'": lambda t: t.state == "COMPLETE",
    "reason == 'diverged'": lambda t: t.reason == "diverged",
    "reason is None": lambda t: t.reason is None,
    "value != None": lambda t: t.value is not None,
    "value > 0.5": lambda t: t.value is not None and t.value > 0.5,
    "not (value > 0.5)": lambda t: t.value is not None and not t.value > 0.5,
    "epochs == 2 or number == 5": lambda t: t.epochs == 2 or t.number == 5,
    "number in []": lambda _: False,
    "number in [1, 2.0, 4611686018427387904, 1]": lambda t: t.number in (1, 2),
    "dropout in [0.1, 1, None]": lambda t: t.params["dropout"] in (0.1, 1),
    "batch_norm in [true]": lambda t: t.params["batch_norm"],
    "reason in [None, 'diverged']": lambda t: t.reason in (None, "diverged"),
    "value not in [0.5, None]": lambda t: t.value is not None and t.value != 0.5,
    "seconds >= 1.5": lambda t: t.seconds is not None and t.seconds >= 1.5,
}


@pytest.fixture
def mixed(ledger: Ledger, lease: Lease) -> Ledger:
    optimizers = ("adam", "sgd", "nadam", "adam", "sgd", "adam")
    items = [
        Asked(
            suggestion(
                n, optimizer=o, batch_norm=n % 2 == 0, batch_size=16 * (1 + n % 2), hidden=[8] if n % 3 else [64, 32]
            ),
            {},
        )
        for n, o in enumerate(optimizers)
    ]
    write(lease).advance([], items, {})
    for number in range(3):
        finish(lease, number, 0.3 + 0.2 * number)
    write(lease).start(3, 1)
    write(lease).finish(result(3, Reason.DIVERGED, curve=curve(1.0)), None, {})
    return ledger


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_selects_what_plain_python_selects(mixed: Ledger, text: str) -> None:
    expected = [trial.number for trial in mixed.trials("digits") if CONDITIONS[text](trial)]

    assert numbers(mixed.trials("digits", text)) == expected


def test_the_same_condition_is_parsed_once(mixed: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    def count(*given: Any) -> Any:
        parsed.append(given[0])
        return parse(*given)

    monkeypatch.setattr("dnnsweep.ledger.where.parse", count)

    for _ in range(3):
        assert numbers(mixed.trials("digits", "number < 2.25")) == [0, 1, 2]

    assert parsed == ["number < 2.25"]


# -- outbox -----------------------------------------------------------------------------------------------------------


def keys(entries: Sequence[Entry]) -> list[tuple[int, str]]:
    return [(entry.number, entry.kind) for entry in entries]


def test_a_sweep_is_sent_before_its_trials_and_each_change_only_once(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 2)
    finish(lease, 1, 0.5)
    finish(lease, 0, 0.5)

    assert keys(ledger.outbox.claim(9, lease.sweep_id)) == [(PARENT, SYNC), (1, SYNC), (0, SYNC)]


def test_a_claimed_entry_is_nobody_elses_until_its_time_is_over(ledger: Ledger, lease: Lease) -> None:
    assert keys(ledger.outbox.claim(9, lease.sweep_id)) == [(PARENT, SYNC)]
    ledger.outbox.make_due()
    assert ledger.outbox.claim(9, lease.sweep_id) == []
    assert ledger.outbox.seconds_to_next(lease.sweep_id) is not None


def test_what_a_process_claimed_that_is_gone_is_due_at_once(
    ledger: Ledger, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.outbox.claim(9, lease.sweep_id)
    monkeypatch.setattr("dnnsweep.ledger.owners.is_gone", lambda _: True)

    ledger.outbox.make_due()

    assert keys(ledger.outbox.claim(9, lease.sweep_id)) == [(PARENT, SYNC)]


def test_a_claim_ends_with_its_time(ledger: Ledger, lease: Lease) -> None:
    ledger.outbox.claim(9, lease.sweep_id, seconds=0)

    assert keys(ledger.outbox.claim(9, lease.sweep_id)) == [(PARENT, SYNC)]


def test_a_sent_entry_is_gone_and_its_run_is_known(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    finish(lease, 0, 0.5)

    for entry in ledger.outbox.claim(9, lease.sweep_id):
        ledger.outbox.remove_sent(entry, f"run {entry.number}")

    assert ledger.outbox.count() == 0
    assert ledger.sweep("digits").run_id == "run -1"
    assert ledger.trial("digits", 0).run_id == "run 0"


def test_what_changes_while_it_is_sent_is_sent_again(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    write(lease).start(0, 1)
    entries = ledger.outbox.claim(9, lease.sweep_id)

    write(lease).finish(result(0), (0.5,), {})
    for entry in entries:
        ledger.outbox.remove_sent(entry, "run")

    assert keys(ledger.outbox.claim(9, lease.sweep_id)) == [(0, SYNC)]


def test_a_postponed_entry_remembers_why(ledger: Ledger, lease: Lease) -> None:
    entry = ledger.outbox.claim(9, lease.sweep_id)[0]

    ledger.outbox.postpone(entry, "connection refused", 0)

    again = ledger.outbox.claim(9, lease.sweep_id)[0]
    assert again.attempts == 1
    assert ledger.outbox.count(lease.sweep_id) == 1


def test_deleting_a_sweep_leaves_only_the_order_to_delete_its_runs(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 2)
    finish(lease, 0, 0.5)
    for entry in ledger.outbox.claim(9, lease.sweep_id):
        ledger.outbox.remove_sent(entry, f"run {entry.number}")
    lease.end(SweepState.COMPLETE)

    ledger.delete("digits")

    assert ledger.sweeps() == []
    entries = ledger.outbox.claim(9, lease.sweep_id)
    assert [(entry.kind, entry.run_id) for entry in entries] == [(DELETE, "run -1"), (DELETE, "run 0")]
    with ledger._database.read() as connection:
        for table in ("trials", "curves"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0  # noqa: S608


def test_a_running_sweep_cannot_be_deleted(ledger: Ledger) -> None:
    ledger.begin(NEW, owner=SOMEBODY_ELSE)

    with pytest.raises(SweepHeldError):
        ledger.delete("digits")


def test_what_another_process_runs_is_left_to_its_own_sender(ledger: Ledger) -> None:
    held = ledger.begin(NEW, owner=SOMEBODY_ELSE)
    mine = ledger.begin(replace(NEW, name="mine"))

    assert [entry.sweep_id for entry in ledger.outbox.claim(9, mine.sweep_id)] == [mine.sweep_id]

    held.end(SweepState.COMPLETE)
    assert [entry.sweep_id for entry in ledger.outbox.claim(9, mine.sweep_id)] == [held.sweep_id]


# -- turns ----------------------------------------------------------------------------------------------------------


def test_what_is_written_together_is_stored_together(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 3)

    with lease.turn() as turn:
        finish_in(turn, 0, 0.5)
        finish_in(turn, 1, 0.6)
        turn.advance([Told(0, None, {})], [], {"seen": 1})
        assert [trial.value for trial in ledger.trials("digits")] == [None, None, None]

    assert [trial.value for trial in ledger.trials("digits")] == [0.5, 0.6, None]
    assert lease.study_attrs() == {"seen": 1}
    assert ledger.outbox.count() == 3
    finish(lease, 2, 0.7)
    assert ledger.trial("digits", 2).value == 0.7


def test_nothing_is_stored_of_what_broke(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 2)

    def write_and_break() -> None:
        with lease.turn() as turn:
            finish_in(turn, 0, 0.5)
            raise KeyError("broken")

    with pytest.raises(KeyError):
        write_and_break()

    assert ledger.trial("digits", 0).value is None
    finish(lease, 1, 0.6)
    assert ledger.trial("digits", 1).value == 0.6


def test_nothing_is_written_together_by_whoever_lost_the_lease(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    with ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE sweeps SET token = token + 1")

    with pytest.raises(LeaseLostError), lease.turn() as turn:
        finish_in(turn, 0, 0.5)
    assert ledger.trial("digits", 0).value is None


def test_a_turn_without_a_write_is_no_transaction(lease: Lease) -> None:
    before = lease.spent_seconds()
    with lease.turn():
        pass
    assert lease.spent_seconds() == before


def test_a_turn_that_has_ended_takes_no_write(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    with lease.turn() as turn:
        pass

    with pytest.raises(RuntimeError, match="has ended"):
        turn.start(0, 1)
    assert ledger.trial("digits", 0).state is State.QUEUED


def test_a_stop_is_seen_by_a_renewal_in_the_middle_of_a_turn(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 2)
    ledger.request_stop("digits")

    with lease.turn() as turn:
        turn.start(0, 1)
        assert lease.renew()[:2] == (True, 1)  # MLflow has not seen the sweep itself yet
        turn.start(1, 1)

    assert [trial.state for trial in ledger.trials("digits")] == [State.RUNNING] * 2


def test_a_trial_that_has_just_started_waits_and_one_that_ends_is_due_at_once(ledger: Ledger, lease: Lease) -> None:
    ledger.outbox.claim(10, lease.sweep_id)
    ask(lease, 2)
    write(lease).start(0, 1)
    write(lease).start(1, 1)
    assert ledger.outbox.claim(10, lease.sweep_id) == []
    write(lease).finish(result(0), (0.5,), {})

    assert [entry.number for entry in ledger.outbox.claim(10, lease.sweep_id)] == [0]
    seconds = ledger.outbox.seconds_to_next(lease.sweep_id)
    assert seconds is not None
    assert 0 < seconds <= QUICK_SECONDS


def test_what_could_not_be_sent_keeps_its_time_when_it_changes(ledger: Ledger, lease: Lease) -> None:
    ask(lease, 1)
    finish(lease, 0, 0.5)
    entry = ledger.outbox.claim(10, lease.sweep_id)[-1]
    ledger.outbox.postpone(entry, "down", 3600)

    write(lease).requeue(0, 1, "died")
    write(lease).progress(0, curve(0.5))

    assert entry.number == 0
    assert ledger.outbox.claim(10, lease.sweep_id) == []
