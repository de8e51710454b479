"""The part of a listing that reads columns as people write them, step by step as `dnnsweep.datasets` does.

Functions return code and are named by what it does. Only steps that the data need are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dnnsweep.exports.data_facts import DataFacts, TableFacts
from dnnsweep.exports.formatting import (
    INDENT,
    call,
    dict_assignment,
    indented_code,
    list_assignment,
    literal,
    narrowed,
    room,
)
from dnnsweep.records.column_reading import ColumnReading

#: Most columns of text that are listed in the call that reads them.
MAX_LISTED: Final = 2
#: Cells that pandas takes for gaps unless it is told otherwise.
_PANDAS_GAPS: Final = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)


def read_function(facts: DataFacts) -> str:
    """Return the definition of `read(path)` or `clean(table)`, which gives raw rows; empty where pandas does as well.

    In raw rows all cells are read: text columns hold words and gaps, all others numbers and gaps, and dates are days.
    """
    with narrowed(INDENT):
        return _read_function(facts)


def _read_function(facts: DataFacts) -> str:
    steps = cleaning = _clean_columns(facts, "table")
    renamed = [f"{literal(name)}: {literal(new)}" for name, new in facts.renamed.items()]
    if renamed:
        steps = [
            *cleaning,
            "# Keras takes no slashes in names.",
            dict_assignment("names", renamed),
            "table = table.rename(columns=names)",
        ]
    how = "missing values, numbers and dates as people write them"
    why = f"Read raw rows: {how}." if cleaning else "Read raw rows."
    if facts.kind == "csv":
        head, body = "read(path)", [*_read_csv(facts), *steps]
    elif facts.kind == "parquet" and steps:
        head, body = "read(path)", ["table = pd.read_parquet(path)", *steps]
    elif steps:
        head, body = "clean(table)", steps
        why = f"Read {how}." if cleaning else "Give columns the names that Keras takes."
    else:
        return ""
    code = "\n".join([f'"""{why}"""', *body, "return table"])
    return f"def {head}:\n{indented_code(code)}\n"


def _read_csv(facts: DataFacts) -> list[str]:
    """Return the statements that read a CSV file as it is written."""
    table, form = facts.table, facts.table.form
    options = [f"{key}={literal(form[name])}" for name, (key, usual) in _FORM.items() if form.get(name, usual) != usual]
    options += ["skiprows=1"] if form.get("has_separator_line") else []
    gaps = [gap for gap in _everywhere(table) if table.keeps_gaps or gap not in _PANDAS_GAPS]
    if table.keeps_gaps:
        gaps = list(dict.fromkeys(["", *gaps]))
        options.append("keep_default_na=False")
    if gaps:
        options.append(f"na_values=[{', '.join(map(literal, gaps))}]")
    setup, dtype = text_option(_read_as_text(facts))
    return [*setup, call("table = pd.read_csv", "path", *options, *dtype, "low_memory=False")]


def text_option(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the option of pandas that reads columns as text, as a list of one or none, and statements before it."""
    if not names:
        return [], []
    listed = [literal(name) for name in names]
    if len(listed) > MAX_LISTED:
        return [list_assignment("texts", listed)], ["dtype=dict.fromkeys(texts, str)"]
    return [], [f"dtype={{{': str, '.join(listed)}: str}}"]


def text_columns(facts: DataFacts) -> tuple[str, ...]:
    """Return the columns to learn from that are text, whatever a part of them or another file holds."""
    return tuple(column.name for column in facts.table.columns if _is_spelled(facts, column))


_FORM: Final = {"separator": ("sep", ","), "decimal": ("decimal", "."), "encoding": ("encoding", "utf-8")}


def _everywhere(table: TableFacts) -> list[str]:
    """Return the cells that stand for missing values in every column, as they were written."""
    columns = (*table.columns, *table.others.values())
    gaps = dict.fromkeys(gap for column in columns for gap in column.gaps)
    return [gap for gap in gaps if gap.strip() in ("", *table.missing)]


def other_gaps(facts: DataFacts, column: ColumnReading) -> list[str]:
    """Return the cells of a column that stand for missing values and that reading the file does not tell yet."""
    if facts.kind != "csv":
        return list(column.gaps)
    known = _everywhere(facts.table) + ([] if facts.table.keeps_gaps else list(_PANDAS_GAPS))
    return [gap for gap in column.gaps if gap not in known]


def conversion(facts: DataFacts, column: ColumnReading | None, code: str) -> str:
    """Return code that reads a column of the target, of the split or of the weights.

    Args:
        facts: What is known of the data.
        column: How the column is read; None where it is taken as it is.
        code: Code of the column as pandas has it.
    """
    return code if column is None else _converted(facts, column, code)


def _converted(facts: DataFacts, column: ColumnReading, code: str) -> str:
    """Return code of a column of text or numbers as it is read."""
    gaps = other_gaps(facts, column)
    if column.kind == "number" and not column.is_text:
        return f"{code}.where(~{code}.isin([{', '.join(column.gaps)}]))" if gaps else code
    if column.is_number:
        return code if column.name in _read_as_text(facts) else f'{code}.map("{{:.15g}}".format, na_action="ignore")'
    text = f"{code}.where(~{code}.isin([{', '.join(map(literal, gaps))}]))" if gaps else code
    if column.kind == "number":
        return text if _is_read_by_pandas(facts, column) else f"{_as_text(column, text)}{_as_numbers(column.decimal)}"
    return f"{_as_text(column, text)}.str.strip()" if column.is_stripped else text


def _read_as_text(facts: DataFacts) -> Sequence[str]:
    """Return the columns of a CSV file that are read as text, whatever a part of it or another file holds there."""
    if facts.kind != "csv":
        return ()
    texts = {*facts.table.texts, *text_columns(facts)}
    return tuple(name for name in dict.fromkeys((*facts.columns, *facts.table.texts)) if name in texts)


def _is_spelled(facts: DataFacts, column: ColumnReading) -> bool:
    """Return whether the code that reads a column takes it for text."""
    if column.is_mixed:  # pandas tells truth values
        return False
    is_number = column.kind == "number" and (not column.is_text or _is_read_by_pandas(facts, column))
    return not is_number and not column.is_number


def _is_read_by_pandas(facts: DataFacts, column: ColumnReading) -> bool:
    """Return whether pandas reads numbers as such once it knows the gaps."""
    return facts.kind == "csv" and not column.is_spelled and not other_gaps(facts, column)


def _as_text(column: ColumnReading, code: str) -> str:
    return f'{code}.map(str, na_action="ignore")' if column.is_mixed else code


def _as_numbers(decimal: str) -> str:
    if decimal == ".":
        return '.str.replace(r"[^0-9.eE+-]", "", regex=True).astype("float64")'
    return '.str.replace(r"[^0-9,eE+-]", "", regex=True).str.replace(",", ".").astype("float64")'


def _clean_columns(facts: DataFacts, name: str) -> list[str]:
    """Return the statements that read the columns to learn from; dates become days.

    Args:
        facts: What is known of the data.
        name: Name of the table.
    """
    lines = []
    for column in facts.table.columns:
        code = f"{name}[{literal(column.name)}]"
        read = code if column.kind == "date" else _converted(facts, column, code)
        if read != code:
            lines += _assignment(code, read)
    for column in facts.dates:
        code = f"{name}[{literal(column.name)}]"
        lines += [
            call("dates = pd.to_datetime", *date_call(facts, column, code)),
            f'{code} = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)',
        ]
    return lines


def _assignment(target: str, code: str) -> list[str]:
    line = f"{target} = {code}"
    if len(line) <= room():
        return [line]
    if len(code) + INDENT <= room():
        return [f"{target} = (", f"    {code}", ")"]
    head, steps = _split_steps(code)
    return [f"{target} = (", f"    {head}", *(f"    {step}" for step in steps), ")"]


def _split_steps(code: str) -> tuple[str, list[str]]:
    """Return the column that a chain of calls begins with, and the calls."""
    marks = (".where(", ".map(", ".str.", ".astype(")
    parts, start = [], 0
    depth, quote = 0, ""
    for index, letter in enumerate(code):
        if quote:
            quote = "" if letter == quote and code[index - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
        elif letter == "." and not depth and any(code.startswith(mark, index) for mark in marks):
            parts.append(code[start:index])
            start = index
    head, *steps = [*parts, code[start:]]
    return head, steps


def date_call(facts: DataFacts, column: ColumnReading | None, code: str) -> tuple[str, ...]:
    """Return the arguments of pandas's to_datetime for a column of dates.

    Args:
        facts: What is known of the data.
        column: How the column is read; None for dates like 2024-01-31.
        code: Code of the column as pandas has it.
    """
    if column is None:
        return code, 'format="ISO8601"', "utc=True"
    gaps = other_gaps(facts, column)
    code = f"{code}.where(~{code}.isin([{', '.join(map(literal, gaps))}]))" if gaps else code
    code = f"{code}.str.strip()" if column.is_stripped else code
    return code, *([f"format={literal(column.format)}"] if column.format else []), "utc=True"


def _counts(column: str, gap: str) -> list[str]:
    return [
        f"    counts = {column}.value_counts()",
        f'    counts = counts.drop({gap}, errors="ignore").sort_index()',
    ]


def join_rare_words(facts: DataFacts) -> str:
    """Make rare words one category."""
    columns = facts.rare
    if not columns:
        return ""
    most, gap = max(len(column.words or ()) for column in columns), literal(facts.table.gap)
    held = "pd.concat([x_train[name], x_val[name]])" if facts.is_redrawn else "x_train[name]"
    whose = "rows but test rows" if facts.is_redrawn else "the training rows"
    lines = [f"# Words beyond the {most} most frequent ones of {whose} become one category."]
    for other in dict.fromkeys(column.other for column in columns):
        names = [literal(facts.input_name(column.name)) for column in columns if column.other == other]
        lines += [
            list_assignment("rare", names),
            "for name in rare:",
            *_counts(held, gap),
            '    counts = counts.sort_values(ascending=False, kind="stable")',
            f"    kept = [*counts.index[:{most}], {gap}]",
            f"    for part in ({', '.join(f'x_{part}' for part in facts.parts)}):",
            f"        part[name] = part[name].where(part[name].isin(kept), {literal(other)})",
        ]
    return "\n".join(lines)
