"""The target of a draft: which column it probably is, and which task its values make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dnnsweep.datasets.clean_columns import ColumnKind
from dnnsweep.datasets.profiles import ColumnProfile
from dnnsweep.datasets.targets import MAX_CLASSES
from dnnsweep.drafts.column_choices import identifier_reason, words_of
from dnnsweep.errors import Mistake, SpecError
from dnnsweep.records import Task
from dnnsweep.space import did_you_mean, yaml_text

#: Words of column names that targets have, the surest first.
USUAL_WORDS: Final = (
    ("target", "label", "labels", "class", "outcome", "y"),
    ("churn", "churned", "survived", "exited", "attrition", "fraud", "diagnosis", "default", "defaulted"),
    ("response", "result", "species", "price", "converted", "sold", "quality", "rating", "score", "status"),
)
#: Most distinct whole numbers that are taken for classes, and the fewest rows that the rarest one then has.
MAX_WHOLE_CLASSES: Final = 20
MIN_CLASS_ROWS: Final = 5


def find_target(name: str, columns: Sequence[str]) -> str:
    """Return the column that a person names as the target.

    Raises:
        SpecError: There is no such column.
    """
    if name in columns:
        return name
    shown = ", ".join(map(yaml_text, columns[:20])) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
    remedy = did_you_mean(name, columns) or f"the columns are {shown}"
    raise SpecError([Mistake("--target", "must be a column of the table", yaml_text(name), remedy)])


def guess_target(profiles: Mapping[str, ColumnProfile]) -> tuple[str, str]:
    """Return the column that is probably the target, and why.

    Raises:
        SpecError: No column can be predicted.
    """
    candidates = [name for name, profile in profiles.items() if _may_be_target(profile)]
    if not candidates:
        rule, remedy = "no column can be predicted", "each is constant, an identifier, a date or free text"
        raise SpecError([Mistake("--target", rule, f"{len(profiles)} columns", remedy)])
    for usual in USUAL_WORDS:
        named = [name for name in candidates if set(words_of(name)) & set(usual)]
        if named:
            return named[-1], "targets are often called so"
    return candidates[-1], "the last column that can be predicted"


def _may_be_target(profile: ColumnProfile) -> bool:
    is_filled = profile.n_missing == 0 and profile.n_distinct > 1
    if not is_filled or profile.kind in (ColumnKind.DATE, ColumnKind.OTHER) or identifier_reason(profile):
        return False
    return profile.kind is not ColumnKind.TEXT or profile.n_distinct <= MAX_CLASSES


def choose_task(target: ColumnProfile) -> tuple[Task | None, str]:
    """Return the task that a target makes, and why; None where it holds what others will refuse.

    Raises:
        SpecError: It is missing somewhere, the same everywhere, or holds dates or nearly as many texts as rows.
    """
    if target.n_missing:
        such = f", such as {yaml_text(target.strays[0])}" if target.strays else ""
        got = f"{target.n_missing:,} of {target.n_rows:,} rows without it{such}"
        raise _target_error(target, "must not be missing", got, "remove these rows or fill them in")
    if target.n_distinct == 1:
        got = f"{yaml_text(target.example)} in every row"
        raise _target_error(target, "must have at least two distinct values", got)
    if target.kind is ColumnKind.DATE:
        raise _target_error(target, "must hold numbers, text or booleans", "dates")
    if target.kind is ColumnKind.TEXT and target.n_distinct > max(MAX_CLASSES, target.n_rows / MIN_CLASS_ROWS):
        got = f"{target.n_distinct:,} different texts in {target.n_rows:,} rows, such as {yaml_text(target.example)}"
        raise _target_error(target, "must hold classes or numbers", got)
    if target.kind is ColumnKind.OTHER:
        return None, ""
    if target.kind is ColumnKind.NUMBER:
        return Task.REGRESSION, "its values are numbers with fractions"
    if target.n_distinct == 2:
        return Task.BINARY, ""
    if target.kind is ColumnKind.WHOLE:
        return _choose_whole(target)
    return Task.MULTICLASS, ""


def _choose_whole(target: ColumnProfile) -> tuple[Task, str]:
    if target.n_distinct > MAX_CLASSES:
        return Task.REGRESSION, f"it has {target.n_distinct:,} different numbers"
    whole = f"it has {target.n_distinct} different whole numbers"
    if target.n_distinct > MAX_WHOLE_CLASSES:
        return Task.REGRESSION, f"{whole}; `task: multiclass` takes them for classes"
    if target.smallest < MIN_CLASS_ROWS:
        return Task.REGRESSION, f"{whole}, and some occur in {target.smallest} rows only, too few for classes"
    return Task.MULTICLASS, f"{whole}; `task: regression` takes them for numbers"


def _target_error(target: ColumnProfile, rule: str, got: str, remedy: str = "name another column") -> SpecError:
    return SpecError([Mistake("--target", f"{target.name} {rule}", got, remedy)])
