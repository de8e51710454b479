"""The part of a listing that reads, splits and encodes the rows, step by step as `dnnsweep.datasets` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import call, listing, text
from dnnsweep.exports.split_code import split, weights
from dnnsweep.records import DataTrait, Task

IMPUTER: Final = 'SimpleImputer(strategy="median", keep_empty_features=True)'
#: Data sets that Keras keeps in no npz file.
LOADED_BY_KERAS: Final = ("fashion_mnist", "cifar10")
SCALERS: Final = {"standard": "StandardScaler()", "minmax": "MinMaxScaler()"}


def saving(facts: DataFacts) -> str:
    """Return the statement that saves what was handed over in Python, so that the listing can read it."""
    if facts.is_pickled:
        return f'pd.to_pickle((pd.DataFrame(x).infer_objects().rename(columns=str), y), "{facts.file}")'
    x = 'x.astype("float64")' if facts.has(DataTrait.FRAME) else "x"
    y = "list(y)" if facts.has(DataTrait.TEXT_TARGET) else "y"
    return f'np.savez("{facts.file}", x={x}, y={y})'


def blocks(facts: DataFacts) -> list[str]:
    """Return the code from the source to `x_train`, `x_val`, `x_test` and their targets, block by block."""
    rows = [_read(facts), _columns(facts), split(facts), weights(facts), _encode(facts), _standardise(facts)]
    return [block for block in rows if block]


def _read(facts: DataFacts) -> str:
    n_rows = facts.n_train + facts.n_validation + facts.n_test
    kinds = f" of {len(facts.classes)} classes" if facts.classes else ""
    lines = _reader(facts)(facts)
    return "\n".join([f"# {n_rows} rows{kinds}; {facts.n_features} features go into the network.", *lines])


def _reader(facts: DataFacts) -> Callable[[DataFacts], list[str]]:
    if facts.is_pickled:
        return _read_pickle
    if facts.is_table:
        return _read_table
    if facts.kind == "python" and not facts.has(DataTrait.DICTIONARY_OF_ARRAYS):
        return _read_function
    if facts.kind == "keras" and facts.name in LOADED_BY_KERAS:
        return _read_keras
    return _read_sklearn if facts.kind == "sklearn" else _read_npz


def _read_sklearn(facts: DataFacts) -> list[str]:
    if facts.name != "diabetes":
        return [f"x, y = load_{facts.name}(return_X_y=True)"]
    why = "# Unscaled, for scikit-learn would scale by all rows, those held out included."
    return [why, "x, y = load_diabetes(return_X_y=True, scaled=False)"]


def _read_table(facts: DataFacts) -> list[str]:
    target = f"data[{text(facts.target or '')}]"
    if facts.task is Task.REGRESSION:
        target = f'{target}.to_numpy("float64")'
    elif facts.is_indexed:
        target = f"{target}.to_numpy()"
    read = {
        "csv": call("data = pd.read_csv", text(facts.file), "low_memory=False"),
        "parquet": f"data = pd.read_parquet({text(facts.file)})",
        "python": f"data = {_function(facts)}()",
    }
    left_out = [text(name) for name in (facts.target or "", *facts.left_out, *facts.roles)]
    return [
        read[facts.kind],
        *_without(left_out, '.to_numpy("float32")' if facts.is_raw else ""),
        *_target(facts, target),
        *_roles(facts, "data"),
    ]


def _function(facts: DataFacts) -> str:
    return facts.name.partition(":")[2]


def _roles(facts: DataFacts, table: str) -> list[str]:
    """Take down what rows are split and weighted by."""
    lines = []
    if facts.split_by:
        lines.append(f"groups = pd.factorize({table}[{text(facts.split_by)}])[0]")
    if facts.order_by:
        moments = f"{table}[{text(facts.order_by)}]"
        is_dated = facts.has(DataTrait.DATED)
        lines.append(
            call("moments = pd.to_datetime", moments, 'format="ISO8601"', "utc=True")
            if is_dated
            else f"moments = {moments}"
        )
    if facts.sample_weight:
        lines.append(f'weights = {table}[{text(facts.sample_weight)}].to_numpy("float64")')
    return lines


def _read_keras(facts: DataFacts) -> list[str]:
    return [
        f"(x, y), (x_test, y_test) = keras.datasets.{facts.name}.load_data()",
        f"x, y = x{_form(facts)}, y.ravel()",
        f"x_test, y_test = x_test{_form(facts)}, y_test.ravel()",
    ]


def _read_function(facts: DataFacts) -> list[str]:
    """The call of the user's function; what it returns may be arrays, lists or tables."""
    kind = (
        ', dtype="float64"'
        if facts.task is Task.REGRESSION
        else ", dtype=str"
        if facts.has(DataTrait.TEXT_TARGET)
        else ""
    )
    flat = ".ravel()" if facts.has(DataTrait.COLUMN_TARGET) else ""
    targets = "(x, y), (x_test, y_test)" if facts.has(DataTrait.OWN_TEST) else "x, y"
    lines = [f"{targets} = {_function(facts)}()", *_target(facts, f"np.asarray(y{kind}){flat}")]
    rows = ["x", "x_test"] if facts.has(DataTrait.OWN_TEST) else ["x"]
    if facts.has(DataTrait.OWN_TEST):
        strange = facts.task is not Task.REGRESSION and not facts.is_indexed
        found = f"np.asarray(y_test{kind}){flat}"
        lines.append(f"y_test = {f'np.searchsorted(classes, {found})' if strange else found}")
    for name in rows:
        lines += _as_rows(facts, name)
    return lines


def _as_rows(facts: DataFacts, name: str) -> list[str]:
    """Bring rows to a table where there is text or something to split by, else to an array."""
    if facts.has(DataTrait.TEXT) or facts.roles:
        lines = [f"{name} = pd.DataFrame({name}).infer_objects().rename(columns=str)", *_roles(facts, name)]
        return [*lines, *_left_over(facts, name)]
    form = (
        '.astype("float32")' if facts.is_raw or (facts.has(DataTrait.CAST) and not facts.has(DataTrait.FRAME)) else ""
    )
    kind = ', dtype="float64"' if facts.has(DataTrait.FRAME) and not form else ""
    flat = f".reshape(-1, {facts.n_features})" if facts.has(DataTrait.RESHAPED) else ""
    return [f"{name} = np.asarray({name}{kind}){flat}{form}"]


def _left_over(facts: DataFacts, name: str) -> list[str]:
    if not facts.roles:
        return []
    kind = "" if facts.has(DataTrait.TEXT) else '.to_numpy("float32")' if facts.is_raw else '.to_numpy("float64")'
    return [f"{name} = {name}.drop(columns=[{', '.join(map(text, facts.roles))}]){kind}"]


def _without(columns: list[str], ending: str) -> list[str]:
    line = f"x = data.drop(columns=[{', '.join(columns)}]){ending}"
    if len(line) <= 88:
        return [line]
    return [listing("left_out", columns), f"x = data.drop(columns=left_out){ending}"]


def _read_npz(facts: DataFacts) -> list[str]:
    ending = "_train" if facts.has(DataTrait.OWN_TEST) else ""
    lines = [
        f"data = {f'{_function(facts)}()' if facts.kind == 'python' else f'np.load({_path(facts.file)})'}",
        f'x = data["x{ending}"]{_form(facts)}',
        *_target(facts, f'data["y{ending}"]{_target_form(facts)}'),
    ]
    if facts.has(DataTrait.OWN_TEST):
        lines += [f'x_test = data["x_test"]{_form(facts)}', *_own_test_target(facts)]
    return lines


def _path(name: str) -> str:
    return f"Path({text(name)}).expanduser()" if name.startswith("~") else text(name)


def _form(facts: DataFacts) -> str:
    """Flatten each row, and compute in 32 bits where they hold every number exactly."""
    flat = f".reshape(-1, {facts.n_features})" if facts.has(DataTrait.RESHAPED) else ""
    is_single = facts.is_raw or facts.has(DataTrait.CAST)
    return flat + ('.astype("float32")' if is_single and not facts.has(DataTrait.FRAME) else "")


def _target_form(facts: DataFacts) -> str:
    flat = ".ravel()" if facts.has(DataTrait.COLUMN_TARGET) else ""
    return flat + ('.astype("float64")' if facts.task is Task.REGRESSION else "")


def _target(facts: DataFacts, found: str) -> list[str]:
    if facts.task is Task.REGRESSION or facts.is_indexed:
        return [f"y = {found}"]
    return [call("classes, y = np.unique", found, "return_inverse=True")]


def _own_test_target(facts: DataFacts) -> list[str]:
    found = f'data["y_test"]{_target_form(facts)}'
    if facts.task is Task.REGRESSION or facts.is_indexed:
        return [f"y_test = {found}"]
    return [f"y_test = np.searchsorted(classes, {found})"]


def _read_pickle(facts: DataFacts) -> list[str]:
    kind = (
        ', dtype="float64"'
        if facts.task is Task.REGRESSION
        else ", dtype=str"
        if facts.has(DataTrait.TEXT_TARGET)
        else ""
    )
    return [
        f'x, y = pd.read_pickle("{facts.file}")',
        *_target(facts, f"np.asarray(y{kind}){'.ravel()' if facts.has(DataTrait.COLUMN_TARGET) else ''}"),
        *_roles(facts, "x"),
        *_left_over(facts, "x"),
    ]


def _columns(facts: DataFacts) -> str:
    """Tell columns of text from columns of numbers, and make all text text."""
    if not facts.has(DataTrait.TEXT):
        return ""
    words, why = _words(facts), "# Gaps count as a text of their own." if facts.has(DataTrait.MISSING_TEXT) else ""
    if facts.has(DataTrait.ONLY_TEXT):
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


def _is_cast(facts: DataFacts) -> bool:
    """Return whether scikit-learn would not compute with the numbers of a table in 64 bits by itself."""
    return facts.has(DataTrait.CAST) or (facts.scale == "none" and not facts.has(DataTrait.MISSING_NUMBERS))


def _words(facts: DataFacts) -> str:
    """Return what makes columns of text hold nothing else."""
    if facts.has(DataTrait.MIXED_TEXT):
        return '.astype(object).fillna("missing").astype(str)' if facts.has(DataTrait.MISSING_TEXT) else ".astype(str)"
    return '.fillna("missing")' if facts.has(DataTrait.MISSING_TEXT) else ""


def _encode(facts: DataFacts) -> str:
    if facts.is_raw:
        return ""
    name, setup = _encoder(facts)
    lines = [
        "# Fitted to the training rows alone: the others are to be like rows never seen.",
        *setup,
        f"x_train = {name}.fit_transform(x_train)",
    ]
    return "\n".join(lines + [f"x_{part} = {name}.transform(x_{part})" for part in facts.parts[1:]])


def _encoder(facts: DataFacts) -> tuple[str, list[str]]:
    """Return the name of the transformer of all columns, and the statements that make it."""
    steps = [IMPUTER] if facts.has(DataTrait.MISSING_NUMBERS) else []
    steps += [SCALERS[facts.scale]] if facts.scale in SCALERS else []
    one_hot = 'OneHotEncoder(handle_unknown="ignore", sparse_output=False)'
    if facts.has(DataTrait.ONLY_TEXT):
        return "one_hot", [f"one_hot = {one_hot}"]
    name, lines = _numbers_encoder(steps)
    if not facts.has(DataTrait.TEXT):
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


def _standardise(facts: DataFacts) -> str:
    if facts.task is not Task.REGRESSION:
        return ""
    lines = [
        "# The network learns how many standard deviations a target is away from the mean.",
        "mean, std = y_train.mean(), y_train.std()",
    ]
    return "\n".join(lines + [f"y_{part} = (y_{part} - mean) / std" for part in facts.parts])
