from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
from effort import MAX_CALLS, n_calls
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnsweep.errors import QueryError
from dnnsweep.query import (
    FIELDS,
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_LENGTH,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Not,
    parse,
)
from dnnsweep.records import Trial
from dnnsweep.space import KNOBS

_NORM = Comparison("batch_norm", "==", literal=True)
_LOW = Comparison("dropout", "<", 0.3)

TREES: list[tuple[str, Condition]] = [
    ("dropout < 0.3", _LOW),
    ("  dropout<.3  ", _LOW),
    ("((dropout < 0.3))", _LOW),
    ("0.3 > dropout", _LOW),
    ("dropout <= 1", Comparison("dropout", "<=", 1)),
    ("1 <= dropout", Comparison("dropout", ">=", 1)),
    ("1 >= dropout", Comparison("dropout", "<=", 1)),
    ("0.3 < dropout", Comparison("dropout", ">", 0.3)),
    ("'adam' == optimizer", Comparison("optimizer", "==", "adam")),
    ("None != value", Comparison("value", "!=", None)),
    ("optimizer != 'adam'", Comparison("optimizer", "!=", "adam")),
    ('optimizer == "adam"', Comparison("optimizer", "==", "adam")),
    ("value > -1.5", Comparison("value", ">", -1.5)),
    ("value > +1.5", Comparison("value", ">", 1.5)),
    ("value < 1e300", Comparison("value", "<", 1e300)),
    ("l2 == 1e-6", Comparison("l2", "==", 1e-6)),
    ("number == 9223372036854775807", Comparison("number", "==", 2**63 - 1)),
    ("batch_size >= 32.5", Comparison("batch_size", ">=", 32.5)),
    ("batch_norm", _NORM),
    ("not batch_norm", Not(_NORM)),
    ("batch_norm == true", _NORM),
    ("batch_norm == True", _NORM),
    ("batch_norm != false", Comparison("batch_norm", "!=", literal=False)),
    ("value is None", Comparison("value", "==", None)),
    ("value is not null", Comparison("value", "!=", None)),
    ("reason == none", Comparison("reason", "==", None)),
    ("'overfitting' in findings", Comparison("findings", "has", "overfitting")),
    ("'unstable' not in findings", Not(Comparison("findings", "has", "unstable"))),
    ("state == 'complete'", Comparison("state", "==", "COMPLETE")),
    ("state in ['FAILED', 'Pruned']", Comparison("state", "in", ("FAILED", "PRUNED"))),
    ("reason == 'early_stopped'", Comparison("reason", "==", "early_stopped")),
    ("optimizer in ('sgd', 'adam')", Comparison("optimizer", "in", ("sgd", "adam"))),
    ("optimizer not in ['sgd']", Comparison("optimizer", "not in", ("sgd",))),
    ("optimizer in ['sgd', 'adam', 'sgd']", Comparison("optimizer", "in", ("sgd", "adam"))),
    ("optimizer in []", Comparison("optimizer", "in", ())),
    ("best_epoch in [None, 1]", Comparison("best_epoch", "in", (None, 1))),
    ("hidden == [64, 32]", Comparison("hidden", "==", (64, 32))),
    ("hidden == (64,)", Comparison("hidden", "==", (64,))),
    ("hidden == []", Comparison("hidden", "==", ())),
    ("hidden in [[64], [64, 32]]", Comparison("hidden", "in", ((64,), (64, 32)))),
    ("dropout < 0.3 and batch_norm", AllOf((_LOW, _NORM))),
    ("dropout < 0.3 or batch_norm", AnyOf((_LOW, _NORM))),
    ("dropout < 0.3 or batch_norm and not batch_norm", AnyOf((_LOW, AllOf((_NORM, Not(_NORM)))))),
    ("(dropout < 0.3 or batch_norm) and batch_norm", AllOf((AnyOf((_LOW, _NORM)), _NORM))),
    ("not (dropout < 0.3 or batch_norm)", Not(AnyOf((_LOW, _NORM)))),
    ("not dropout < 0.3", Not(_LOW)),
    ("0.1 < dropout < 0.3", AllOf((Comparison("dropout", ">", 0.1), _LOW))),
    ("batch_norm and batch_norm and batch_norm", AllOf((_NORM, _NORM, _NORM))),
]

# expression, what the error must say
WRONG: list[tuple[str, str]] = [
    ("", "must be an expression"),
    ("   ", "must be an expression"),
    ("(", "was never closed"),
    ("dropout <", "must be an expression"),
    ("dropout = 1", "must be an expression"),
    ("dropout < 1; dropout", "must be an expression"),
    ("dropout <\n1", "must be an expression"),
    ("import os", "must be an expression"),
    ("yield 1", "must be an expression"),
    ("optimizer == 'adam", "must be an expression"),
    ("dropout", "must be made of comparisons, got dropout"),
    ("5", "must be made of comparisons"),
    ("True", "must be made of comparisons"),
    ("'adam'", "must be made of comparisons"),
    ("optimizer == adam", "put text in quotes"),
    ("state == COMPLETE", "put text in quotes"),
    ("dropout < l2", "must compare a field with a value"),
    ("5 < 6", "must compare a field with a value, got 5 and 6"),
    ("1 < 2 < dropout", "must compare a field with a value"),
    ("dropout < l2 < 0.1", "must compare a field with a value"),
    ("None == None", "must compare a field with a value"),
    ("'adam' in optimizer", "must compare a field with a value"),
    ("droput < 0.3", "unknown field droput; did you mean dropout?"),
    ("colour == 'red'", "unknown field colour; known are initializer"),
    ("Dropout < 0.3", "did you mean dropout?"),
    ("__class__ == 1", "unknown field __class__"),
    ("id == 1", "unknown field id"),
    ("dropout < 'a'", "dropout must be compared with a finite number, got 'a'"),
    ("dropout < None", "dropout must be compared with"),
    ("dropout == true", "got true"),
    ("dropout < [0.1]", "got [0.1]"),
    ("dropout < 1e999", "got .inf"),
    ("dropout == -True", "must compare with a number"),
    ("dropout < 1j", "must compare with a number"),
    ("dropout < ...", "must compare with a number"),
    ("number == 9223372036854775808", "number must be compared with"),
    ("number == -9223372036854775808", "number must be compared with"),
    ("dropout < 0x" + "f" * 1900, "got a whole number of 7600 bits"),
    ("number == " + "9" * 1900, "number must be compared with"),
    ("optimizer == 5", "optimizer must be compared with a text in quotes, got 5"),
    ("optimizer == b'adam'", "must compare with a number"),
    ("optimizer == 'adm'", "optimizer is never 'adm'; did you mean adam?"),
    ("optimizer == 'COMPLETE'", "optimizer is never 'COMPLETE'; known are sgd"),
    ("state == 'done'", "state is never 'done'; known are QUEUED"),
    ("reason == 'PRUNED'", "reason is never 'PRUNED'"),
    ("'overfit' in findings", "findings is never 'overfit'; did you mean overfitting?"),
    ("1 in findings", "findings holds texts in quotes, got 1"),
    ("unstable in findings", "findings holds texts in quotes, got unstable"),
    ("findings == 'unstable'", "findings holds several texts; write 'vanishing_gradient' in findings"),
    ("findings in ['unstable']", "findings holds several texts"),
    ("findings", "must be made of comparisons"),
    ("optimizer < 'adam'", "optimizer cannot be ordered"),
    ("batch_norm < true", "batch_norm cannot be ordered"),
    ("batch_norm == 1", "batch_norm must be compared with true or false, got 1"),
    ("hidden > [64]", "hidden cannot be ordered"),
    ("hidden == 64", "hidden must be compared with a list of units"),
    ("hidden == [64, true]", "hidden must be compared with a list of units"),
    ("hidden == [64.0]", "hidden must be compared with a list of units"),
    ("hidden in [64]", "hidden must be compared with a list of units"),
    ("hidden == [" * 40 + "]" * 40, "hidden"),
    ("optimizer in 'adam'", "optimizer in must be followed by a list"),
    ("optimizer in {'adam'}", "must compare with a number"),
    ("optimizer in [optimizer]", "must compare with a number"),
    ("dropout in [[0.1]]", "got [0.1]"),
    ("dropout is 0.1", "must be followed by None"),
    ("dropout is l2", "must be followed by None"),
    ("None is dropout", "must be followed by None"),
    ("f(1)", "must be made of comparisons, got f(1)"),
    ("__import__('os').system('id')", "must be made of comparisons"),
    ("print(1) or batch_norm", "must be made of comparisons"),
    ("dropout < float('nan')", "must compare with a number"),
    ("dropout.real < 1", "must compare a field with a value"),
    ("''.__class__ == 1", "must compare a field with a value"),
    ("hidden[0] == 64", "must compare a field with a value"),
    ("lambda: batch_norm", "must be made of comparisons"),
    ("f'{dropout}' == 'a'", "must compare a field with a value"),
    ("optimizer == f'adam'", "must compare with a number"),
    ("f'{f\"{dropout!r:{l2}}\"}'", "must be made of comparisons"),
    ("optimizer == 'ad' 'am' + ''", "must compare with a number"),
    ("(dropout := 1) < 2", "must compare a field with a value"),
    ("[x for x in hidden]", "must be made of comparisons"),
    ("hidden == [x for x in [64]]", "must compare with a number"),
    ("{**batch_norm}", "must be made of comparisons"),
    ("batch_norm if batch_norm else batch_norm", "must be made of comparisons"),
    ("await batch_norm", "must be made of comparisons"),
    ("*hidden == 1", "--where"),
    ("hidden == [*hidden]", "must compare with a number"),
    ("dropout < 10**9**9", "must compare with a number"),
    ("10**9**9 < dropout", "must compare with a number"),
    ("optimizer == 'a' * 10**10", "must compare with a number"),
    ("dropout + 1 < 2", "must compare a field with a value"),
    ("~batch_norm", "must be made of comparisons"),
    ("batch_norm & batch_norm", "must be made of comparisons"),
    ("dropout <> 1", "must be an expression"),
    ("optimizer == '\\x61dam'", "must not contain a backslash"),
    ("dropout < \\\n1", "must not contain a backslash"),
    ("dropout < \0", "must be an expression"),
    ("optimizer == '\ud800'", "must be an expression"),
    ("\ufeffdropout < 1", "must be an expression"),
    ("dropout\u2028< 1", "must be an expression"),
    ("(" * 900 + "batch_norm" + ")" * 900, "must be an expression"),
    ("[" * 1900, "must be an expression"),
    ("-" * 1900 + "1 < dropout", "--where"),
    ("not " * 450 + "batch_norm", f"must not be nested deeper than {MAX_DEPTH} levels"),
    ("a" + ".b" * 900 + " == 1", "--where"),
    ("dropout < " + "-" * 1900 + "1", "--where"),
    ("lambda: " * 200 + "1", "--where"),
    (" or ".join(["l2<1"] * (MAX_COMPARISONS + 1)), f"must have at most {MAX_COMPARISONS} comparisons, got 51"),
    (" and ".join(["not batch_norm"] * 60), f"must have at most {MAX_COMPARISONS} comparisons, got 60"),
    ("1 < " + " < 1 < ".join(["l2"] * 26) + " < 1", f"must have at most {MAX_COMPARISONS} comparisons, got 52"),
    ("x" * MAX_LENGTH, "must be made of comparisons"),
    ("x" * (MAX_LENGTH + 1), f"must have at most {MAX_LENGTH} characters, got {MAX_LENGTH + 1}"),
]


@pytest.mark.parametrize(("text", "tree"), TREES)
def test_expression_becomes_a_tree(text: str, tree: Condition) -> None:
    parsed = parse(text)

    assert parsed == tree
    assert repr(parsed) == repr(tree)  # tells True from 1


@pytest.mark.parametrize(("text", "said"), WRONG, ids=lambda text: ascii(text[:25]))
def test_wrong_expression_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(QueryError) as error:
        parse(text)

    assert said in str(error.value)
    assert len(str(error.value)) < 600
    str(error.value).encode()  # can be printed


@pytest.mark.parametrize("text", [text for text, _ in WRONG if "\n" not in text], ids=lambda text: ascii(text[:25]))
def test_wrong_part_is_refused_inside_a_right_expression(text: str) -> None:
    for template in ("batch_norm and {}", "not ({})", "{} or batch_norm"):
        with pytest.raises(QueryError):
            parse(template.format(text))


def test_wrong_expressions_cost_little_and_evaluate_nothing() -> None:
    def refuse() -> None:
        for text, _ in WRONG:
            with pytest.raises(QueryError):
                parse(text)

    assert n_calls(refuse) < MAX_CALLS


def test_odd_expressions_warn_nobody() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for text in ("dropout is 5", "'a' is 'b'", "(1)(2) == dropout", "optimizer == '\\d'"):
            with pytest.raises(QueryError):
                parse(text)

    assert seen == []


def test_every_field_is_a_hyperparameter_or_a_field_of_trial() -> None:
    assert all(name in KNOBS or name == "value_2" or hasattr(Trial, name) for name in FIELDS)
    assert set(KNOBS) <= set(FIELDS)


def test_expression_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    assert parse("not " * MAX_DEPTH + "batch_norm")
    with pytest.raises(QueryError, match="nested deeper"):
        parse("not " * (MAX_DEPTH + 1) + "batch_norm")


def test_as_many_comparisons_as_the_limit_are_taken_and_a_list_is_one() -> None:
    parse(" or ".join([f"number in {list(range(6))}"] * MAX_COMPARISONS))


_TOKENS = (
    "and or not in is < <= == != ( ) [ ] , None true 0.3 -1 'adam' 1e999 lambda : := f'{x}' if else * ** . # \\ ' 1and"
)
_WORDS = st.sampled_from([*FIELDS, *_TOKENS.split(), "\n", "9" * 30])


@settings(deadline=None)
@given(st.text() | st.lists(_WORDS, max_size=12).map(" ".join) | st.lists(_WORDS, max_size=8).map("".join))
def test_any_text_is_parsed_or_refused_in_words(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parse(text)
        except QueryError as error:
            assert str(error).startswith("--where")  # noqa: PT017  either outcome is right here


_ATOMS = st.sampled_from(["dropout < 0.3", "batch_norm", "value is None", "optimizer in ['adam']", "0.1 < l2 <= 1"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda parts: (
        st.tuples(parts, st.sampled_from(["and", "or"]), parts).map(lambda pair: f"({pair[0]}) {pair[1]} ({pair[2]})")
        | parts.map(lambda part: f"not ({part})")
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(_EXPRESSIONS)
def test_expression_of_right_parts_is_right_and_parentheses_change_nothing(text: str) -> None:
    assert parse(f"({text})") == parse(text)
    assert parse(f"not ({text})") == Not(parse(text))


def test_query_loads_no_heavy_library() -> None:
    heavy = ("pydantic", "yaml", "sqlalchemy", "optuna", "numpy", "pandas", "mlflow", "tensorflow")
    code = f"import sys, dnnsweep.query; print([name for name in {heavy} if name in sys.modules])"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
