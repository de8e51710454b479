"""Traits of data and calls of a user's builder: what exported code needs to treat rows as a trainer did.

Both are stored as one list of words. Stored sweeps hold these words, so the words never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class DataTrait(StrEnum):
    """What rows and target were like before they were encoded."""

    #: Rows have several dimensions or are single numbers; they are reshaped to columns.
    RESHAPED = "reshaped"
    #: The target has the shape (rows, 1).
    COLUMN_TARGET = "column_target"
    #: Rows are a table with named columns, not an array.
    FRAME = "frame"
    #: Numbers are converted before scaling: to float32 in an array, to float64 in a table.
    CAST = "cast"
    #: Some columns hold text.
    TEXT = "text"
    #: No column holds numbers.
    ONLY_TEXT = "only_text"
    #: Some text columns hold booleans, whole numbers or categories.
    MIXED_TEXT = "mixed_text"
    #: Some numbers are missing.
    MISSING_NUMBERS = "missing_numbers"
    #: Some texts are missing.
    MISSING_TEXT = "missing_text"
    #: The source provides test rows.
    OWN_TEST = "own_test"
    #: The target is text.
    TEXT_TARGET = "text_target"
    #: The user's function returns a dictionary of arrays.
    DICTIONARY_OF_ARRAYS = "dictionary_of_arrays"
    #: Rows are split by dates, not by numbers.
    DATED = "dated"


class InputForm(StrEnum):
    """How a network takes a row."""

    #: As the row is.
    FLAT = "flat_input"
    #: Reshaped, by a single input.
    RESHAPED = "one_input"
    #: Divided among several inputs, in their order.
    SEVERAL = "many_inputs"
    #: Divided among several inputs, as a dictionary by their names.
    NAMED = "named_inputs"


@dataclass(frozen=True, slots=True)
class BuilderCall:
    """How the function that builds networks is called, and how a network takes its rows.

    Args:
        takes: Names of the arguments that the function is called with, in the order of the call; None where it is
            called with one dictionary of all hyperparameters.
        inputs: Form in which a network takes a row.
    """

    takes: tuple[str, ...] | None
    inputs: InputForm


#: The word of a function that is called with one dictionary.
_DICTIONARY: Final = "dictionary"
#: Prefix of the words that name the arguments of a function.
_TAKES: Final = "takes_"


def encode_traits(traits: Iterable[DataTrait], call: BuilderCall | None = None) -> list[str]:
    """Return traits, and the call of a builder if there is one, as a list of words.

    Example:
        >>> encode_traits([DataTrait.TEXT], BuilderCall(("units",), InputForm.FLAT))
        ['text', 'takes_units', 'flat_input']
    """
    words = [trait.value for trait in traits]
    if call is None:
        return words
    takes = [_DICTIONARY] if call.takes is None else [f"{_TAKES}{name}" for name in call.takes]
    return [*words, *takes, call.inputs.value]


def decode_traits(words: Sequence[str]) -> tuple[tuple[DataTrait, ...], BuilderCall | None]:
    """Return the traits that a list of words holds, and the call of a builder; None without a builder.

    Args:
        words: List as `encode_traits` returns it.

    Raises:
        ValueError: A word is unknown.

    Example:
        >>> decode_traits(["text", "takes_units", "flat_input"])[1]
        BuilderCall(takes=('units',), inputs=<InputForm.FLAT: 'flat_input'>)
    """
    if not words or words[-1] not in set(InputForm):
        return tuple(map(DataTrait, words)), None
    *words, inputs = words
    traits = tuple(DataTrait(word) for word in words if not _is_about_call(word))
    takes = tuple(word.removeprefix(_TAKES) for word in words if word.startswith(_TAKES))
    return traits, BuilderCall(None if _DICTIONARY in words else takes, InputForm(inputs))


def _is_about_call(word: str) -> bool:
    return word == _DICTIONARY or word.startswith(_TAKES)
