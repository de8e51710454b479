"""Rules for the section `dataset`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dnnsweep import user_functions
from dnnsweep.errors import Mistake
from dnnsweep.space import did_you_mean, yaml_text
from dnnsweep.spec.dataset import FILES, HANDED_OVER
from dnnsweep.spec.sections import SweepSpec
from dnnsweep.spec.source_kinds import KINDS, TABLES

SKLEARN: Final = ("digits", "breast_cancer", "wine", "iris", "diabetes")
KERAS: Final = ("mnist", "fashion_mnist", "cifar10", "california_housing")


def check_source(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that the source is of a known kind and names something."""
    source = spec.dataset.source
    kind, colon, name = source.partition(":")
    path, got = "dataset.source", yaml_text(source)
    built_in = {"sklearn": SKLEARN, "keras": KERAS}
    if kind not in KINDS or not colon:
        yield Mistake(path, "must name a known kind of source", got, _kind_remedy(source, kind, built_in))
    elif kind in built_in and name not in built_in[kind]:
        rule = f"must be one of {', '.join(f'{kind}:{data_set}' for data_set in built_in[kind])}"
        yield Mistake(path, rule, got, did_you_mean(name, built_in[kind]))
    elif kind in FILES and not name.strip():
        yield Mistake(path, "must name a file", got, f"write {kind}:PATH")
    elif kind == "python" and not re.fullmatch(user_functions.PATTERN, source):
        yield Mistake(path, "must name a function", got, "write python:MODULE:FUNCTION")
    elif kind == "arrays" and name:
        yield Mistake(path, f"must be just {HANDED_OVER} for arrays passed in Python", got, "name a file instead")


def _kind_remedy(source: str, kind: str, built_in: Mapping[str, Sequence[str]]) -> str:
    """Return the remedy for a source of no known kind: the built-in data set or the kind that was probably meant."""
    full_names = {name: f"{kind}:{name}" for kind, names in built_in.items() for name in names}
    if source in full_names:
        return f"did you mean {full_names[source]}?"
    return did_you_mean(kind, KINDS) or "write sklearn:NAME, keras:NAME, csv:PATH, parquet:PATH or npz:PATH"


def check_columns(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that tables name their target, and other sources no columns."""
    dataset = spec.dataset
    kind = dataset.source.partition(":")[0]
    if kind in TABLES and not dataset.target:
        yield Mistake("dataset.target", "is missing", "", f"name the column of the {kind} file to predict")
    elif dataset.target is not None and dataset.target in dataset.drop:
        yield Mistake("dataset.drop", "must not contain the target", yaml_text(dataset.target), "remove it here")
    elif kind in KINDS and kind not in (*TABLES, "python"):  # a function may return a table
        given: dict[str, Any] = {"target": dataset.target, "drop": list(dataset.drop)}
        for key, value in given.items():
            if value:
                yield Mistake(
                    f"dataset.{key}", "belongs to csv and parquet sources only", yaml_text(value), "remove it"
                )


def check_reading(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that only columns of tables are read in a special way, and each in one way."""
    dataset = spec.dataset
    kind = dataset.source.partition(":")[0]
    if dataset.csv is not None and kind in KINDS and kind != "csv":
        yield Mistake("dataset.csv", "belongs to csv sources only", yaml_text(dataset.source), "remove it")
    given: dict[str, Any] = {"missing": dataset.missing, "text": list(dataset.text), "dates": list(dataset.dates)}
    if kind in ("sklearn", "keras", "npz"):
        for key, value in given.items():
            if value:
                yield Mistake(f"dataset.{key}", "belongs to tables with named columns", yaml_text(value), "remove it")
    taken: dict[str | None, str] = dict.fromkeys(dataset.drop, "is left out by dataset.drop")
    taken |= dict.fromkeys(dataset.dates, "is one of dataset.dates")
    for index, name in enumerate(dataset.text):
        if name in taken:
            got = f"{yaml_text(name)}, which {taken[name]}"
            yield Mistake(f"dataset.text.{index}", "must be a column of its own", got, "name it once")
    for name in dataset.dates:
        if name in dataset.drop or name == dataset.target:
            got = f"{yaml_text(name)}, which is {'left out' if name in dataset.drop else 'the target'}"
            yield Mistake("dataset.dates", "must name columns to learn from", got, "name it once")


def check_roles(spec: SweepSpec) -> Iterator[Mistake]:
    """Check the columns that rows are split or weighted by."""
    dataset = spec.dataset
    kind = dataset.source.partition(":")[0]
    roles = {"dataset.sample_weight": dataset.sample_weight}
    if dataset.split is not None:
        roles[f"dataset.split.{dataset.split.kind}"] = dataset.split.column
    taken: dict[str | None, str] = dict.fromkeys(dataset.drop, "is left out by dataset.drop")
    taken[dataset.target] = "is the target"
    for path, name in roles.items():
        if name is None:
            continue
        if kind in ("sklearn", "keras", "npz"):
            yield Mistake(path, "belongs to tables with named columns", yaml_text(name), "remove it")
        elif name in taken:
            yield Mistake(
                path, "must be a column of its own", f"{yaml_text(name)}, which {taken[name]}", "name another column"
            )


def check_fractions(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that rows are left to train on."""
    validation, test = spec.dataset.validation, spec.dataset.test
    if spec.dataset.folds is None and validation + test >= 1:
        got = f"validation={yaml_text(validation)} and test={yaml_text(test)}"
        yield Mistake(
            "dataset.validation", "must leave rows to train on beside the test rows", got, "lower one of them"
        )


def check_redrawn(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that rows may be validated with that others would."""
    dataset = spec.dataset
    if dataset.split is not None and dataset.split.kind == "order":
        rule = "must not be used with split.order, as later rows would help to predict earlier ones"
        for key, value in {"folds": dataset.folds, "resplit": dataset.resplit}.items():
            if value:
                yield Mistake(f"dataset.{key}", rule, yaml_text(value), "remove one of them")
    if dataset.folds is not None and dataset.validation != type(dataset).model_fields["validation"].default:
        rule, got = "is what folds decide", f"{yaml_text(dataset.validation)} and {dataset.folds} folds"
        yield Mistake("dataset.validation", rule, got, "remove it")


def check_class_weight(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that only classes are weighted."""
    weight = spec.dataset.class_weight
    if weight is not None and spec.task == "regression":
        yield Mistake("dataset.class_weight", "belongs to classes", yaml_text(weight), "remove it")
