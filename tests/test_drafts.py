from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from examples import n_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnnsweep import spec
from dnnsweep.datasets.clean_columns import clean_column
from dnnsweep.datasets.profiles import ColumnProfile, find_leaks, profile_column
from dnnsweep.drafts import Draft, draft_sweep
from dnnsweep.drafts.column_choices import drop_reason
from dnnsweep.drafts.example_files import examples, find_example
from dnnsweep.drafts.search_choices import DataFacts, choose_metric
from dnnsweep.drafts.source_choice import find_source, sweep_name, tables_in
from dnnsweep.drafts.sweep_text import Block, Entry, Item, document_of, text_of
from dnnsweep.drafts.target_choice import choose_task, guess_target
from dnnsweep.errors import SpecError
from dnnsweep.records import Task
from dnnsweep.runner.outline import outline

N = 240


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def customers(n: int = N) -> pd.DataFrame:
    """Customers of whom every tenth leaves: with an identifier, dates, a constant, and columns that know who left."""
    rng, rows = np.random.default_rng(0), np.arange(n)
    has_left = rows % 10 == 3
    day = pd.Timestamp("2021-03-01")
    return pd.DataFrame(
        {
            "customer_id": [f"C{100_000 + row}" for row in rows],
            "signup": [f"{day + pd.Timedelta(days=int(days)):%Y-%m-%d}" for days in rng.integers(0, 900, n)],
            "age": [
                None if row % 17 == 0 else int(age) for row, age in zip(rows, rng.integers(18, 90, n), strict=True)
            ],
            "city": rng.choice(["Bonn", "Rome", "Oslo"], n),
            "monthly": rng.uniform(10, 90, n).round(2) + 20 * has_left,
            "region": "EU",
            "status_code": np.where(has_left, 7, 2),
            "reason": np.where(has_left, rng.choice(["price", "service"], n), "none"),
            "cancelled_on": [f"{day:%Y-%m-%d}" if left else None for left in has_left],
            "comment": [f"customer number {row} wrote this long text about the service" for row in rows],
            "empty": None,
            "churned": np.where(has_left, "yes", "no"),
        }
    )


def houses() -> pd.DataFrame:
    """Houses with prices; some columns are the price in another form."""
    rng = np.random.default_rng(1)
    area, rooms = rng.uniform(30, 300, N).round(1), rng.integers(1, 9, N)
    price = (area * 2_000 + rooms * 5_000 + rng.normal(0, 9_000, N)).round(2)
    return pd.DataFrame(
        {
            "id": rng.permutation(N) + 1,
            "area": area,
            "rooms": rooms,
            "built": rng.integers(1900, 2024, N),
            "price_in_cents": (price * 100).round(),
            "log_price": np.log(price),
            "price_band": pd.cut(price, 4, labels=["low", "middle", "high", "top"]).astype(str),
            "price": price,
        }
    )


def species() -> pd.DataFrame:
    rng, kinds = np.random.default_rng(2), np.array(["ant", "bee", "wasp"])
    kind = kinds[np.arange(N) % 3]
    return pd.DataFrame(
        {"length": rng.normal(5, 1, N), "is_winged": kind != "ant", "kind": kind, "weight": rng.normal(2, 1, N)}
    )


def oddly_named() -> pd.DataFrame:
    """Names that YAML would take for something else."""
    rng = np.random.default_rng(3)
    names = ["yes", "a: b", "#x", "null", "12", "größe, cm", "it's", '"quoted"', "{x}", "- y", "two\nlines", "tab\t"]
    frame = pd.DataFrame({name: rng.normal(0, 1, N) for name in names})
    frame["no: 1 # really?\n"] = "same"
    return frame.assign(**{"1e3": rng.choice(["[a", "b]"], N)})


def wide() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(rng.normal(0, 1, (60, 80))).add_prefix("gene_").assign(ill=rng.integers(0, 2, 60) == 1)


def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    stars = rng.integers(3, 8, N)
    stars[:2], stars[2:4] = 1, 9
    return pd.DataFrame({"acid": rng.normal(0, 1, N), "sugar": rng.normal(0, 1, N), "quality": stars})


TABLES: Mapping[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "customers": (customers, "churned"),
    "houses": (houses, "price"),
    "species": (species, "kind"),
    "oddly named": (oddly_named, "1e3"),
    "wide": (wide, "ill"),
    "ratings": (ratings, "quality"),
    "few rows": (lambda: species().head(24), "kind"),
    "a target of 0.0 and 1.0": (lambda: wide().assign(ill=lambda frame: frame["ill"].astype(float)), "ill"),
}


def profiled(name: str, values: Any) -> ColumnProfile:
    return profile_column(name, clean_column(name, pd.Series(list(values))))


def drafted(frame: pd.DataFrame, target: str | None = None, name: str = "table.csv") -> tuple[Draft, spec.SweepSpec]:
    """Draft a sweep of a table in a file; return the draft, and what its text says."""
    frame.to_csv(name, index=False) if name.endswith(".csv") else frame.to_parquet(name)
    draft = draft_sweep(name, target)
    return draft, spec.read(draft.text, draft.name)


@pytest.mark.parametrize("table", TABLES)
def test_a_draft_is_a_sweep_file_that_validates_and_has_its_baseline_in_the_space(table: str) -> None:
    make, target = TABLES[table]
    draft, sweep = drafted(make(), target)

    shown = outline(sweep)

    assert shown.data.task == sweep.task
    assert shown.data.n_features > 0
    assert (sweep.name, sweep.dataset.target) == ("table", target)
    (baseline,) = sweep.enqueue
    assert set(baseline) == set(sweep.space)
    assert all(sweep.space[name].contains(value) for name, value in baseline.items())
    assert max(map(len, draft.text.splitlines())) <= 120 + 40


def test_columns_that_cannot_help_or_know_the_answer_are_left_out_each_with_its_reason() -> None:
    draft, sweep = drafted(customers(), "churned")

    reasons = {
        "customer_id": "identifier: 240 different values in 240 rows",
        "region": "constant: 'EU' in every row",
        "status_code": "copy of churned: its values stand for those of churned one for one",
        "reason": "knows churned: each of its values occurs with one value of churned only",
        "cancelled_on": "knows churned: it is filled in for one value of churned only",
        "comment": "free text: 240 different values in 240 rows",
        "empty": "empty",
    }
    assert set(sweep.dataset.drop) == set(reasons)
    for name, reason in reasons.items():
        assert f"    - {name}  # {reason}\n" in draft.text
        assert f"drop {name}: {reason}" in draft.notes


def test_dates_are_kept_as_dates_and_a_split_by_time_is_proposed() -> None:
    draft, sweep = drafted(customers(), "churned")

    assert sweep.dataset.dates == {"signup": None}
    assert "# split: {order: signup}" in draft.text


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("%d/%m/%Y", {"day": None}),
        ("%Y%m%d", {"day": None}),
        ("%d %b %Y", {"day": None}),
        ("0%m/0%m/%Y", {"day": "%d/%m/%Y"}),
    ],
)
def test_dates_are_found_in_any_usual_form_and_an_unclear_one_is_named(
    written: str, named: dict[str, str | None]
) -> None:
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(N) * 11, unit="D")
    texts = [f"{day:%d/%m/%Y}" for day in days]
    if "0%m" in written:
        texts = [f"{1 + row % 12:02d}/{1 + row % 11:02d}/2020" for row in range(N)]
    elif written != "%d/%m/%Y":
        texts = [day.strftime(written) for day in days]

    draft, sweep = drafted(species().assign(day=texts), "kind")

    assert sweep.dataset.dates == named
    assert any("may be %m/%d/%Y" in note for note in draft.notes) == bool(named["day"])


def test_words_among_numbers_are_missing_values_and_a_column_of_many_is_left_out() -> None:
    rng = np.random.default_rng(0)
    few, many = ([f"{x:.3f}" for x in rng.normal(0, 1, N)] for _ in range(2))
    few[3], few[9] = "unknown", "yes: no"
    many[:40] = [f"about {row}" for row in range(40)]

    draft, sweep = drafted(species().assign(few=few, many=many), "kind")

    assert sweep.dataset.missing is not None
    assert {"unknown", "yes: no", "N/A"} <= set(sweep.dataset.missing)
    assert sweep.dataset.drop == ("many",)
    assert "drop many: holds numbers, and 40 different other texts, such as 'about 0'" in draft.notes
    assert outline(sweep).data.n_features == 4


def test_a_word_among_numbers_that_is_a_class_of_the_target_is_no_missing_value() -> None:
    rng = np.random.default_rng(0)
    discount = [str(x) for x in rng.integers(0, 900, N)]
    discount[5], discount[7] = "no", "None"
    calls = [str(x) for x in rng.integers(0, 900, N)]
    calls[5], calls[7] = "unknown", "None"
    frame = pd.DataFrame({"discount": discount, "calls": calls, "left": rng.choice(["yes", "no"], N)})
    frame["plan"] = rng.choice(["pro", "None"], N)

    draft, sweep = drafted(frame, "left")

    assert sweep.dataset.drop == ("discount",)
    assert "drop discount: holds numbers, and 'no', which is a class of left" in draft.notes
    assert {"unknown", "None", "N/A"} <= set(sweep.dataset.missing or ())
    assert "none" not in (sweep.dataset.missing or ())
    assert outline(sweep).data.classes == ("no", "yes")


def test_columns_of_every_type_of_a_parquet_file_are_taken_or_left_out_with_a_reason() -> None:
    rng = np.random.default_rng(0)
    frame = species().assign(
        whole=pd.array([None, *rng.integers(0, 9, N - 1)], dtype="Int64"),
        truth=pd.array([None, *(rng.integers(0, 2, N - 1) == 1)], dtype="boolean"),
        word=pd.Series(rng.choice(["a", "b"], N), dtype="category"),
        when=pd.date_range("2024-01-01", periods=N, tz="Europe/Oslo"),
        infinite=[np.inf, -np.inf, *rng.normal(0, 1, N - 2)],
        lists=[[1, 2]] * N,
        gaps=[None, *(20240101 + rng.integers(0, 28, N - 1))],
    )

    draft, sweep = drafted(frame, "kind", "table.parquet")

    assert set(sweep.dataset.drop) == {"infinite", "lists"}
    assert sweep.dataset.dates == {"when": None, "gaps": None}
    assert "drop lists: holds neither numbers, text nor dates" in draft.notes
    assert outline(sweep).data.n_features > 6


def test_a_target_of_numbers_and_words_names_a_word() -> None:
    frame = houses()
    prices = frame["price"].astype(str)
    prices[[3, 4]] = "sold out"

    with pytest.raises(SpecError, match="price must not be missing, got 2 of 240 rows without it, such as 'sold out'"):
        drafted(frame.assign(price=prices), "price")


def test_a_file_with_semicolons_and_decimal_commas_says_how_it_is_written() -> None:
    species().to_csv("table.csv", index=False, sep=";", decimal=",")

    draft = draft_sweep("table.csv", "kind")
    sweep = spec.read(draft.text, draft.name)

    assert sweep.dataset.csv == spec.dataset.CsvSpec(separator=";", decimal=",")
    assert outline(sweep).data.n_features == 3


def test_a_target_in_another_unit_or_in_bands_is_left_out() -> None:
    _, sweep = drafted(houses())

    assert sweep.dataset.target == "price"
    assert set(sweep.dataset.drop) == {"id", "price_in_cents", "log_price", "price_band"}
    assert (sweep.task, sweep.objective) == ("regression", spec.ObjectiveSpec(metric="val_r2"))


def test_one_extreme_row_makes_no_copy_of_the_target() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(0, 1, N), "y": rng.normal(0, 1, N)})
    frame.loc[0] = 1e9

    assert np.corrcoef(frame["a"], frame["y"])[0, 1] > 0.9999
    assert find_leaks({name: clean_column(name, frame[name]) for name in frame}, "y", is_classified=False) == {}


@pytest.mark.parametrize(
    ("name", "values", "is_dropped"),
    [
        ("id", range(50), True),
        ("rowid", range(0, 100, 2), True),
        ("anything", range(50), True),
        ("anything", [1_000_000 + 7919 * row % 100_000 for row in range(50)], True),
        ("uuid", [f"{row:x}-ff" for row in range(50)], True),
        ("account_number", [7 * row + row % 5 for row in range(50)], True),
        ("language_index", [13 * row % 2_003 for row in range(50)], True),
        ("revenue", [3 + row * row * 17 % 10_007 for row in range(50)], False),
        ("year", range(1950, 2000), False),
        ("age", [20 + row % 30 for row in range(50)], False),
        ("length", [row / 7 for row in range(50)], False),
        ("paid", [row % 2 for row in range(50)], False),
        ("patient_id", [row % 60 for row in range(180)], True),
        ("store_id", [row % 6 for row in range(180)], False),
        ("tickets", [None, *range(49)], False),
    ],
)
def test_identifiers_are_told_from_measurements(name: str, values: Any, is_dropped: bool) -> None:
    reason = drop_reason(profiled(name, values), None, "y")

    assert bool(reason) == is_dropped, reason


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1] * 10, Task.BINARY),
        ([0.0, 1.0] * 10, Task.BINARY),
        (["a", "b", "c"] * 10, Task.MULTICLASS),
        ([True, False] * 10, Task.BINARY),
        ([1, 2, 3, 4] * 10, Task.MULTICLASS),
        ([1, 2, 3, 4] * 10 + [9], Task.REGRESSION),
        (list(range(40)) * 10, Task.REGRESSION),
        ([0.5, 1.25, 2.0] * 10, Task.REGRESSION),
    ],
)
def test_the_task_follows_from_what_the_target_holds(values: list[Any], task: Task) -> None:
    assert choose_task(profiled("y", values))[0] is task


@pytest.mark.parametrize(
    ("counts", "metric", "is_weighted"),
    [
        ({"no": 60, "yes": 40}, "val_accuracy", False),
        ({"no": 90, "yes": 10}, "val_auc", True),
        ({"a": 30, "b": 40, "c": 30}, "val_accuracy", False),
        ({"a": 85, "b": 10, "c": 5}, "val_f1", True),
    ],
)
def test_the_metric_fits_the_balance_of_the_classes(counts: dict[str, int], metric: str, is_weighted: bool) -> None:
    labels = [label for label, count in counts.items() for _ in range(count * 2)]
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(0, 1, len(labels)), "y": labels})

    _, sweep = drafted(frame)

    assert sweep.objectives[0].metric == metric
    assert (sweep.dataset.class_weight == "balanced") == is_weighted
    assert sweep.training.early_stopping is not None
    assert sweep.training.early_stopping.monitor == (metric if is_weighted else "val_loss")


def test_a_regression_of_extreme_values_is_judged_by_absolute_errors() -> None:
    facts = DataFacts(Task.REGRESSION, {}, is_validated=True, skewness=6.0, n_train=100, n_features=3)

    assert choose_metric(facts)[0] == "val_mae"


def test_no_score_of_all_classes_is_taken_where_one_of_them_has_no_validation_row() -> None:
    facts = DataFacts(Task.BINARY, {"a": 0.99, "b": 0.01}, is_validated=False, skewness=0, n_train=100, n_features=3)

    assert choose_metric(facts)[0] == "val_loss"


def test_more_rows_get_a_larger_network_and_fewer_trials() -> None:
    rng = np.random.default_rng(0)
    small, large = (
        drafted(pd.DataFrame({"x": rng.normal(0, 1, n), "y": rng.normal(0, 1, n)}))[1] for n in (200, 60_000)
    )

    assert sum(large.network.hidden) > sum(small.network.hidden)
    assert large.fixed["batch_size"] > small.fixed["batch_size"]
    assert large.budget.trials < small.budget.trials
    assert (small.dataset.test, large.dataset.test) == (0.2, 0.1)


@pytest.mark.parametrize(
    ("columns", "guess"),
    [
        (["a", "b", "c"], "c"),
        (["label", "b", "c"], "label"),
        (["a", "isChurned", "c"], "isChurned"),
        (["target", "churned", "c"], "target"),
    ],
)
def test_a_target_that_nobody_names_is_guessed_and_said(columns: list[str], guess: str) -> None:
    frame = pd.DataFrame({name: [0, 1] * 30 for name in columns})

    profiles = {name: profiled(name, frame[name]) for name in frame}

    assert guess_target(profiles)[0] == guess


def test_a_guess_is_said_and_a_person_who_can_be_asked_is_asked() -> None:
    houses().to_csv("houses.csv", index=False)
    asked = []

    def ask(columns: Any, probable: str) -> str:
        asked.append((len(columns), probable))
        return "rooms"

    assert any("a guess" in note for note in draft_sweep("houses.csv").notes)
    assert spec.read(draft_sweep("houses.csv", ask=ask).text, "houses").dataset.target == "rooms"
    assert asked == [(8, "price")]


@pytest.mark.parametrize("source", ["sklearn:digits", "sklearn:breast_cancer", "sklearn:diabetes"])
def test_arrays_need_no_columns(source: str) -> None:
    draft = draft_sweep(source)
    sweep = spec.read(draft.text, draft.name)

    assert sweep.dataset.source == source
    assert sweep.dataset.target is None
    assert sweep.name == source.partition(":")[2]


def test_pixels_are_scaled_together_and_test_rows_of_the_source_are_kept() -> None:
    rng = np.random.default_rng(0)
    images, kinds = rng.integers(0, 256, (80, 6, 6), np.uint8), np.arange(80) % 4
    np.savez("images.npz", x_train=images, y_train=kinds, x_test=images, y_test=kinds)

    draft = draft_sweep("images.npz")
    sweep = spec.read(draft.text, draft.name)

    assert sweep.dataset.scale == "minmax"
    assert "test:" not in draft.text


def test_a_table_that_a_function_returns_is_read_as_well(tmp_path: Path) -> None:
    rows = "{'a': range(60), 'b': [0.5, 1, 2] * 20, 'y': [0, 1] * 30}"
    code = f"import pandas as pd\ndef load(): return pd.DataFrame({rows})"
    (tmp_path / "own_rows_of_a_draft.py").write_text(code, encoding="utf-8")

    draft = draft_sweep("python:own_rows_of_a_draft:load")

    assert spec.read(draft.text, draft.name).dataset.drop == ("a",)


def table(name: str, text: str) -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


@pytest.mark.parametrize(
    ("typed", "target", "message"),
    [
        ("customer.csv", None, "SOURCE: must be a file that exists, got 'customer.csv'; did you mean customers.csv?"),
        ("nothing.parquet", None, "SOURCE: must be a file that exists, got 'nothing.parquet'; check the path"),
        ("digits", None, "SOURCE: must name a known kind of source, got 'digits'; did you mean sklearn:digits?"),
        ("sklearn:digit", None, "did you mean digits?"),
        ("arrays:", None, "SOURCE: arrays can only be passed in Python"),
        ("book.xlsx", None, "must be a CSV, parquet or npz file, got 'book.xlsx'; save the table as CSV"),
        ("customers.csv", "churn", "--target: must be a column of the table, got 'churn'; did you mean churned?"),
        ("customers.csv", "zzz", "the columns are 'city', 'same', 'churned'"),
        ("customers.csv", "same", "must have at least two distinct values"),
        ("gaps.csv", "y", "--target: y must not be missing, got 1 of 31 rows without it; remove these rows"),
        ("known.csv", "y", "must have a column to learn from, got x: copy of y: its values stand for those of y"),
        ("empty.csv", None, "must hold rows, got column names only"),
        ("texts.csv", "text", "--target: text must hold classes or numbers, got 120 different texts in 120 rows"),
        ("texts.csv", "day", "--target: day must hold numbers, text or booleans, got dates"),
        ("sklearn:wine", "y", "--target: belongs to tables with named columns, got 'y'; remove it"),
        ("constant.csv", None, "--target: no column can be predicted"),
    ],
)
def test_what_cannot_be_swept_is_refused_with_a_remedy(typed: str, target: str | None, message: str) -> None:
    rows = [("Bonn", "Rome")[row % 2] + f",1,{'yes' if row % 3 else 'no'}" for row in range(60)]
    table("customers.csv", "\n".join(["city,same,churned", *rows]))
    table("empty.csv", "a,b\n")
    table("texts.csv", "\n".join(["text,day,x", *(f"t{i},2024-01-{1 + i % 28:02d},{i / 7}" for i in range(120))]))
    table("constant.csv", "\n".join(["a,b", *(["1,2"] * 30)]))
    table("gaps.csv", "\n".join(["x,y", *(["1.5,2", "0.5,1"] * 15), "1.5,"]))
    table("known.csv", "\n".join(["x,y", *(["1.5,2", "0.5,1"] * 15)]))
    table("book.xlsx", "")

    with pytest.raises(SpecError) as caught:
        draft_sweep(typed, target)

    assert message in str(caught.value)


def test_a_column_that_separates_the_classes_is_kept_and_pointed_out() -> None:
    rng = np.random.default_rng(0)
    frame = species().assign(days=rng.uniform(0, 1, N) + 5 * (species()["kind"] == "bee"))
    frame = frame.assign(kind=np.where(frame["kind"] == "bee", "bee", "other"))

    draft, sweep = drafted(frame, "kind")

    assert "days" not in sweep.dataset.drop
    assert any(note.startswith("look at this: days alone tells kind") for note in draft.notes)


def test_rows_of_one_patient_are_proposed_to_stay_together() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"patient_id": np.arange(N) % 60, "pulse": rng.normal(70, 9, N), "ill": np.arange(N) % 2})

    draft, sweep = drafted(frame, "ill")

    assert sweep.dataset.drop == ("patient_id",)
    assert "# split: {by: patient_id}" in draft.text


def test_names_of_files_become_names_of_sweeps() -> None:
    assert tables_in(Path.cwd()) == []
    table("b.csv", "")
    table("a.parquet", "")
    assert tables_in(Path.cwd()) == ["a.parquet", "b.csv"]
    assert find_source("b.csv") == "csv:b.csv"
    assert sweep_name("csv:???.csv") == "sweep"
    assert len(sweep_name(f"csv:{'x' * 300}.csv")) == 100


def test_text_and_data_of_a_file_say_the_same_whatever_the_values_are() -> None:
    odd = ["yes", "a\nb", "#", "1e3", "\u2028", "x" * 300, {"a": [1, {"b": None}]}, 1e-6, True, []]
    entries = [
        Entry("name", "a"),
        Entry("below", Block([Entry("value", odd, "why\nthis?"), Entry("hint", 1, is_hint=True)]), "about it"),
        Entry("items", tuple(Item(value, "because " * 40) for value in odd)),
    ]

    text = text_of(["Above."], entries)

    assert spec.documents.parse(text, "text") == document_of(entries)
    assert "# hint: 1" in text


CELLS = {
    "numbers": st.floats(-1e6, 1e6, width=32),
    "whole": st.integers(-5, 1_000),
    "words": st.sampled_from(["a", "b ", " c", "", "N/A", "?", "-"]),
    "texts": st.text(max_size=6),
    "truth": st.booleans(),
    "dates": st.dates().map(str),
    "mixed": st.one_of(st.integers(0, 9).map(str), st.sampled_from(["", "x", "1,5"])),
}


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    n_rows, kinds = draw(st.integers(1, 60)), draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=5))
    return pd.DataFrame(
        {f"{kind} {i}": draw(st.lists(CELLS[kind], min_size=n_rows, max_size=n_rows)) for i, kind in enumerate(kinds)}
    )


@settings(
    max_examples=n_examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(tables())
def test_any_table_is_swept_as_drafted_or_refused(frame: pd.DataFrame) -> None:
    with suppress(SpecError):
        _, sweep = drafted(frame)
        shown = outline(sweep)
        assert shown.data.n_train > 0


def test_examples_bring_the_files_that_they_need() -> None:
    known = examples()

    assert set(known["csv_example"].companions) == {"sweeps/data/penguins.csv"}
    assert set(known["mnist_cnn"].companions) == {"sweeps/mnist_cnn.py"}
    assert not known["digits"].companions
    assert all(example.description for example in known.values())
    with pytest.raises(SpecError, match="did you mean digits\\?\n  breast_cancer: "):
        find_example("digit")
