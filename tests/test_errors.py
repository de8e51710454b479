from __future__ import annotations

import copy
import pickle

import pytest

from dnnsweep import errors
from dnnsweep.errors import DataError, DnnsweepError, Mistake, QueryError, SettingsError, SpecError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DnnsweepError)]


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (Mistake("a.b", "must hold"), "a.b: must hold"),
        (Mistake("a.b", "must hold", "5"), "a.b: must hold, got 5"),
        (Mistake("a.b", "must hold", "", "mend it"), "a.b: must hold; mend it"),
        (Mistake("a.b", "must hold", "5", "mend it"), "a.b: must hold, got 5; mend it"),
    ],
)
def test_mistake_says_path_rule_value_and_remedy(mistake: Mistake, text: str) -> None:
    assert str(mistake) == text


def test_spec_error_says_every_mistake_on_its_own_line() -> None:
    error = SpecError(iter([Mistake("a", "is missing"), Mistake("b", "is missing")]))

    assert str(error) == "a: is missing\nb: is missing"
    assert [mistake.path for mistake in error.mistakes] == ["a", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_an_exit_code_and_a_sentence(kind: type[DnnsweepError]) -> None:
    assert kind.exit_code == (2 if issubclass(kind, SpecError | QueryError | SettingsError) else 1)
    assert kind.__doc__


@pytest.mark.parametrize("kind", [SpecError, DataError])
def test_mistakes_cross_a_process_boundary(kind: type[SpecError]) -> None:
    error = kind([Mistake("a", "is missing")])

    for arrived in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  our own bytes
        assert type(arrived) is kind
        assert arrived.mistakes == error.mistakes
        assert str(arrived) == "a: is missing"


def test_error_with_a_plain_text_crosses_a_process_boundary() -> None:
    arrived = pickle.loads(pickle.dumps(QueryError("unknown field x")))  # noqa: S301  our own bytes

    assert (type(arrived), str(arrived)) == (QueryError, "unknown field x")
