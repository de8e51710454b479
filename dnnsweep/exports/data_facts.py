"""What a listing must know of the data, gathered from a stored sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dnnsweep.errors import ExportError
from dnnsweep.records import BuilderCall, DataTrait, Sweep, Task, Trial, decode_traits
from dnnsweep.records.column_reading import ColumnReading
from dnnsweep.records.input_names import input_names
from dnnsweep.seeds import derive


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What a listing must know of how the columns of a table were read.

    Args:
        columns: Columns to learn from.
        others: Columns of the target and of the split and weights, by name.
        left_out: Columns that only number the rows.
        missing: Words for missing values among texts.
        form: How the CSV file is written, as options of pandas.
        keeps_gaps: Whether words that pandas takes for gaps are words.
        gap: Category of missing texts.
        texts: Columns that are read as text whatever they hold.
        is_named: Whether the columns have names of their own; None where an earlier version has not stored it.
    """

    columns: tuple[ColumnReading, ...] = ()
    others: Mapping[str, ColumnReading] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    form: Mapping[str, Any] = field(default_factory=dict)
    keeps_gaps: bool = False
    gap: str = "missing"
    texts: tuple[str, ...] = ()
    is_named: bool | None = None

    @classmethod
    def of(cls, reading: Mapping[str, Any], dataset: Mapping[str, Any]) -> TableFacts:
        """Gather the facts from a reading, as a sweep stores it, and from the sweep file's section."""
        if not reading:
            return cls()
        columns, others = (tuple(map(ColumnReading.from_json, reading[key])) for key in ("columns", "others"))
        return cls(
            columns=columns,
            others={column.name: column for column in others},
            left_out=tuple(reading["left_out"]),
            missing=tuple(reading["missing"]["texts"]),
            form=reading["form"] or {},
            keeps_gaps=reading["keeps_gaps"],
            gap=reading["gap"],
            texts=(
                *dataset.get("text", ()),
                *dataset.get("dates", ()),
                *(column.name for column in (*columns, *others) if column.is_truth),
            ),
            is_named=bool(columns),
        )


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What a listing must know of the data.

    Args:
        kind: Kind of the source: `sklearn`, `keras`, `csv`, `parquet`, `npz`, `python` or `arrays`.
        name: Data set, path or function that the source names; empty for arrays.
        sweep: Name of the sweep.
        columns: Names of a raw row's columns.
        target: Column to predict; None where rows and target are read apart.
        left_out: Columns that are dropped.
        split_by: Column of groups that rows are split by; None for no such column.
        order_by: Column that orders rows for the split; None for no such column.
        shares: Fractions of validation and test rows.
        class_weight: Weights of classes as the sweep file has them; None where each weighs 1.
        sample_weight: Column with weights of rows; None where each row weighs 1.
        scale: `standard`, `minmax` or `none`.
        seed: Seed of the split into test rows and others.
        validation_seed: Seed by which the trial's validation rows are drawn.
        is_redrawn: Whether other trials have other splits, or the trial has several.
        n_folds: Number of folds; None for one split.
        task: Task of the sweep; it decides whether the split is stratified.
        classes: Labels in the order of the outputs; empty for regression.
        n_features: Inputs of the network.
        n_train: Training rows.
        n_validation: Validation rows.
        n_test: Test rows.
        traits: Traits of rows and target before they were encoded.
        builder_call: Call of the user's function that builds the networks; None without one.
        table: How the columns of a table were read.
    """

    kind: str
    name: str
    sweep: str
    columns: tuple[str, ...]
    target: str | None
    left_out: tuple[str, ...]
    split_by: str | None
    order_by: str | None
    shares: tuple[float, float]
    class_weight: str | Mapping[str, float] | None
    sample_weight: str | None
    scale: str
    seed: int
    validation_seed: int
    is_redrawn: bool
    n_folds: int | None
    task: Task
    classes: tuple[str, ...]
    n_features: int
    n_train: int
    n_validation: int
    n_test: int
    traits: frozenset[DataTrait]
    builder_call: BuilderCall | None
    table: TableFacts

    @classmethod
    def of(cls, sweep: Sweep, trial: Trial) -> DataFacts:
        """Gather the facts from a sweep and a trial as the ledger returns them.

        Raises:
            ExportError: A newer version has stored traits that this one does not know.
        """
        dataset: dict[str, Any] = sweep.spec["dataset"]
        kind, _, name = dataset["source"].partition(":")
        split = dataset.get("split") or {}
        traits, builder_call = _traits_of(sweep)
        table = TableFacts.of(sweep.data.get("reading", {}), dataset)
        is_resplit = bool(dataset.get("resplit"))
        return cls(
            kind=kind,
            name=name,
            sweep=sweep.name,
            columns=tuple(sweep.data["columns"]),
            target=dataset["target"],
            left_out=(*dataset["drop"], *table.left_out),
            split_by=split.get("by"),
            order_by=split.get("order"),
            shares=(dataset["validation"], dataset["test"]),
            class_weight=dataset.get("class_weight"),
            sample_weight=dataset.get("sample_weight"),
            scale=dataset["scale"],
            seed=dataset["seed"],
            validation_seed=derive(sweep.spec["seed"], "split", trial.number) if is_resplit else dataset["seed"],
            is_redrawn=is_resplit or bool(dataset.get("folds")),
            n_folds=dataset.get("folds"),
            task=Task(sweep.data["task"]),
            classes=tuple(sweep.data["classes"]),
            n_features=sweep.data["n_features"],
            n_train=sweep.data["n_train"],
            n_validation=sweep.data["n_validation"],
            n_test=sweep.data["n_test"],
            traits=frozenset(traits),
            builder_call=builder_call,
            table=table,
        )

    def has(self, trait: DataTrait) -> bool:
        """Return whether the data have a trait."""
        return trait in self.traits

    @property
    def n_outputs(self) -> int:
        """Return the units of the last layer."""
        return len(self.classes) if self.task is Task.MULTICLASS else 1

    @property
    def file(self) -> str:
        """Return the file that the listing reads; empty where it reads none."""
        if self.kind == "keras":
            return f"~/.keras/datasets/{self.name}.npz"
        return f"{self.sweep}.{'pkl' if self.is_pickled else 'npz'}" if self.kind == "arrays" else self.name

    @property
    def is_pickled(self) -> bool:
        """Return whether arrays passed in Python do not fit in an npz file: tables with text, or with named columns."""
        return self.kind == "arrays" and (self.has(DataTrait.TEXT) or bool(self.set_apart) or self.is_cleaned)

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the columns that rows are split or weighted by."""
        return tuple(name for name in (self.split_by, self.order_by, self.sample_weight) if name)

    @property
    def is_cleaned(self) -> bool:
        """Return whether columns to learn from are not taken as pandas reads them."""
        return any(column.is_cleaned for column in self.table.columns)

    @property
    def dates(self) -> tuple[ColumnReading, ...]:
        """Return the columns to learn from that hold dates."""
        return tuple(column for column in self.table.columns if column.kind == "date")

    @property
    def rare(self) -> tuple[ColumnReading, ...]:
        """Return the columns whose rare words are one category."""
        return tuple(column for column in self.table.columns if column.words is not None)

    def input_name(self, column: str) -> str:
        """Return the name of a column's input in a model that takes raw rows."""
        return self.renamed.get(column, column)

    @property
    def renamed(self) -> Mapping[str, str]:
        """Return the columns of a table that Keras takes under another name, each with that name."""
        if not self.has(DataTrait.FRAME):
            return {}
        texts = [column.name for column in self.table.columns if column.kind == "text"]
        names = input_names([*(name for name in self.columns if name not in texts), *texts])
        return {name: new for name, new in names.items() if name != new}

    @property
    def is_prepared(self) -> bool:
        """Return whether a function of the listing reads the cells of a table, or renames its columns."""
        return self.is_cleaned or bool(self.renamed)

    @property
    def target_column(self) -> ColumnReading | None:
        """Return how the target of a table was read; None where it was taken as it is."""
        return next((column for name, column in self.table.others.items() if name not in self.roles), None)

    @property
    def set_apart(self) -> tuple[str, ...]:
        """Return the columns other than the target that are not learned from."""
        return (*self.left_out, *self.roles)

    @property
    def is_weighted(self) -> bool:
        """Return whether some rows weigh more in the loss than others."""
        return bool(self.class_weight or self.sample_weight)

    @property
    def is_table(self) -> bool:
        """Return whether the target is a column of the table that is read."""
        return self.kind in ("csv", "parquet") or (self.kind == "python" and self.target is not None)

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the suffixes of the parts' names: train, val and, if there are test rows, test."""
        return ("train", "val", "test") if self.n_test else ("train", "val")

    @property
    def is_indexed(self) -> bool:
        """Return whether the target holds class indices, 0, 1, ..., when it is read."""
        if self.kind == "sklearn":
            return True
        return not self.has(DataTrait.TEXT_TARGET) and self.classes == tuple(map(str, range(len(self.classes))))

    @property
    def needs_class_indices(self) -> bool:
        """Return whether the target has to be turned into class indices."""
        return self.task is not Task.REGRESSION and not self.is_indexed

    @property
    def is_raw(self) -> bool:
        """Return whether the network takes the rows without any encoding."""
        return self.scale == "none" and not self.has(DataTrait.TEXT) and not self.has(DataTrait.MISSING_NUMBERS)


def _traits_of(sweep: Sweep) -> tuple[tuple[DataTrait, ...], BuilderCall | None]:
    try:
        return decode_traits(sweep.data.get("traits", ()))
    except ValueError as error:
        raise ExportError(
            f"sweep {sweep.name} was stored by a newer dnnsweep ({error}); upgrade to export it"
        ) from error
