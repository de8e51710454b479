"""What turns measurements into tables; the measuring itself is `make bench`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench import commands, gpu_table, report, speeds
from bench.__main__ import PARTS
from bench.numbers import Line, ratios, spread, verdict
from bench.speeds import Entry
from bench.sweeps import Effort, at, growth

ROOT = Path(__file__).resolve().parents[1]


def test_a_line_through_two_runs_is_extrapolated() -> None:
    line = Line.through((3, 26.0), (9, 50.0))

    assert line == Line(fixed=14.0, per_trial=4.0)  # 24 s for 6 trials; 26 - 3 * 4
    assert line.at(100) == 414.0
    assert (line.at(3), line.at(9)) == (26.0, 50.0)


def test_ratios_are_of_one_repetition_each() -> None:
    assert ratios([100.0, 300.0, 200.0], [10.0, 10.0, 40.0]) == [10.0, 30.0, 5.0]


def test_ratios_of_unequal_numbers_of_repetitions_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([10.0, 30.0, 5.0], "10 [5, 30]"),
        ([0.12345, 0.5], "0.312 [0.123, 0.5]"),  # the median of two is their mean: 0.311725
        ([4321.0, 1234.0, 2000.0], "2000 [1230, 4320]"),
    ],
)
def test_the_spread_is_the_median_with_the_extremes(values: list[float], shown: str) -> None:
    assert spread(values) == shown


def test_a_goal_is_judged_by_the_median() -> None:
    assert verdict([1.0, 30.0, 25.0], 25) == "25: met"
    assert verdict([1.0, 30.0, 24.9], 25) == "25: missed"
    assert verdict([10.0, 90.0, 49.0], 50, is_limit=True) == "at most 50: met"


def test_a_table_replaces_only_what_is_between_its_own_markers() -> None:
    document = (
        "a\n<!-- bench:one:begin -->\nold\n<!-- bench:one:end -->\nb\n<!-- bench:two:begin -->\nkept\n"
        "<!-- bench:two:end -->\n"
    )

    once = report.replaced(document, "one", "new")

    assert once == document.replace("old", "new")
    assert report.replaced(once, "one", "new") == once


@pytest.mark.parametrize("document", ["", "<!-- bench:one:begin -->", "<!-- bench:one:end --><!-- bench:one:begin -->"])
def test_a_document_without_both_markers_in_order_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="must have the markers"):
        report.replaced(document, "one", "new")


@pytest.mark.parametrize("part", PARTS)
def test_the_document_has_a_place_for_each_part(part: str) -> None:
    page = (ROOT / report.PAGES.get(part, report.FILE)).read_text(encoding="utf-8")

    assert "\nnew\n" in report.replaced(page, part, "new")


def test_memory_grows_from_where_so_many_trials_had_ended() -> None:
    points = [(50, 300.0), (100, 400.0), (500, 460.0), (1000, 450.0)]

    assert at(points, 100) == 400.0
    assert growth(points, 100) == 60.0


def test_the_fastest_array_is_found_by_its_median_and_no_rival_counts() -> None:
    times = {
        Entry("sgemm", 1): [0.1, 0.1, 0.1],
        Entry("array:4", 1): [3.0, 3.0, 3.0],
        Entry("array:8", 2): [1.0, 2.0, 90.0],
    }

    assert speeds.fastest(times) == Entry("array:8", 2)


def test_a_quick_effort_is_smaller_throughout() -> None:
    quick, full = Effort(is_quick=True), Effort()

    assert quick.few_and_many < full.few_and_many
    assert (quick.hundred, quick.thousand) < (full.hundred, full.thousand) == (100, 1000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of two trials, of two epochs and of one; the loss of the last one is no number."""
    with closing(sqlite3.connect(tmp_path / "dnnsweep.db")) as ledger, ledger:
        ledger.execute("CREATE TABLE trials (number, epochs)")
        ledger.execute("CREATE TABLE curves (number, metric, points)")
        ledger.executemany("INSERT INTO trials VALUES (?, ?)", [(0, 2), (1, 1)])
        curves = [
            (0, "accuracy", [0.5, 0.6]),
            (0, "loss", [1.0, 0.9]),
            (1, "accuracy", [0.1]),
            (1, "loss", ["NaN"]),
        ]
        rows = [(number, metric, json.dumps(points)) for number, metric, points in curves]
        ledger.executemany("INSERT INTO curves VALUES (?, ?, ?)", rows)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE runs (run_uuid, end_time)")
        store.execute("CREATE TABLE tags (run_uuid, key)")
        store.execute("CREATE TABLE metrics (run_uuid, key, step)")
        store.executemany("INSERT INTO runs VALUES (?, ?)", [("parent", 9), ("a", 5), ("b", 6)])
        store.executemany("INSERT INTO tags VALUES (?, 'dnnsweep.trial')", [("a",), ("b",)])
        points = [("a", "accuracy", 1), ("a", "accuracy", 2), ("a", "loss", 1), ("a", "loss", 2), ("b", "accuracy", 1)]
        store.executemany("INSERT INTO metrics VALUES (?, ?, ?)", [*points, ("parent", "loss", 1)])
    return tmp_path


def test_a_store_that_holds_every_trial_and_epoch_is_complete(home: Path) -> None:
    assert commands.checked(home, 2) == 3


@pytest.mark.parametrize(
    "loss",
    [
        "DELETE FROM metrics WHERE run_uuid = 'a' AND key = 'loss' AND step = 2",
        "INSERT INTO metrics VALUES ('b', 'accuracy', 1)",
        "UPDATE runs SET end_time = NULL WHERE run_uuid = 'b'",
        "DELETE FROM tags WHERE run_uuid = 'b'",
    ],
)
def test_a_store_that_lacks_or_doubles_anything_is_noticed(home: Path, loss: str) -> None:
    with closing(sqlite3.connect(home / "mlflow.db")) as store, store:
        store.execute(loss)

    with pytest.raises(RuntimeError, match="MLflow must hold every trial"):
        commands.checked(home, 2)


def gpu_result(slots: int, milliseconds: float, precision: str = "tf32") -> dict[str, object]:
    wrong = {"loss_relative": 0.0004, "weights_relative": 0.001, "weights_absolute": 0.006}
    return {
        "case": "digits",
        "slots": slots,
        "precision": precision,
        "n_weights": 6570,
        "call_milliseconds": milliseconds,
        "call_with_copies_milliseconds": milliseconds + 4,
        "against_expected": wrong,
        "against_exact": {name: value / 2 for name, value in wrong.items()},
    }


def test_times_on_a_gpu_are_of_one_trial_and_the_median_over_runs() -> None:
    results = gpu_table.merged([[gpu_result(1, 2.0), gpu_result(64, 6.4)], [gpu_result(1, 4.0)]])

    assert gpu_table.by_slots(results).splitlines()[-1] == "| digits | 6,570 | 3,000 | 100 |"


def test_a_gpu_is_set_against_two_cores_with_and_without_what_the_host_does() -> None:
    results = gpu_table.merged([[gpu_result(64, 6.4)]])
    core = {"case": "digits", "slots": 16, "program_microseconds": 3000, "host_slots": 64, "host_microseconds": 37.5}

    # Of a trial's epoch: 100 in the program, 162.5 with copies; (3000 + 37.5) / 2 on two cores.
    row = "| digits | 64 | 100 | 162 | 37.5 | 1,500 (16) | 15 | 7.59 |"
    assert gpu_table.against_cores(results, [core]).splitlines()[-1] == row


def test_the_error_of_a_cpu_is_its_distance_from_double_precision_on_a_gpu() -> None:
    results = gpu_table.merged([[gpu_result(8, 2.0, precision) for precision in gpu_table.PRECISIONS]])

    on_cpu, *on_gpu = gpu_table.precisions(results).splitlines()[2:]
    assert on_cpu == "| digits | the CPU, single | 4.0e-04 | 1.0e-03 | 6.0e-03 |"
    assert on_gpu[0] == "| digits | the GPU, single, products in TF32 | 2.0e-04 | 5.0e-04 | 3.0e-03 |"
    assert len(on_gpu) == 3
