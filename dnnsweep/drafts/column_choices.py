"""What a draft does with each column: leave it out, take it for a date, or keep it; and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dnnsweep.datasets.cells import MISSING_WORDS
from dnnsweep.datasets.clean_columns import ColumnKind
from dnnsweep.datasets.profiles import MIN_ROWS, ColumnProfile, Leak
from dnnsweep.errors import Mistake, SpecError
from dnnsweep.space import yaml_text

#: Ends of column names that identifiers have, and ends that only columns of nothing but different values make credible.
_IDENTIFIER: Final = re.compile(
    r"(^|[^a-z])(ids?|uuid|guid|key)$|^id[^a-z]|(account|case|client|customer|item|order|passenger|patient|row|user)id$"
)
_CAMEL_IDENTIFIER: Final = re.compile(r"[a-z](ID|Id|Key)$")
_NUMBERING: Final = re.compile(r"(^|[^a-z])(index|idx|no|nr|num|number|code|serial)$")
#: Words in the names of measurements that may count up from row to row.
_MEASURED: Final = frozenset(
    (
        *("year", "month", "week", "day", "hour", "minute", "second", "time", "timestamp", "date", "age"),
        *("price", "cost", "count", "amount"),
    )
)
#: Digits that numbers have at least which look like identifiers because all have as many.
MIN_DIGITS: Final = 5
#: Share of different texts, and number of words in each, from which texts are taken for free text.
FREE_SHARE: Final = 0.5
FREE_WORDS: Final = 5.0
#: Most different cells in a column of numbers or dates that may stand for missing values.
MAX_STRAYS: Final = 5
#: Most different texts that are never free text.
MAX_WORDS: Final = 50


@dataclass(frozen=True, slots=True)
class ColumnChoices:
    """What to do with the columns of a table.

    Args:
        dropped: Names of the columns to leave out, each with the reason.
        dates: Names of the columns of dates, each with its format if that must be said.
        missing: Words for missing values; empty where the usual ones are enough.
        missing_reason: Which words were added, and where they were found.
        warnings: Sentences about columns that are kept but deserve a look.
        groups: Names of the columns that were dropped and may be groups of rows.
    """

    dropped: Mapping[str, str]
    dates: Mapping[str, str | None]
    missing: tuple[str, ...]
    missing_reason: str
    warnings: tuple[str, ...]
    groups: tuple[str, ...]


def choose_columns(
    profiles: Mapping[str, ColumnProfile],
    leaks: Mapping[str, Leak],
    target: ColumnProfile,
    labels: Collection[str] = (),
) -> ColumnChoices:
    """Decide what to do with each column but the target.

    Args:
        profiles: Profile of each column by name.
        leaks: How columns give the target away, by name.
        target: Profile of the target.
        labels: Words that the target holds.

    Raises:
        SpecError: There is none to learn from.
    """
    features = {name: profile for name, profile in profiles.items() if name != target.name}
    reasons = {
        name: drop_reason(profile, leaks.get(name), target.name) or _ambiguous_reason(profile, target.name, labels)
        for name, profile in features.items()
    }
    dropped = {name: reason for name, reason in reasons.items() if reason}
    if len(dropped) == len(features):
        got = "; ".join(f"{name}: {reason}" for name, reason in list(dropped.items())[:5]) or "the target alone"
        rule, remedy = "must have a column to learn from", "add columns, or name another target"
        raise SpecError([Mistake("SOURCE", rule, got, remedy)])
    kept = [profile for name, profile in features.items() if name not in dropped]
    return ColumnChoices(
        dropped,
        {profile.name: _needed_format(profile) for profile in kept if profile.kind is ColumnKind.DATE},
        *_missing_words([*kept, target]),
        tuple(warning for profile in kept for warning in _warnings(profile, leaks.get(profile.name), target.name)),
        tuple(name for name in dropped if is_repeated_identifier(features[name])),
    )


def _needed_format(profile: ColumnProfile) -> str | None:
    """Return the format of dates that must be named, because day and month may be meant the other way round."""
    return profile.formats[0] if len(profile.formats) > 1 else None


def _missing_words(profiles: Sequence[ColumnProfile]) -> tuple[tuple[str, ...], str]:
    """Return words for missing values if the usual ones are not enough, and where the others were found."""
    strays = {profile.name: profile.strays for profile in profiles if profile.strays}
    if not strays:
        return (), ""
    found = "; ".join(f"{', '.join(map(yaml_text, words))} of {name}" for name, words in strays.items())
    met = (word for profile in profiles for word in (*profile.gaps, *profile.strays))
    return tuple(dict.fromkeys((*MISSING_WORDS, *met))), found


def drop_reason(profile: ColumnProfile, leak: Leak | None, target: str) -> str:
    """Return why a column is left out; empty if it is kept."""
    known = "" if leak is None else _LEAKS.get(leak, "").format(target=target)
    return (
        known
        or _unusable_reason(profile)
        or _constant_reason(profile)
        or identifier_reason(profile)
        or _text_reason(profile)
    )


_LEAKS: Final[Mapping[Leak, str]] = {
    Leak.COPY: "copy of {target}: its values stand for those of {target} one for one",
    Leak.ANSWER: "knows {target}: each of its values occurs with one value of {target} only",
    Leak.FILLED: "knows {target}: it is filled in for one value of {target} only",
}


def _unusable_reason(profile: ColumnProfile) -> str:
    if profile.kind is ColumnKind.OTHER:
        return "holds neither numbers, text nor dates"
    if not profile.n_present:
        return "empty"
    if len(profile.strays) > MAX_STRAYS:
        meant, example = "dates" if profile.kind is ColumnKind.DATE else "numbers", yaml_text(profile.strays[0][:30])
        return f"holds {meant}, and {len(profile.strays)} different other texts, such as {example}"
    return "" if profile.is_finite else "holds numbers that are infinite or too large for 32 bits"


def _ambiguous_reason(profile: ColumnProfile, target: str, labels: Collection[str]) -> str:
    """Return why a column is left out whose cells could only be missing values if the target had the same ones."""
    shared = [word for word in profile.strays if word in labels]
    return f"holds numbers, and {yaml_text(shared[0])}, which is a class of {target}" if shared else ""


def _constant_reason(profile: ColumnProfile) -> str:
    is_marked = profile.kind is ColumnKind.TEXT and profile.n_missing  # a missing text is a word of its own
    if profile.n_distinct > 1 or is_marked:
        return ""
    return f"constant: {yaml_text(profile.example[:40])} in every row{' that has a value' if profile.n_missing else ''}"


def identifier_reason(profile: ColumnProfile) -> str:
    """Return why a column is taken for an identifier; empty if it is not."""
    n_values = f"{profile.n_distinct:,} different values in {profile.n_rows:,} rows"
    if is_repeated_identifier(profile):
        return f"identifier that repeats: {n_values}"
    if not profile.is_unique or profile.n_distinct < MIN_ROWS:
        return ""
    if profile.kind is ColumnKind.TEXT:
        return f"{'identifier' if profile.n_words < FREE_WORDS else 'free text'}: {n_values}"
    if profile.is_increasing and profile.is_dense and _is_numbering(profile):
        return "row number: it counts the rows"
    return f"identifier: {n_values}" if _is_numbering(profile) else ""


def _is_numbering(profile: ColumnProfile) -> bool:
    """Return whether whole numbers that all differ stand for rows and measure nothing."""
    if profile.kind is not ColumnKind.WHOLE or _MEASURED & set(words_of(profile.name)):
        return False
    is_code = profile.n_digits is not None and profile.n_digits >= MIN_DIGITS
    looks_counted = not profile.n_missing and (profile.is_increasing or profile.is_dense or is_code)
    return looks_counted or has_identifier_name(profile.name) or _NUMBERING.search(profile.name.lower()) is not None


def is_repeated_identifier(profile: ColumnProfile) -> bool:
    """Return whether a column holds identifiers, each of them in several rows: of patients, of machines."""
    is_many = profile.n_distinct > max(MAX_WORDS, 0.02 * profile.n_rows) and not profile.is_unique
    is_code = profile.kind in (ColumnKind.WHOLE, ColumnKind.TEXT)
    return is_many and is_code and has_identifier_name(profile.name)


def has_identifier_name(name: str) -> bool:
    """Return whether a column is called as identifiers are.

    Example:
        >>> [has_identifier_name(name) for name in ("customer_id", "PassengerId", "id", "width", "paid")]
        [True, True, True, False, False]
    """
    return bool(_IDENTIFIER.search(name.lower()) or _CAMEL_IDENTIFIER.search(name))


def words_of(name: str) -> list[str]:
    """Return the words of a column's name.

    Example:
        >>> words_of("isChurned"), words_of("is_churned"), words_of("Is churned")
        (['is', 'churned'], ['is', 'churned'], ['is', 'churned'])
    """
    return re.findall(r"[^\W_]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).lower())


def _text_reason(profile: ColumnProfile) -> str:
    if profile.kind is not ColumnKind.TEXT or profile.n_distinct <= MAX_WORDS:
        return ""
    if profile.n_distinct > FREE_SHARE * profile.n_present:
        kind = "free text" if profile.n_words >= FREE_WORDS else "nearly all texts differ"
        return f"{kind}: {profile.n_distinct:,} different texts in {profile.n_present:,} rows that have one"
    return ""


def _warnings(profile: ColumnProfile, leak: Leak | None, target: str) -> list[str]:
    if leak is Leak.RANGES:
        return [
            f"{profile.name} alone tells {target} in every row; add it to dataset.drop if it is only known afterwards."
        ]
    if len(profile.formats) > 1:
        return [
            f"dates of {profile.name} are read as {profile.formats[0]}, but may be {' or '.join(profile.formats[1:])}."
        ]
    if profile.kind is ColumnKind.WHOLE and profile.is_unique and profile.n_distinct >= MIN_ROWS:
        return [f"{profile.name} holds whole numbers that all differ; add it to dataset.drop if it is an identifier."]
    return []
