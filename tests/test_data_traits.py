from __future__ import annotations

import itertools
import json

import pytest

from dnnsweep.ledger import summary_json
from dnnsweep.records import BuilderCall, DataSummary, DataTrait, InputForm, Task, decode_traits, encode_traits

#: The words of stored sweeps; another word would make their listings wrong.
STORED = (
    "reshaped",
    "column_target",
    "frame",
    "cast",
    "text",
    "only_text",
    "mixed_text",
    "missing_numbers",
    "missing_text",
    "own_test",
    "text_target",
    "dictionary_of_arrays",
    "dated",
)
CALLS = [
    (*words, form)
    for words in [(), ("dictionary",), ("takes_units", "takes_n_features"), ("takes_text", "takes_dictionary")]
    for form in ("flat_input", "one_input", "many_inputs", "named_inputs")
]


def test_every_list_that_can_be_stored_is_read_and_written_again_as_it_was() -> None:
    traits = [words for n in range(len(STORED) + 1) for words in itertools.combinations(STORED, n)]

    for words in itertools.chain(traits, (some + call for some, call in itertools.product(traits, CALLS))):
        assert encode_traits(*decode_traits(words)) == list(words)


def test_the_words_of_stored_sweeps_are_kept() -> None:
    assert tuple(trait.value for trait in DataTrait) == STORED
    assert [form.value for form in InputForm] == ["flat_input", "one_input", "many_inputs", "named_inputs"]


def test_a_list_is_read_as_traits_and_the_call_of_a_builder() -> None:
    named = decode_traits(["frame", "text", "takes_units", "takes_n_outputs", "named_inputs"])
    whole = decode_traits(["dictionary_of_arrays", "dictionary", "flat_input"])

    assert named == (
        (DataTrait.FRAME, DataTrait.TEXT),
        BuilderCall(takes=("units", "n_outputs"), inputs=InputForm.NAMED),
    )
    assert whole == ((DataTrait.DICTIONARY_OF_ARRAYS,), BuilderCall(takes=None, inputs=InputForm.FLAT))
    assert decode_traits([]) == ((), None)


@pytest.mark.parametrize("words", [["txet"], ["text", "takes_units"], ["flat_input", "text"]])
def test_a_list_that_no_version_has_stored_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="is not a valid DataTrait"):
        decode_traits(words)


def test_a_summary_is_stored_with_one_list_of_words() -> None:
    call = BuilderCall(takes=("units",), inputs=InputForm.SEVERAL)
    data = DataSummary("f", Task.BINARY, 2, ("a", "b"), ("0", "1"), 6, 2, 2, (), (DataTrait.OWN_TEST,), call)

    plain = json.loads(json.dumps(summary_json(data)))

    assert list(plain)[-4:] == ["notes", "traits", "reading", "constant_loss"]
    assert plain["traits"] == ["own_test", "takes_units", "many_inputs"]
