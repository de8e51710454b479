"""The part of a listing that reads, splits and encodes the rows, step by step as `dnnsweep.datasets` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.exports.layout import call, listing, text
from dnnsweep.records import Sweep, Task

IMPUTER: Final = 'SimpleImputer(strategy="median", keep_empty_features=True)'
SCALERS: Final = {"standard": "StandardScaler()", "minmax": "MinMaxScaler()"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a listing must know of the data.

    Args:
        kind: Of the source: `sklearn`, `csv`, `npz` or `arrays`.
        name: What the source names: a data set, a path, or nothing.
        sweep: The sweep's name.
        target: The column to predict; None where there are no columns.
        left_out: Columns that are not learned from.
        scale: `standard`, `minmax` or `none`.
        seed: Of the split.
        task: Decides whether rows are drawn by class.
        classes: Labels in the order of the outputs; empty for regression.
        n_features: Inputs of the network.
        n_train: Training rows.
        n_validation: Validation rows.
        n_test: Test rows.
        traits: Words of `records.DataSummary`.
    """

    kind: str
    name: str
    sweep: str
    target: str | None
    left_out: tuple[str, ...]
    scale: str
    seed: int
    task: Task
    classes: tuple[str, ...]
    n_features: int
    n_train: int
    n_validation: int
    n_test: int
    traits: frozenset[str]

    @classmethod
    def of(cls, sweep: Sweep) -> Facts:
        """Gather them from a sweep as the ledger has it."""
        dataset: dict[str, Any] = sweep.spec["dataset"]
        kind, _, name = dataset["source"].partition(":")
        return cls(
            kind=kind,
            name=name,
            sweep=sweep.name,
            target=dataset["target"],
            left_out=tuple(dataset["drop"]),
            scale=dataset["scale"],
            seed=dataset["seed"],
            task=Task(sweep.data["task"]),
            classes=tuple(sweep.data["classes"]),
            n_features=sweep.data["n_features"],
            n_train=sweep.data["n_train"],
            n_validation=sweep.data["n_validation"],
            n_test=sweep.data["n_test"],
            traits=frozenset(sweep.data.get("traits", ())),
        )

    def has(self, trait: str) -> bool:
        """Return whether a word of `records.DataSummary` holds."""
        return trait in self.traits

    @property
    def n_outputs(self) -> int:
        """Return the units of the last layer."""
        return len(self.classes) if self.task is Task.MULTICLASS else 1

    @property
    def file(self) -> str:
        """Return the file that the listing reads; empty where it reads none."""
        return f"{self.sweep}.{'pkl' if self.is_pickled else 'npz'}" if self.kind == "arrays" else self.name

    @property
    def is_pickled(self) -> bool:
        """Return whether arrays were handed over that an npz file cannot hold: tables with text."""
        return self.kind == "arrays" and self.has("text")

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the endings of the names of the parts: train, val and, where there are such rows, test."""
        return ("train", "val", "test") if self.n_test else ("train", "val")

    @property
    def is_indexed(self) -> bool:
        """Return whether the target holds the numbers of the classes as it is found: 0, 1, ..."""
        if self.kind == "sklearn":
            return True
        return not self.has("text_target") and self.classes == tuple(map(str, range(len(self.classes))))

    @property
    def is_raw(self) -> bool:
        """Return whether the rows go into the network without any encoding."""
        return self.scale == "none" and not self.has("text") and not self.has("missing_numbers")


def saving(facts: Facts) -> str:
    """Return the statement that saves what was handed over in Python, so that the listing can read it."""
    if facts.is_pickled:
        return f'pd.to_pickle((pd.DataFrame(x).infer_objects().rename(columns=str), y), "{facts.file}")'
    x = 'x.astype("float64")' if facts.has("frame") else "x"
    y = "list(y)" if facts.has("text_target") else "y"
    return f'np.savez("{facts.file}", x={x}, y={y})'


def blocks(facts: Facts) -> list[str]:
    """Return the code from the source to `x_train`, `x_val`, `x_test` and their targets, block by block."""
    rows = [_read(facts), _columns(facts), _split(facts), _encode(facts), _standardise(facts)]
    return [block for block in rows if block]


def _read(facts: Facts) -> str:
    readers = {"sklearn": _read_sklearn, "csv": _read_csv, "npz": _read_npz, "arrays": _read_npz}
    n_rows = facts.n_train + facts.n_validation + facts.n_test
    kinds = f" of {len(facts.classes)} classes" if facts.classes else ""
    lines = _read_pickle(facts) if facts.is_pickled else readers[facts.kind](facts)
    return "\n".join([f"# {n_rows} rows{kinds}; {facts.n_features} features go into the network.", *lines])


def _read_sklearn(facts: Facts) -> list[str]:
    if facts.name != "diabetes":
        return [f"x, y = load_{facts.name}(return_X_y=True)"]
    why = "# Unscaled, for scikit-learn would scale by all rows, those held out included."
    return [why, "x, y = load_diabetes(return_X_y=True, scaled=False)"]


def _read_csv(facts: Facts) -> list[str]:
    target = f"data[{text(facts.target or '')}]"
    if facts.task is Task.REGRESSION:
        target = f'{target}.to_numpy("float64")'
    elif facts.is_indexed:
        target = f"{target}.to_numpy()"
    return [
        call("data = pd.read_csv", text(facts.file), "low_memory=False"),
        *_without(
            [text(facts.target or ""), *map(text, facts.left_out)], '.to_numpy("float32")' if facts.is_raw else ""
        ),
        *_target(facts, target),
    ]


def _without(columns: list[str], ending: str) -> list[str]:
    line = f"x = data.drop(columns=[{', '.join(columns)}]){ending}"
    if len(line) <= 88:
        return [line]
    return [listing("left_out", columns), f"x = data.drop(columns=left_out){ending}"]


def _read_npz(facts: Facts) -> list[str]:
    ending = "_train" if facts.has("own_test") else ""
    lines = [
        f"data = np.load({_path(facts.file)})",
        f'x = data["x{ending}"]{_form(facts)}',
        *_target(facts, f'data["y{ending}"]{_target_form(facts)}'),
    ]
    if facts.has("own_test"):
        lines += [f'x_test = data["x_test"]{_form(facts)}', *_own_test_target(facts)]
    return lines


def _path(name: str) -> str:
    return f"Path({text(name)}).expanduser()" if name.startswith("~") else text(name)


def _form(facts: Facts) -> str:
    """Flatten each row, and compute in 32 bits where they hold every number exactly."""
    flat = f".reshape(-1, {facts.n_features})" if facts.has("reshaped") else ""
    is_single = facts.is_raw or facts.has("cast")
    return flat + ('.astype("float32")' if is_single and not facts.has("frame") else "")


def _target_form(facts: Facts) -> str:
    flat = ".ravel()" if facts.has("column_target") else ""
    return flat + ('.astype("float64")' if facts.task is Task.REGRESSION else "")


def _target(facts: Facts, found: str) -> list[str]:
    if facts.task is Task.REGRESSION or facts.is_indexed:
        return [f"y = {found}"]
    return [call("classes, y = np.unique", found, "return_inverse=True")]


def _own_test_target(facts: Facts) -> list[str]:
    found = f'data["y_test"]{_target_form(facts)}'
    if facts.task is Task.REGRESSION or facts.is_indexed:
        return [f"y_test = {found}"]
    return [f"y_test = np.searchsorted(classes, {found})"]


def _read_pickle(facts: Facts) -> list[str]:
    kind = ', dtype="float64"' if facts.task is Task.REGRESSION else ", dtype=str" if facts.has("text_target") else ""
    return [
        f'x, y = pd.read_pickle("{facts.file}")',
        *_target(facts, f"np.asarray(y{kind}){'.ravel()' if facts.has('column_target') else ''}"),
    ]


def _columns(facts: Facts) -> str:
    """Tell columns of text from columns of numbers, and make all text text."""
    is_table = facts.kind == "csv" or facts.is_pickled
    if not (is_table and facts.has("text")):
        return ""
    words, why = _words(facts), "# Gaps count as a text of their own." if facts.has("missing_text") else ""
    if facts.has("only_text"):
        lines = [why, f"x = x{words}" if words else ""]
    else:
        lines = [
            "# Numbers apart from texts, of which each becomes a column of zeros and ones.",
            why,
            'numbers = list(x.select_dtypes(["number", "bool"]))',
            "text = [name for name in x if name not in numbers]",
            'x[numbers] = x[numbers].astype("float64")' if _is_cast(facts) else "",
            f"x[text] = x[text]{words}" if words else "",
        ]
    return "\n".join(line for line in lines if line)


def _is_cast(facts: Facts) -> bool:
    """Return whether scikit-learn would not compute with the numbers of a table in 64 bits by itself."""
    return facts.has("cast") or (facts.scale == "none" and not facts.has("missing_numbers"))


def _words(facts: Facts) -> str:
    """Return what makes columns of text hold nothing else."""
    if facts.has("mixed_text"):
        return '.astype(object).fillna("missing").astype(str)' if facts.has("missing_text") else ".astype(str)"
    return '.fillna("missing")' if facts.has("missing_text") else ""


def _split(facts: Facts) -> str:
    draws = [] if facts.has("own_test") or not facts.n_test else [("test", facts.n_test)]
    draws.append(("val", facts.n_validation))
    lines = []
    x, y = "x", "y"
    for name, n_rows in draws:
        drawn = f"test_size={n_rows}, random_state={facts.seed}{f', stratify={y}' if facts.classes else ''}"
        lines.append(call(f"x_train, x_{name}, y_train, y_{name} = train_test_split", x, y, *drawn.split(", ")))
        x, y = "x_train", "y_train"
    return "\n".join([*_why_split(facts, len(draws)), *lines])


def _why_split(facts: Facts, n_draws: int) -> list[str]:
    shares = ["# Each part has its share of every class."] if facts.classes else []
    if n_draws == 1:
        return ["# Rows to validate on are kept apart from those to train on.", *shares]
    return ["# First the test rows, which no choice may depend on, then those to validate on.", *shares]


def _encode(facts: Facts) -> str:
    if facts.is_raw:
        return ""
    name, setup = _encoder(facts)
    lines = [
        "# Fitted to the training rows alone: the others are to be like rows never seen.",
        *setup,
        f"x_train = {name}.fit_transform(x_train)",
    ]
    return "\n".join(lines + [f"x_{part} = {name}.transform(x_{part})" for part in facts.parts[1:]])


def _encoder(facts: Facts) -> tuple[str, list[str]]:
    """Return the name of the transformer of all columns, and the statements that make it."""
    steps = [IMPUTER] if facts.has("missing_numbers") else []
    steps += [SCALERS[facts.scale]] if facts.scale in SCALERS else []
    one_hot = 'OneHotEncoder(handle_unknown="ignore", sparse_output=False)'
    if facts.has("only_text"):
        return "one_hot", [f"one_hot = {one_hot}"]
    name, lines = _numbers_encoder(steps)
    if not facts.has("text"):
        return name, lines
    both = call("encoder = make_column_transformer", f"({name}, numbers)", "(one_hot, text)")
    return "encoder", [*lines, f"one_hot = {one_hot}", both]


def _numbers_encoder(steps: list[str]) -> tuple[str, list[str]]:
    if not steps:
        return '"passthrough"', []
    if len(steps) > 1:
        return "fill_and_scale", [call("fill_and_scale = make_pipeline", *steps)]
    name = "imputer" if steps[0] == IMPUTER else "scaler"
    return name, [f"{name} = {steps[0]}"]


def _standardise(facts: Facts) -> str:
    if facts.task is not Task.REGRESSION:
        return ""
    lines = [
        "# The network learns how many standard deviations a target is away from the mean.",
        "mean, std = y_train.mean(), y_train.std()",
    ]
    return "\n".join(lines + [f"y_{part} = (y_{part} - mean) / std" for part in facts.parts])
