from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnsweep.space import (
    ACTIVATIONS,
    INITIALIZERS,
    KNOBS,
    OPTIMIZERS,
    SCHEDULES,
    Branch,
    Choice,
    Conditional,
    Hyperparameters,
    Layers,
    Range,
    closest_name,
    did_you_mean,
    first_point,
    key_text,
    parse_domain,
    parse_space,
    parse_value,
    parse_values,
    sampling_order,
    unknown_key,
    yaml_text,
)

RIGHT_VALUES: list[tuple[str, Any, Any]] = [
    ("initializer", "he_normal", "he_normal"),
    ("dropout", 0, 0.0),
    ("dropout", 0.999, 0.999),
    ("l2", 0, 0.0),
    ("l2", -0.0, 0.0),
    ("batch_norm", False, False),
    ("optimizer", "nadam", "nadam"),
    ("learning_rate", 1e-300, 1e-300),
    ("learning_rate", 10, 10.0),
    ("batch_size", 32, 32),
    ("batch_size", 32.0, 32),
    ("batch_size", 1_000_000, 1_000_000),
    ("hidden", [64, 32], (64, 32)),
    ("hidden", (64, 32.0), (64, 32)),
    ("hidden", [], ()),
    ("hidden", [65_536] * 100, (65_536,) * 100),
    ("activation", "gelu", "gelu"),
]

WRONG_VALUES: list[tuple[str, Any, str]] = [
    ("initializer", "xavier", "did you mean glorot_uniform?"),
    ("initializer", "Kaiming_Normal", "did you mean he_normal?"),
    ("initializer", "glorot_unifrom", "did you mean glorot_uniform?"),
    ("initializer", None, "must be one of glorot_uniform, "),
    ("initializer", ["he_normal"], "got ['he_normal']"),
    ("dropout", 1, "must be a number from 0 to below 1, got 1"),
    ("dropout", 1.0, "must be a number from 0 to below 1, got 1.0"),
    ("dropout", -1e-9, "got -1e-09"),
    ("dropout", True, "got true"),
    ("dropout", "0.5", "write the number without quotes"),
    ("dropout", "half", "write a number"),
    ("dropout", math.nan, "got .nan; write a finite number"),
    ("dropout", None, "got null"),
    ("l2", math.inf, "got .inf; write a finite number"),
    ("l2", -1, "must be a number from 0, got -1"),
    ("l2", 10**400, "a whole number of 1329 bits"),
    ("l2", 10**5000, "a whole number of 16610 bits"),
    ("batch_norm", 1, "must be true or false, got 1"),
    ("batch_norm", "yes", "write true or false without quotes"),
    ("batch_norm", None, "got null"),
    ("optimizer", "Adam", "did you mean adam?"),
    ("optimizer", {"name": "adam"}, "got {name: 'adam'}"),
    ("learning_rate", 0, "must be a number above 0, got 0"),
    ("learning_rate", -0.0, "must be a number above 0"),
    ("batch_size", 0, "must be a whole number from 1 to 1000000, got 0"),
    ("batch_size", 1_000_001, "must be a whole number from 1 to 1000000"),
    ("batch_size", 32.5, "got 32.5"),
    ("batch_size", True, "got true"),
    ("batch_size", "1_000", "without quotes or underscores"),
    ("batch_size", -math.inf, "got -.inf"),
    ("hidden", 64, "write a list, for example [64, 32]"),
    ("hidden", "64, 32", "write a list, for example [64, 32]"),
    ("hidden", [64, 0], "got [64, 0]; entry 1 is 0"),
    ("hidden", [65_537], "entry 0 is 65537"),
    ("hidden", [64, True], "entry 1 is true"),
    ("hidden", [64, [32]], "entry 1 is [32]"),
    ("hidden", [1.5], "entry 0 is 1.5"),
    ("hidden", [1] * 101, "at most 100"),
    ("activation", "swish", "did you mean silu?"),
    ("activation", b"relu", "got b'relu'"),
]

RIGHT_DOMAINS: list[tuple[str, Any, Choice | Range]] = [
    ("optimizer", ["adam"], Choice(("adam",))),
    ("optimizer", {"values": ["sgd", "adam"]}, Choice(("sgd", "adam"))),
    ("batch_norm", [False, True], Choice((False, True))),
    ("hidden", [[64, 32], [64]], Choice(((64, 32), (64,)))),
    ("hidden", {"values": [[64, 32], [64], []]}, Choice(((64, 32), (64,), ()))),
    ("dropout", [0, 0.5], Choice((0.0, 0.5))),
    ("batch_size", [16, 32.0], Choice((16, 32))),
    ("dropout", {"low": 0, "high": 0.6}, Range(0.0, 0.6)),
    ("dropout", {"low": 0, "high": 0.6, "log": False, "step": None}, Range(0.0, 0.6)),
    ("dropout", {"low": 0.0, "high": 0.3, "step": 0.1}, Range(0.0, 0.3, step=0.1)),
    ("l2", {"low": 1e-6, "high": 0.1, "log": True}, Range(1e-6, 0.1, log=True)),
    ("learning_rate", {"low": 0.01, "high": 0.01, "log": True}, Range(0.01, 0.01, log=True)),
    ("batch_size", {"low": 16.0, "high": 64, "step": 16.0}, Range(16, 64, step=16, is_integer=True)),
    ("batch_size", {"low": 1, "high": 1e6, "log": True}, Range(1, 1_000_000, log=True, is_integer=True)),
]

# hyperparameter, domain, path that must be named, what must be said
WRONG_DOMAINS: list[tuple[str, Any, str, str]] = [
    ("dropout", 0.5, "dropout", "a single value belongs under `fixed: {dropout: 0.5}`"),
    ("dropout", None, "dropout", "must be a list of values or {low: ..., high: ...}, got null"),
    ("dropout", [], "dropout", "must be a list of values"),
    ("dropout", "0.1", "dropout", "must be a list of values"),
    ("dropout", [0.1, "0.2"], "dropout.1", "without quotes"),
    ("dropout", [0, -0.0], "dropout", "values must differ from each other"),
    ("l2", [1, 1.0], "l2", "values must differ from each other"),
    ("batch_size", [32, 32.0], "batch_size", "values must differ from each other"),
    ("batch_size", [1, True], "batch_size.1", "got true"),
    ("batch_norm", [False, 0], "batch_norm.1", "got 0"),
    ("batch_norm", [True, True], "batch_norm", "values must differ from each other"),
    ("batch_norm", {"low": False, "high": True}, "batch_norm", "must be a list of values"),
    ("optimizer", "adam", "optimizer", "a single value belongs under `fixed: {optimizer: 'adam'}`"),
    ("optimizer", ["adam", ["sgd"]], "optimizer.1", "got ['sgd']"),
    ("optimizer", [{}], "optimizer.0", "got {}"),
    ("optimizer", {"low": "adam", "high": "sgd"}, "optimizer", "each must be one of sgd"),
    ("optimizer", {"value": ["adam"]}, "optimizer", "must be a list of values"),
    ("optimizer", {"values": "adam"}, "optimizer.values", "must be a list of values"),
    ("optimizer", {"values": ["adm"]}, "optimizer.values.0", "did you mean adam?"),
    ("hidden", [64, 32], "hidden", "write [[64, 32]]"),
    ("hidden", [[64], 32], "hidden.1", "write a list"),
    ("hidden", [[64], [64.0]], "hidden", "values must differ from each other"),
    ("hidden", {"values": [[64], [0]]}, "hidden.values.1", "entry 0 is 0"),
    ("hidden", {"low": 1, "high": 2}, "hidden", "must be a list of values"),
    ("dropout", {"low": 0.9, "high": 0.1}, "dropout", "low must not exceed high, got low=0.9 and high=0.1"),
    ("dropout", {"low": 0.0, "high": 1.0}, "dropout.high", "from 0 to below 1, got 1.0"),
    ("dropout", {"low": 0.0}, "dropout.high", "is missing; add it"),
    ("dropout", {"high": 0.5}, "dropout.low", "is missing; add it"),
    ("dropout", {}, "dropout.low", "is missing; add it"),
    ("dropout", {"low": 0, "high": 0.5, "values": [0.1]}, "dropout.low", "unknown key"),
    ("dropout", {"low": 0, "high": 0.5, "stepps": 5}, "dropout.stepps", "did you mean steps?"),
    ("dropout", {"low": 0, "high": 0.5, "steps": 1}, "dropout.steps", ""),
    ("dropout", {"low": 0, "high": 0.5, "steps": 2.5}, "dropout.steps", ""),
    ("dropout", {"low": 0, "high": 0.5, "steps": 20_000}, "dropout.steps", ""),
    ("dropout", {"low": 0, "high": 0.5, "steps": 6, "step": 0.1}, "dropout", "remove one of them"),
    ("dropout", {"low": 0, "high": 0.5, 1: 5}, "dropout.1", "unknown key"),
    ("dropout", {"low": 0, "high": 0.5, "log": "true"}, "dropout.log", "must be true or false, got 'true'"),
    ("dropout", {"low": 0, "high": 0.5, "log": None}, "dropout.log", "got null"),
    ("dropout", {"low": 0, "high": 0.5, "log": 1}, "dropout.log", "got 1"),
    ("dropout", {"low": 0, "high": 0.5, "log": True}, "dropout.low", "must be above 0 for a logarithmic domain"),
    ("dropout", {"low": 0, "high": 0.5, "step": 0}, "dropout.step", "must be a number above 0, got 0"),
    ("dropout", {"low": 0, "high": 0.5, "step": -0.1}, "dropout.step", "must be a number above 0"),
    ("dropout", {"low": 0, "high": 0.5, "step": math.nan}, "dropout.step", "write a finite number"),
    ("dropout", {"low": 0, "high": 0.5, "step": "0.1"}, "dropout.step", "without quotes"),
    ("dropout", {"low": 0, "high": 0.5, "step": 0.6}, "dropout.step", "must not exceed the distance"),
    ("dropout", {"low": 0, "high": 0.6, "step": 0.25}, "dropout.high", "write high: 0.5"),
    ("dropout", {"low": 0.5, "high": 0.5, "step": 0.1}, "dropout.step", "must not exceed the distance"),
    ("dropout", {"low": 0.1, "high": 0.5, "step": 0.1, "log": True}, "dropout", "log and step cannot be combined"),
    ("l2", {"low": 0, "high": 1e300, "step": 1e-300}, "l2.step", "at most 1000000 steps"),
    ("learning_rate", {"low": 0, "high": 1}, "learning_rate.low", "must be a number above 0"),
    ("learning_rate", {"low": 1e-3, "high": math.inf}, "learning_rate.high", "write a finite number"),
    ("learning_rate", {"low": True, "high": 1}, "learning_rate.low", "got true"),
    ("batch_size", {"low": 16, "high": 64, "step": 0.5}, "batch_size.step", "must be a whole number above 0, got 0.5"),
    ("batch_size", {"low": 1, "high": 10, "step": 2}, "batch_size.high", "write high: 9"),
    ("batch_size", {"low": 0, "high": 10}, "batch_size.low", "from 1 to 1000000"),
    ("batch_size", {"low": 1.5, "high": 10}, "batch_size.low", "got 1.5"),
]

CONTAINED: list[tuple[Choice | Range | Layers, Any, bool]] = [
    (Choice((32, 64)), 32, True),
    (Choice((1, 2)), True, False),
    (Choice((True, False)), 1, False),
    (Choice((False,)), False, True),
    (Choice((0.0, 0.5)), 0, True),
    (Choice(((64, 32), (64,))), (64,), True),
    (Choice(((64, 32), (64,))), (32,), False),
    (Choice(("adam",)), ["adam"], False),
    (Layers(Choice((1, 2)), Choice((8, 16))), (8, 8), True),
    (Layers(Choice((1, 2)), Choice((8, 16))), (8, 16), False),
    (Layers(Choice((1, 2)), Choice((8, 16))), (8, 8, 8), False),
    (Layers(Choice((1, 2)), Choice((8, 16))), (9,), False),
    (Layers(Choice((1, 2)), Choice((8, 16))), (), False),
    (Layers(Range(1, 2, is_integer=True), Choice((8,))), 8, False),
    (Range(0.0, 0.5), 0.0, True),
    (Range(0.0, 0.5), 0.5, True),
    (Range(0.0, 0.5), 0.50001, False),
    (Range(0.0, 0.5), math.nan, False),
    (Range(0.0, 0.5), None, False),
    (Range(0.0, 0.5), "0.1", False),
    (Range(0.0, 1.0), True, False),
    (Range(1, 9, is_integer=True), 3, True),
    (Range(1, 9, is_integer=True), 3.5, False),
    (Range(1, 9, step=2, is_integer=True), 7, True),
    (Range(1, 9, step=2, is_integer=True), 8, False),
    (Range(0.0, 0.6, step=0.1), 0.30000000000000004, True),
    (Range(0.0, 0.6, step=0.1), 0.3, True),
    (Range(0.0, 0.6, step=0.1), 0.35, False),
    (Range(0.0, 1e6, step=1.0), 999_999.5, False),
]


@pytest.mark.parametrize(("name", "raw", "value"), RIGHT_VALUES)
def test_right_value_is_held_in_its_own_type(name: str, raw: Any, value: Any) -> None:
    parsed, mistakes = parse_value("fixed.x", KNOBS[name], raw)

    assert (mistakes, parsed, type(parsed)) == ([], value, type(value))
    assert str(parsed) == str(value)  # tells -0.0 from 0.0


@pytest.mark.parametrize(("name", "raw", "said"), WRONG_VALUES, ids=yaml_text)
def test_wrong_value_is_refused_with_rule_value_and_remedy(name: str, raw: Any, said: str) -> None:
    parsed, mistakes = parse_value("fixed.x", KNOBS[name], raw)

    assert parsed is None
    assert [mistake.path for mistake in mistakes] == ["fixed.x"]
    assert said in str(mistakes[0])
    assert len(str(mistakes[0])) < 400


@pytest.mark.parametrize(("name", "raw", "domain"), RIGHT_DOMAINS)
def test_right_domain_is_read(name: str, raw: Any, domain: Choice | Range) -> None:
    parsed, mistakes = parse_domain("space.x", KNOBS[name], raw)

    assert (mistakes, parsed) == ([], domain)
    if isinstance(parsed, Range):
        numbers = [parsed.low, parsed.high, *([] if parsed.step is None else [parsed.step])]
        assert {type(number) for number in numbers} == {int if parsed.is_integer else float}
        assert parsed.contains(parsed.low)
        assert parsed.contains(parsed.high)


@pytest.mark.parametrize(("name", "raw", "path", "said"), WRONG_DOMAINS)
def test_wrong_domain_is_refused_at_the_place_that_is_wrong(name: str, raw: Any, path: str, said: str) -> None:
    good, mistakes = parse_space("space", {name: raw})

    assert good == {}
    assert any(mistake.path == f"space.{path}" and said in str(mistake) for mistake in mistakes), mistakes


def test_every_mistake_of_a_domain_is_reported() -> None:
    raw = {"low": "a", "high": 2, "step": 0, "log": 1, "stride": 1}

    paths = [mistake.path for mistake in parse_space("space", {"dropout": raw})[1]]

    assert sorted(paths) == [f"space.dropout.{key}" for key in ("high", "log", "low", "step", "stride")]


def test_wrong_knobs_do_not_hide_right_ones() -> None:
    good, mistakes = parse_values("fixed", {"dropout": 0.5, "l2": -1, "droput": 0.1, 5: 1})

    assert good == {"dropout": 0.5}
    assert [mistake.path for mistake in mistakes] == ["fixed.l2", "fixed.droput", "fixed.5"]


@pytest.mark.parametrize("raw", [None, [], "dropout", 5, [{"dropout": 1}]])
def test_what_is_no_mapping_is_one_mistake(raw: Any) -> None:
    for parse in (parse_space, parse_values):
        good, mistakes = parse("space", raw)

        assert (good, len(mistakes), mistakes[0].path) == ({}, 1, "space")


def test_order_in_the_file_does_not_change_the_space() -> None:
    one = parse_space("space", {"l2": [0.1], "dropout": [0.5], "initializer": ["he_normal"]})[0]
    other = parse_space("space", {"initializer": ["he_normal"], "dropout": [0.5], "l2": [0.1]})[0]

    assert list(one) == list(other) == ["initializer", "dropout", "l2"]


@pytest.mark.parametrize(("domain", "value", "answer"), CONTAINED)
def test_domain_contains_its_values_only(domain: Choice | Range | Layers, value: Any, answer: bool) -> None:
    assert domain.contains(value) is answer


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ("adma", "adam"),
        ("banana", None),
        ("", None),
        (5, None),
        (None, None),
        (["adam"], None),
        ("a" * 1_000_000, None),
        ("xavier", None),  # an initializer, not an optimizer
    ],
    ids=yaml_text,
)
def test_closest_word_is_known_or_none(raw: Any, word: str | None) -> None:
    assert closest_name(raw, tuple(OPTIMIZERS)) == word
    assert did_you_mean(raw, tuple(OPTIMIZERS)) == (f"did you mean {word}?" if word else "")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (None, "null"),
        (False, "false"),
        (0.1, "0.1"),
        (math.nan, ".nan"),
        (-math.inf, "-.inf"),
        ("a\nb", r"'a\nb'"),
        ("\ud800", r"'\ud800'"),
        ((64, 32), "[64, 32]"),
        ({"low": None, "a b": [True]}, "{low: null, 'a b': [true]}"),
        (2**400, "a whole number of 401 bits"),
        ("x" * 1_000_000, "'" + "x" * 76 + "..."),
        ([0] * 1_000_000, "[" + "0, " * 25 + "0..."),
    ],
    ids=yaml_text,
)
def test_value_is_shown_short_and_as_yaml_writes_it(raw: Any, text: str) -> None:
    assert yaml_text(raw) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [("a_b", "a_b"), ("", "''"), (None, "null"), (True, "true"), ("a\nb", r"'a\nb'"), ((1, 2), "[1, 2]")],
)
def test_odd_keys_are_shown_in_quotes(key: Any, text: str) -> None:
    assert key_text(key) == text
    assert unknown_key("space", key, ("dropout",)).path == f"space.{text}"


class _Optimizer(StrEnum):
    ADAM = "adam"


def test_text_of_another_class_becomes_plain_text() -> None:
    assert type(parse_value("fixed.optimizer", KNOBS["optimizer"], _Optimizer.ADAM)[0]) is str


def test_hyperparameters_have_defaults_and_lists_become_tuples() -> None:
    point = Hyperparameters.of({"hidden": [8, 4], "dropout": 0.5, "unrelated": 1})

    assert point == Hyperparameters(hidden=(8, 4), dropout=0.5)
    assert Hyperparameters.of(point.to_params()) == point
    assert list(point.to_params()) == list(KNOBS)


def test_every_default_is_allowed() -> None:
    for name, value in Hyperparameters().to_params().items():
        assert KNOBS[name].parse(value) == value


def _real(name: str) -> st.SearchStrategy[float]:
    knob = KNOBS[name]
    low, high = max(knob.low, 0.0), min(knob.high, 1e12)
    return st.floats(low, high, exclude_min=knob.is_low_excluded, exclude_max=knob.is_high_excluded)


_WIDTHS = st.lists(st.integers(1, 65_536), max_size=5)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "initializer": st.sampled_from(tuple(INITIALIZERS)),
    "dropout": _real("dropout"),
    "l2": _real("l2"),
    "batch_norm": st.booleans(),
    "optimizer": st.sampled_from(tuple(OPTIMIZERS)),
    "learning_rate": _real("learning_rate"),
    "schedule": st.sampled_from(SCHEDULES),
    "global_clipnorm": st.floats(0, 1e300),
    "batch_size": st.integers(1, 1_000_000),
    "hidden": _WIDTHS,
    "activation": st.sampled_from(ACTIVATIONS),
}


@st.composite
def _named_domains(draw: st.DrawFn) -> tuple[str, Any]:
    name = draw(st.sampled_from(list(KNOBS)))
    values = st.lists(_VALUES[name], min_size=1, max_size=6, unique_by=lambda value: str(value).replace("-0.0", "0.0"))
    forms: list[st.SearchStrategy[Any]] = [values, st.fixed_dictionaries({"values": values})]
    if KNOBS[name].kind in ("real", "integer"):
        bounds = sorted(draw(st.tuples(_VALUES[name], _VALUES[name])))
        raw: dict[str, Any] = {"low": bounds[0], "high": bounds[1]}
        forms += [st.just(raw), st.just({**raw, "log": bounds[0] > 0})]
    return name, draw(st.one_of(forms))


@settings(deadline=None)
@given(_named_domains(), st.data())
def test_valid_domain_round_trips_and_contains_its_values(named: tuple[str, Any], data: st.DataObject) -> None:
    name, raw = named
    domain, mistakes = parse_domain("space.x", KNOBS[name], raw)

    assert mistakes == []
    assert domain is not None
    assert parse_domain("space.x", KNOBS[name], domain.to_json()) == (domain, [])
    if isinstance(domain, Choice):
        assert all(domain.contains(value) for value in domain.values)
        assert all(KNOBS[name].parse(value) == value for value in domain.values)
    else:
        assert isinstance(domain, Range)
        low, high = domain.low, domain.high
        value = data.draw(st.integers(int(low), int(high)) if domain.is_integer else st.floats(low, high))
        assert domain.contains(value)
        assert not domain.contains(math.nextafter(domain.high, math.inf))


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 40), st.sampled_from([0.01, 0.05, 0.1, 0.25, 1.0, 3.0]))
def test_every_step_of_a_grid_is_contained_and_nothing_between(start: int, n_steps: int, step: float) -> None:
    low, high = round(start * step, 2), round((start + n_steps) * step, 2)

    domain, mistakes = parse_domain("space.l2", KNOBS["l2"], {"low": low, "high": high, "step": step})

    assert mistakes == []
    assert domain is not None
    for k in range(n_steps):
        assert domain.contains(low + k * step)
        assert not domain.contains(low + (k + 0.5) * step)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), parts, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(KNOBS)), _JUNK, max_size=4))
def test_junk_is_refused_with_mistakes_not_with_exceptions(raw: dict[str, Any]) -> None:
    for parse in (parse_space, parse_values):
        good, mistakes = parse("space", raw)

        wrong = {mistake.path.split(".")[1] for mistake in mistakes}
        assert wrong | set(good) == set(raw)
        assert wrong.isdisjoint(good)


# ---- conditions


ADAM = Branch(Range(0.0, 0.5), {"optimizer": ("adam",)})


def test_a_hyperparameter_comes_after_those_that_it_depends_on_and_else_in_its_place() -> None:
    late = Conditional((ADAM,))
    chain = Conditional((Branch(Choice(("sgd", "adam")), {"batch_norm": (True,)}),))

    assert sampling_order(
        {"l2": late, "batch_size": Choice((1,)), "optimizer": chain, "batch_norm": Choice((True, False))}
    ) == (
        "batch_size",
        "batch_norm",
        "optimizer",
        "l2",
    )
    assert sampling_order({"optimizer": late}) == ()


@pytest.mark.parametrize(
    ("values", "index"),
    [
        ({"optimizer": "adam", "batch_norm": True}, 0),
        ({"optimizer": "sgd", "batch_norm": True}, 1),
        ({"optimizer": "sgd", "batch_norm": False}, None),
        ({"optimizer": "adam"}, 0),
        ({"batch_norm": False}, "optimizer"),
        ({"optimizer": "sgd"}, "batch_norm"),
    ],
)
def test_the_first_branch_that_holds_counts(values: dict[str, Any], index: int | str | None) -> None:
    domain = Conditional((ADAM, Branch(Range(0.1, 0.2), {"batch_norm": (True,)})))

    if isinstance(index, str):
        with pytest.raises(KeyError, match=index):
            domain.chosen(values)
    else:
        assert domain.chosen(values) == index


def test_a_point_of_first_values_keeps_to_what_is_given_and_to_conditions() -> None:
    space: dict[str, Any] = {
        "l2": Conditional((ADAM,)),
        "optimizer": Choice(("sgd", "adam")),
        "hidden": Layers(Choice((2, 1)), Range(8, 16, is_integer=True)),
    }

    assert first_point(space, {"l2": 0.7}, {}) == {"l2": 0.7, "optimizer": "sgd", "hidden": (8, 8)}
    assert first_point(space, {"l2": 0.7}, {"optimizer": "adam"})["l2"] == 0.0
